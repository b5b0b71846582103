-- Times are microseconds since 1970 by the server's clock. expires_at is the end of a row;
-- sweep_at, which alone is indexed, is when to look whether it has ended, and
-- does not change while a claim runs or completes.
CREATE TABLE IF NOT EXISTS {record} (
	store_key   BINARY(32)    NOT NULL PRIMARY KEY,
	state       SMALLINT      NOT NULL,
	owner       BINARY(16)    NOT NULL,
	fence       BIGINT        NOT NULL,
	taken_over  SMALLINT      NOT NULL,
	attempt     BIGINT        NOT NULL,
	fingerprint VARBINARY(64) NOT NULL,
	lease_until BIGINT        NOT NULL,
	expires_at  BIGINT        NOT NULL,
	sweep_at    BIGINT        NOT NULL,
	record      LONGBLOB      NULL,
	KEY {index} (sweep_at)
) ENGINE = InnoDB
