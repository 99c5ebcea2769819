-- +goose Up

-- A ban is read where sessions are looked up, in the row that is read there anyway.
ALTER TABLE walkin_users ADD COLUMN banned_until datetime(6), ADD COLUMN ban_reason varbinary(500);

-- Who got an identity on a day.
CREATE INDEX walkin_identities_created ON walkin_identities (created_at);
