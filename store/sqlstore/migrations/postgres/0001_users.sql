-- +goose Up

CREATE TABLE walkin_users (
	id         uuid        NOT NULL PRIMARY KEY,
	anonymous  boolean     NOT NULL,
	created_at timestamptz NOT NULL,
	seen_at    timestamptz NOT NULL
);

-- For the sweep: anonymous users by how long they have been away.
CREATE INDEX walkin_users_away ON walkin_users (seen_at, id) WHERE anonymous = TRUE;

CREATE TABLE walkin_sessions (
	id         uuid        NOT NULL PRIMARY KEY,
	user_id    uuid        NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	created_at timestamptz NOT NULL,
	renewed_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL
);

CREATE INDEX walkin_sessions_user ON walkin_sessions (user_id);
CREATE INDEX walkin_sessions_expired ON walkin_sessions (expires_at);

CREATE TABLE walkin_identities (
	provider   text COLLATE "C" NOT NULL,
	subject    text COLLATE "C" NOT NULL,
	user_id    uuid             NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	secret     bytea,
	created_at timestamptz      NOT NULL,
	PRIMARY KEY (provider, subject)
);

CREATE INDEX walkin_identities_user ON walkin_identities (user_id);

-- Deleted users, for as long as a token of theirs could be presented.
CREATE TABLE walkin_tombstones (
	user_id     uuid        NOT NULL PRIMARY KEY,
	merged_into uuid,
	deleted_at  timestamptz NOT NULL,
	expires_at  timestamptz NOT NULL
);

CREATE INDEX walkin_tombstones_expired ON walkin_tombstones (expires_at);
