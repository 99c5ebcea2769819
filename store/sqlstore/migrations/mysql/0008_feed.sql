-- +goose Up

-- Whose session or user ended or changed: replicas read it and look again, see
-- walkin.FeedStore. user_id is all zeros for everybody, and NULL for a row that only
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
CREATE TRIGGER walkin_tell_session AFTER DELETE ON walkin_sessions FOR EACH ROW
INSERT INTO walkin_feed (user_id, nonce, at)
SELECT OLD.user_id, UNHEX(MD5(CONCAT(UUID(), RAND()))), UTC_TIMESTAMP(6) FROM DUAL WHERE OLD.expires_at > UTC_TIMESTAMP(6) - INTERVAL 2 MINUTE;

CREATE TRIGGER walkin_tell_user AFTER UPDATE ON walkin_users FOR EACH ROW
INSERT INTO walkin_feed (user_id, nonce, at)
SELECT NEW.id, UNHEX(MD5(CONCAT(UUID(), RAND()))), UTC_TIMESTAMP(6) FROM DUAL
WHERE OLD.anonymous <> NEW.anonymous OR NOT (OLD.banned_until <=> NEW.banned_until);

CREATE TRIGGER walkin_tell_deleted AFTER INSERT ON walkin_tombstones FOR EACH ROW
INSERT INTO walkin_feed (user_id, nonce, at) VALUES (NEW.user_id, UNHEX(MD5(CONCAT(UUID(), RAND()))), UTC_TIMESTAMP(6));
