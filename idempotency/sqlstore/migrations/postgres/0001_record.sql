-- Times are microseconds since 1970 by the server's clock. expires_at is the end of a row;
-- sweep_at, which alone is indexed, is when to look whether it has ended, and
-- does not change while a claim runs or completes.
CREATE TABLE IF NOT EXISTS {record} (
	store_key   bytea    NOT NULL PRIMARY KEY,
	state       smallint NOT NULL,
	owner       bytea    NOT NULL,
	fence       bigint   NOT NULL,
	taken_over  smallint NOT NULL,
	attempt     bigint   NOT NULL,
	fingerprint bytea    NOT NULL,
	lease_until bigint   NOT NULL,
	expires_at  bigint   NOT NULL,
	sweep_at    bigint   NOT NULL,
	record      bytea
);

CREATE INDEX IF NOT EXISTS {index} ON {record} (sweep_at)
