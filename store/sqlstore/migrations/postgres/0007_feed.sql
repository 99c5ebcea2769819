-- +goose Up

-- Whose session or user ended or changed: replicas read it and look again, see
-- store.FeedStore. user_id is all zeros for everybody, and NULL for a row that only
-- says that the feed is alive. x orders rows by their transactions: one with a lower
-- id may be committed later.
CREATE TABLE walkin_feed (
	id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	x       xid8        NOT NULL DEFAULT pg_current_xact_id(),
	user_id uuid,
	nonce   uuid        NOT NULL DEFAULT gen_random_uuid(),
	at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX walkin_feed_x ON walkin_feed (x, id);
CREATE INDEX walkin_feed_at ON walkin_feed (at, id);

-- Triggers write the rows, so that SQL by hand counts as well. A session that has
-- expired is over anyway: sweeps write none.
-- +goose StatementBegin
CREATE FUNCTION walkin_tell_sessions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	INSERT INTO walkin_feed (user_id) SELECT DISTINCT user_id FROM gone WHERE expires_at > now() - interval '2 minutes';
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER walkin_tell AFTER DELETE ON walkin_sessions
	REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION walkin_tell_sessions();

-- +goose StatementBegin
CREATE FUNCTION walkin_tell_user() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	IF TG_TABLE_NAME = 'walkin_users' THEN
		INSERT INTO walkin_feed (user_id) VALUES (NEW.id);
	ELSE
		INSERT INTO walkin_feed (user_id) VALUES (NEW.user_id);
	END IF;
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER walkin_tell AFTER UPDATE OF anonymous, banned_until ON walkin_users FOR EACH ROW
	WHEN (OLD.anonymous <> NEW.anonymous OR OLD.banned_until IS DISTINCT FROM NEW.banned_until)
	EXECUTE FUNCTION walkin_tell_user();

-- Also of a user who was never stored, whose token is one all the same.
CREATE TRIGGER walkin_tell AFTER INSERT ON walkin_tombstones FOR EACH ROW EXECUTE FUNCTION walkin_tell_user();

-- +goose StatementBegin
CREATE FUNCTION walkin_tell_all() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	INSERT INTO walkin_feed (user_id) VALUES ('00000000-0000-0000-0000-000000000000');
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER walkin_tell AFTER UPDATE OF id, adopted, born_at, ended_at, anonymous_ended_at ON walkin_database
	FOR EACH STATEMENT EXECUTE FUNCTION walkin_tell_all();
CREATE TRIGGER walkin_tell_all AFTER TRUNCATE ON walkin_sessions FOR EACH STATEMENT EXECUTE FUNCTION walkin_tell_all();
