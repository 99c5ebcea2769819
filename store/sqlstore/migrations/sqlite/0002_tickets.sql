-- +goose Up

-- Single-use records: codes, round trips, kept forms.
CREATE TABLE walkin_tickets (
	name       TEXT    NOT NULL PRIMARY KEY,
	data       BLOB,
	tries      INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
);

CREATE INDEX walkin_tickets_expired ON walkin_tickets (expires_at);
