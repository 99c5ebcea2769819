-- +goose Up

-- What the app keeps in a session, see Store.Sessions.
CREATE TABLE walkin_session_data (
	session_id uuid        NOT NULL PRIMARY KEY REFERENCES walkin_sessions (id) ON DELETE CASCADE,
	data       bytea       NOT NULL,
	expires_at timestamptz NOT NULL
);

CREATE INDEX walkin_session_data_expired ON walkin_session_data (expires_at);
