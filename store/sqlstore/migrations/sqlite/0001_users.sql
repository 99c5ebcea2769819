-- +goose Up

-- Times are integers of microseconds since 1970, IDs blobs of 16 bytes.

CREATE TABLE walkin_users (
	id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
	anonymous  INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	seen_at    INTEGER NOT NULL
) WITHOUT ROWID;

-- For the sweep: anonymous users by how long they have been away.
CREATE INDEX walkin_users_away ON walkin_users (seen_at, id) WHERE anonymous = TRUE;

CREATE TABLE walkin_sessions (
	id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
	user_id    BLOB    NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	created_at INTEGER NOT NULL,
	renewed_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX walkin_sessions_user ON walkin_sessions (user_id);
CREATE INDEX walkin_sessions_expired ON walkin_sessions (expires_at);

CREATE TABLE walkin_identities (
	provider   TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	user_id    BLOB    NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	secret     BLOB,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (provider, subject)
) WITHOUT ROWID;

CREATE INDEX walkin_identities_user ON walkin_identities (user_id);

-- Deleted users, for as long as a token of theirs could be presented.
CREATE TABLE walkin_tombstones (
	user_id     BLOB    NOT NULL PRIMARY KEY CHECK (length(user_id) = 16),
	merged_into BLOB,
	deleted_at  INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX walkin_tombstones_expired ON walkin_tombstones (expires_at);
