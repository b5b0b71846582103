-- What an operator searches by: the scope that store_key is the hash of, the process that claimed, and
-- when the claim was made and ended, 0 for not known.
ALTER TABLE {record}
	ADD COLUMN service    VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
	ADD COLUMN endpoint   VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
	ADD COLUMN caller     VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
	ADD COLUMN call_key   VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
	ADD COLUMN instance   VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
	ADD COLUMN claimed_at BIGINT NOT NULL DEFAULT 0,
	ADD COLUMN ended_at   BIGINT NOT NULL DEFAULT 0
