-- +goose Up

-- A new anonymous visitor becomes a user with a session, in one call. One who is there
-- already, or was deleted, is an error that changes nothing. Where the server lets the
-- user make no procedure, Store.Migrate goes on without it.
--
-- The SELECT comes first for the reason that the store's insertUser has. The tombstone
-- is looked for after the INSERT, which waits for a deletion that is under way.

DROP PROCEDURE IF EXISTS walkin_persist;

-- +goose StatementBegin
CREATE PROCEDURE walkin_persist(visitor binary(16), first_session binary(16), came datetime(6), ends datetime(6))
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
	DECLARE EXIT HANDLER FOR SQLEXCEPTION
	BEGIN
		ROLLBACK;
		RESIGNAL;
	END;
	SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
	START TRANSACTION;
	IF (SELECT COUNT(created_at) FROM walkin_users WHERE id = visitor FOR UPDATE) > 0 THEN
		SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'walkin: not a new visitor';
	END IF;
	INSERT INTO walkin_users (id, anonymous, created_at, seen_at) VALUES (visitor, TRUE, came, came);
	INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES (first_session, visitor, came, came, ends);
	IF EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = visitor) THEN
		SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'walkin: not a new visitor';
	END IF;
	COMMIT;
END;
-- +goose StatementEnd
