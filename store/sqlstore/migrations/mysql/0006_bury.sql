-- +goose Up

-- Whoever deletes a user by SQL leaves the tombstone all the same, for as long as a
-- token of theirs can live. A user who was not seen for so long needs none; that is
-- whom the sweep deletes. MySQL fires no trigger for what a foreign key deletes, and
-- lets few make one: Store.Migrate goes on without it.

CREATE TRIGGER walkin_bury AFTER DELETE ON walkin_users FOR EACH ROW
INSERT IGNORE INTO walkin_tombstones (user_id, deleted_at, expires_at)
SELECT OLD.id, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL token_life MICROSECOND
FROM walkin_database
WHERE OLD.seen_at >= UTC_TIMESTAMP(6) - INTERVAL token_life MICROSECOND;
