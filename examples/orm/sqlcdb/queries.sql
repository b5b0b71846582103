-- name: GiveTip :exec
INSERT INTO tips (student, cents) VALUES ($1, $2);

-- name: CountTips :one
SELECT count(*) FROM tips WHERE student = $1;
