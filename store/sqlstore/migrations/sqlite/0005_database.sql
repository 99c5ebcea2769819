-- +goose Up

-- Which database this is, and what holds for all of it: one row. Times before which
-- sessions are over; token_life in microseconds, see store.Database.

CREATE TABLE walkin_database (
	one                INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
	id                 TEXT    NOT NULL,
	adopted            TEXT    NOT NULL,
	born_at            INTEGER NOT NULL,
	token_life         INTEGER NOT NULL,
	token_life_until   INTEGER NOT NULL,
	ended_at           INTEGER NOT NULL,
	anonymous_ended_at INTEGER NOT NULL
);

INSERT INTO walkin_database
SELECT 1, lower(hex(randomblob(4))), '',
	MIN(COALESCE((SELECT MIN(created_at) FROM walkin_users), 9223372036854775807), CAST(strftime('%s', 'now') AS INTEGER) * 1000000),
	2764800000000, 0, 0, 0;

-- Whoever deletes a user by SQL leaves the tombstone all the same, for as long as a
-- token of theirs can live. A user who was not seen for so long needs none; that is
-- whom the sweep deletes.
-- +goose StatementBegin
CREATE TRIGGER walkin_bury AFTER DELETE ON walkin_users
BEGIN
	INSERT INTO walkin_tombstones (user_id, deleted_at, expires_at)
		SELECT old.id, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + token_life
		FROM walkin_database
		WHERE old.seen_at >= CAST(strftime('%s', 'now') AS INTEGER) * 1000000 - token_life
		ON CONFLICT DO NOTHING;
END;
-- +goose StatementEnd
