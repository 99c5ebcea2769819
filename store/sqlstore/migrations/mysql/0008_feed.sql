-- +goose Up

-- Whose session or user ended or changed: replicas read it and look again, see
-- store.FeedStore. user_id is all zeros for everybody, and NULL for a row that only
-- says that the feed is alive. A row with a lower id may be committed later.
CREATE TABLE walkin_feed (
	id      bigint      NOT NULL AUTO_INCREMENT PRIMARY KEY,
	user_id binary(16),
	nonce   binary(16)  NOT NULL,
	at      datetime(6) NOT NULL,
	KEY walkin_feed_at (at)
) ENGINE = InnoDB;

-- For SQL by hand, where the server lets us; the store writes its own rows. A session
-- that has expired is over anyway.
--
-- IF and VALUES instead of SELECT with WHERE: for INSERT … SELECT, InnoDB locks the
-- counter of the table until the statement around the trigger ends, and two that wait for
-- each other's sessions deadlock.
-- +goose StatementBegin
CREATE TRIGGER walkin_tell_session AFTER DELETE ON walkin_sessions FOR EACH ROW
IF OLD.expires_at > UTC_TIMESTAMP(6) - INTERVAL 2 MINUTE THEN
	INSERT INTO walkin_feed (user_id, nonce, at) VALUES (OLD.user_id, UNHEX(MD5(CONCAT(UUID(), RAND()))), UTC_TIMESTAMP(6));
END IF;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER walkin_tell_user AFTER UPDATE ON walkin_users FOR EACH ROW
IF OLD.anonymous <> NEW.anonymous OR NOT (OLD.banned_until <=> NEW.banned_until) THEN
	INSERT INTO walkin_feed (user_id, nonce, at) VALUES (NEW.id, UNHEX(MD5(CONCAT(UUID(), RAND()))), UTC_TIMESTAMP(6));
END IF;
-- +goose StatementEnd

CREATE TRIGGER walkin_tell_deleted AFTER INSERT ON walkin_tombstones FOR EACH ROW
INSERT INTO walkin_feed (user_id, nonce, at) VALUES (NEW.user_id, UNHEX(MD5(CONCAT(UUID(), RAND()))), UTC_TIMESTAMP(6));
