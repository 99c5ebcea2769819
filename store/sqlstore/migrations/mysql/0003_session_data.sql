-- +goose Up

-- What the app keeps in a session, see Store.Sessions.
CREATE TABLE walkin_session_data (
	session_id binary(16)  NOT NULL PRIMARY KEY,
	data       mediumblob  NOT NULL,
	expires_at datetime(6) NOT NULL,
	KEY walkin_session_data_expired (expires_at),
	FOREIGN KEY (session_id) REFERENCES walkin_sessions (id) ON DELETE CASCADE
) ENGINE = InnoDB;
