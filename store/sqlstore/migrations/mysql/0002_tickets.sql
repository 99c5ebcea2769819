-- +goose Up

-- Single-use records: codes, round trips, kept forms.
CREATE TABLE walkin_tickets (
	name       varbinary(255) NOT NULL PRIMARY KEY,
	data       mediumblob,
	tries      integer        NOT NULL,
	expires_at datetime(6)    NOT NULL,
	KEY walkin_tickets_expired (expires_at)
) ENGINE = InnoDB;
