-- +goose Up

-- What may happen only so often, see Store.Limiter: when a bucket is full again,
-- in Unix nanoseconds, by the SHA-256 of what is counted.
CREATE TABLE walkin_limits (
	name    BLOB    NOT NULL PRIMARY KEY,
	full_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX walkin_limits_full ON walkin_limits (full_at);
