-- +goose Up

-- Names are bytes: MySQL would take A for a and pass over spaces at the end.

CREATE TABLE walkin_users (
	id         binary(16)  NOT NULL PRIMARY KEY,
	anonymous  boolean     NOT NULL,
	created_at datetime(6) NOT NULL,
	seen_at    datetime(6) NOT NULL,
	KEY walkin_users_away (anonymous, seen_at, id)
) ENGINE = InnoDB;

CREATE TABLE walkin_sessions (
	id         binary(16)  NOT NULL PRIMARY KEY,
	user_id    binary(16)  NOT NULL,
	created_at datetime(6) NOT NULL,
	renewed_at datetime(6) NOT NULL,
	expires_at datetime(6) NOT NULL,
	KEY walkin_sessions_user (user_id),
	KEY walkin_sessions_expired (expires_at),
	FOREIGN KEY (user_id) REFERENCES walkin_users (id) ON DELETE CASCADE
) ENGINE = InnoDB;

CREATE TABLE walkin_identities (
	provider   varbinary(255) NOT NULL,
	subject    varbinary(255) NOT NULL,
	user_id    binary(16)     NOT NULL,
	secret     mediumblob,
	created_at datetime(6)    NOT NULL,
	PRIMARY KEY (provider, subject),
	KEY walkin_identities_user (user_id),
	FOREIGN KEY (user_id) REFERENCES walkin_users (id) ON DELETE CASCADE
) ENGINE = InnoDB;

-- Deleted users, for as long as a token of theirs could be presented.
CREATE TABLE walkin_tombstones (
	user_id     binary(16)  NOT NULL PRIMARY KEY,
	merged_into binary(16),
	deleted_at  datetime(6) NOT NULL,
	expires_at  datetime(6) NOT NULL,
	KEY walkin_tombstones_expired (expires_at)
) ENGINE = InnoDB;
