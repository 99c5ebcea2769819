-- +goose Up

-- Whose session or user ended or changed: replicas read it and look again, see
-- store.FeedStore. user_id is all zeros for everybody, and NULL for a row that only
-- says that the feed is alive. No ID comes twice.
CREATE TABLE walkin_feed (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id BLOB,
	nonce   BLOB    NOT NULL DEFAULT (randomblob(16)),
	at      INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000000)
);

CREATE INDEX walkin_feed_at ON walkin_feed (at);

-- Triggers write the rows, so that SQL by hand counts as well. A session that has
-- expired is over anyway: sweeps write none.
-- +goose StatementBegin
CREATE TRIGGER walkin_tell_session AFTER DELETE ON walkin_sessions
WHEN old.expires_at > (CAST(strftime('%s', 'now') AS INTEGER) - 120) * 1000000
BEGIN
	INSERT INTO walkin_feed (user_id) VALUES (old.user_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER walkin_tell_user AFTER UPDATE OF anonymous, banned_until ON walkin_users
WHEN old.anonymous <> new.anonymous OR old.banned_until IS NOT new.banned_until
BEGIN
	INSERT INTO walkin_feed (user_id) VALUES (new.id);
END;
-- +goose StatementEnd

-- Also of a user who was never stored, whose token is one all the same.
-- +goose StatementBegin
CREATE TRIGGER walkin_tell_deleted AFTER INSERT ON walkin_tombstones
BEGIN
	INSERT INTO walkin_feed (user_id) VALUES (new.user_id);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER walkin_tell_all AFTER UPDATE OF id, adopted, born_at, ended_at, anonymous_ended_at ON walkin_database
BEGIN
	INSERT INTO walkin_feed (user_id) VALUES (zeroblob(16));
END;
-- +goose StatementEnd
