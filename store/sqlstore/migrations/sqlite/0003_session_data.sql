-- +goose Up

-- What the app keeps in a session, see Store.Sessions.
CREATE TABLE walkin_session_data (
	session_id BLOB    NOT NULL PRIMARY KEY REFERENCES walkin_sessions (id) ON DELETE CASCADE,
	data       BLOB    NOT NULL,
	expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX walkin_session_data_expired ON walkin_session_data (expires_at);
