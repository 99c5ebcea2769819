-- +goose Up

-- A ban is read where sessions are looked up, in the row that is read there anyway.
ALTER TABLE walkin_users ADD COLUMN banned_until INTEGER;
ALTER TABLE walkin_users ADD COLUMN ban_reason TEXT;

-- Permanent users by ID; anonymous ones are many, or all.
CREATE INDEX walkin_users_permanent ON walkin_users (id) WHERE anonymous = FALSE;

-- Who got an identity on a day.
CREATE INDEX walkin_identities_created ON walkin_identities (created_at);
