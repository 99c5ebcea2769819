-- +goose Up

CREATE TABLE walkin_users (
	id         uuid        NOT NULL PRIMARY KEY,
	anonymous  boolean     NOT NULL,
	created_at timestamptz NOT NULL,
	seen_at    timestamptz NOT NULL
);

-- For the sweep: anonymous users by how long they have been away.
CREATE INDEX walkin_users_away ON walkin_users (seen_at, id) WHERE anonymous = TRUE;

CREATE TABLE walkin_sessions (
	id         uuid        NOT NULL PRIMARY KEY,
	user_id    uuid        NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	created_at timestamptz NOT NULL,
	renewed_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL
);

CREATE INDEX walkin_sessions_user ON walkin_sessions (user_id);
CREATE INDEX walkin_sessions_expired ON walkin_sessions (expires_at);

CREATE TABLE walkin_identities (
	provider   text COLLATE "C" NOT NULL,
	subject    text COLLATE "C" NOT NULL,
	user_id    uuid             NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	secret     bytea,
	created_at timestamptz      NOT NULL,
	PRIMARY KEY (provider, subject)
);

CREATE INDEX walkin_identities_user ON walkin_identities (user_id);

-- Deleted users, for as long as a token of theirs could be presented.
CREATE TABLE walkin_tombstones (
	user_id     uuid        NOT NULL PRIMARY KEY,
	merged_into uuid,
	deleted_at  timestamptz NOT NULL,
	expires_at  timestamptz NOT NULL
);

CREATE INDEX walkin_tombstones_expired ON walkin_tombstones (expires_at);

-- New anonymous visitors become users with a session each, in one round trip. It
-- returns those who did; the others are as they were. The tombstones come after
-- the users: whoever deletes one of them stores them first, so that the first
-- INSERT waits at the primary key, and the next statement sees what was committed
-- meanwhile. In another isolation it would not.
-- +goose StatementBegin
CREATE FUNCTION walkin_persist(users uuid[], sessions uuid[], times timestamptz[], ends timestamptz[])
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
	fresh  uuid[];
	stored uuid[];
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RETURN;
	END IF;
	BEGIN -- as if all of them were new, which they nearly always are
		INSERT INTO walkin_users (id, anonymous, created_at, seen_at)
			SELECT id, TRUE, at, at FROM unnest(users, times) AS arrival (id, at);
		INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
			SELECT id, user_id, at, at, expires_at
			FROM unnest(sessions, users, times, ends) AS arrival (id, user_id, at, expires_at);
		-- One look by the key for each: of "= ANY (users)" the planner expects an early
		-- match, for which it may read the table from the start.
		IF NOT EXISTS (SELECT FROM unnest(users) AS arrival (id)
			WHERE (SELECT TRUE FROM walkin_tombstones t WHERE t.user_id = arrival.id)) THEN
			RETURN QUERY SELECT unnest(users);
			RETURN;
		END IF;
		RAISE unique_violation;
	EXCEPTION WHEN unique_violation THEN -- which has undone all of it
	END;
	WITH made AS (
		INSERT INTO walkin_users (id, anonymous, created_at, seen_at)
		SELECT id, TRUE, at, at FROM unnest(users, times) AS arrival (id, at)
		ON CONFLICT DO NOTHING RETURNING id)
	SELECT COALESCE(array_agg(id), '{}') INTO fresh FROM made;
	WITH made AS (
		INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
		SELECT id, user_id, at, at, expires_at
		FROM unnest(sessions, users, times, ends) AS arrival (id, user_id, at, expires_at)
		WHERE user_id = ANY (fresh)
			AND user_id <> ALL (ARRAY(SELECT t.user_id FROM walkin_tombstones t WHERE t.user_id = ANY (users)))
		ON CONFLICT DO NOTHING RETURNING user_id)
	SELECT COALESCE(array_agg(user_id), '{}') INTO stored FROM made;
	IF cardinality(stored) < cardinality(fresh) THEN
		-- As if they were never seen: no tombstone, see walkin_bury.
		UPDATE walkin_users SET seen_at = 'epoch' WHERE id = ANY (fresh) AND id <> ALL (stored);
		DELETE FROM walkin_users WHERE id = ANY (fresh) AND id <> ALL (stored);
	END IF;
	RETURN QUERY SELECT unnest(stored);
END $$;
-- +goose StatementEnd
