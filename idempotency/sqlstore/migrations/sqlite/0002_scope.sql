-- What an operator searches by: the scope that store_key is the hash of, the process that claimed, and
-- when the claim was made and ended, 0 for not known.
ALTER TABLE {record} ADD COLUMN service TEXT NOT NULL DEFAULT '';

ALTER TABLE {record} ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';

ALTER TABLE {record} ADD COLUMN caller TEXT NOT NULL DEFAULT '';

ALTER TABLE {record} ADD COLUMN call_key TEXT NOT NULL DEFAULT '';

ALTER TABLE {record} ADD COLUMN instance TEXT NOT NULL DEFAULT '';

ALTER TABLE {record} ADD COLUMN claimed_at INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {record} ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0
