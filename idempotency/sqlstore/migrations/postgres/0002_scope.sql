-- What an operator searches by: the scope that store_key is the hash of, the process that claimed, and
-- when the claim was made and ended, 0 for not known.
ALTER TABLE {record}
	ADD COLUMN IF NOT EXISTS service    text   NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS endpoint   text   NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS caller     text   NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS call_key   text   NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS instance   text   NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS claimed_at bigint NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS ended_at   bigint NOT NULL DEFAULT 0
