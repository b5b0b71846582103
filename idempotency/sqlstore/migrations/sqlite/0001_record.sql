-- Times are microseconds since 1970. expires_at is the end of a row;
-- sweep_at, which alone is indexed, is when to look whether it has ended, and
-- does not change while a claim runs or completes.
CREATE TABLE IF NOT EXISTS {record} (
	store_key   BLOB    NOT NULL PRIMARY KEY,
	state       INTEGER NOT NULL,
	owner       BLOB    NOT NULL,
	fence       INTEGER NOT NULL,
	taken_over  INTEGER NOT NULL,
	attempt     INTEGER NOT NULL,
	fingerprint BLOB    NOT NULL,
	lease_until INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL,
	sweep_at    INTEGER NOT NULL,
	record      BLOB
);

CREATE INDEX IF NOT EXISTS {index} ON {unqualified} (sweep_at)
