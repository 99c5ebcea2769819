-- +goose Up

-- Single-use records: codes, round trips, kept forms.
CREATE TABLE walkin_tickets (
	name       text COLLATE "C" NOT NULL PRIMARY KEY,
	data       bytea,
	tries      integer          NOT NULL,
	expires_at timestamptz      NOT NULL
);

CREATE INDEX walkin_tickets_expired ON walkin_tickets (expires_at);
