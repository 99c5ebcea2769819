-- +goose Up

-- What may happen only so often, see Store.Limiter: when a bucket is full again,
-- in Unix nanoseconds, by the SHA-256 of what is counted.
CREATE TABLE walkin_limits (
	name    binary(32) NOT NULL PRIMARY KEY,
	full_at bigint     NOT NULL,
	KEY walkin_limits_full (full_at)
) ENGINE = InnoDB;
