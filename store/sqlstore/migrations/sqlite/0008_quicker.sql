-- +goose Up

-- New anonymous visitors become users with a session each, in one statement: an INSERT
-- into this view. One who is there already, or was deleted, is an error that changes
-- nothing.
CREATE VIEW IF NOT EXISTS walkin_persist AS
SELECT u.id AS user_id, s.id AS session_id, s.created_at, s.expires_at
FROM walkin_users u JOIN walkin_sessions s ON s.user_id = u.id;

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS walkin_persist INSTEAD OF INSERT ON walkin_persist
BEGIN
	SELECT RAISE(ABORT, 'walkin: not a new visitor') WHERE EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = new.user_id);
	INSERT OR ABORT INTO walkin_users (id, anonymous, created_at, seen_at) VALUES (new.user_id, TRUE, new.created_at, new.created_at);
	INSERT OR ABORT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
	VALUES (new.session_id, new.user_id, new.created_at, new.created_at, new.expires_at);
END;
-- +goose StatementEnd
