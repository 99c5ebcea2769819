-- +goose Up

-- Which database this is, and what holds for all of it: one row. Times before which
-- sessions are over; token_life in microseconds, see store.Database.

CREATE TABLE walkin_database (
	one                integer          NOT NULL PRIMARY KEY CHECK (one = 1),
	id                 text COLLATE "C" NOT NULL,
	adopted            text COLLATE "C" NOT NULL,
	born_at            timestamptz      NOT NULL,
	token_life         bigint           NOT NULL,
	token_life_until   timestamptz      NOT NULL,
	ended_at           timestamptz      NOT NULL,
	anonymous_ended_at timestamptz      NOT NULL
);

INSERT INTO walkin_database
SELECT 1, translate(substr(md5(gen_random_uuid()::text), 1, 8), '0123456789', 'ghijklmnop'), '',
	LEAST(COALESCE((SELECT MIN(created_at) FROM walkin_users), now()), now()),
	2764800000000, 'epoch', 'epoch', 'epoch';

-- Whoever deletes a user by SQL leaves the tombstone all the same, for as long as a
-- token of theirs can live. A user who was not seen for so long needs none; that is
-- whom the sweep deletes.
-- +goose StatementBegin
CREATE FUNCTION walkin_bury() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	INSERT INTO walkin_tombstones (user_id, deleted_at, expires_at)
		SELECT g.id, now(), now() + d.token_life * interval '1 microsecond'
		FROM gone g, walkin_database d
		WHERE g.seen_at >= now() - d.token_life * interval '1 microsecond'
		ON CONFLICT DO NOTHING;
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER walkin_bury AFTER DELETE ON walkin_users
	REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION walkin_bury();

-- TRUNCATE names nobody, so it ends everybody.
-- +goose StatementBegin
CREATE FUNCTION walkin_bury_all() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	UPDATE walkin_database SET ended_at = clock_timestamp(), anonymous_ended_at = clock_timestamp();
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER walkin_bury_all AFTER TRUNCATE ON walkin_users
	FOR EACH STATEMENT EXECUTE FUNCTION walkin_bury_all();
