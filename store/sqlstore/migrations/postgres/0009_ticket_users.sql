-- +goose Up

-- Whose data a ticket is, or NULL: it is deleted with the user, who need not be stored.
ALTER TABLE walkin_tickets ADD COLUMN user_id uuid;

CREATE INDEX walkin_tickets_user ON walkin_tickets (user_id) WHERE user_id IS NOT NULL;
