-- What row-level security needs to know who asks. Run it once, as the owner of
-- the database; running it again changes nothing.

DO $$ BEGIN
	-- Roles belong to the whole cluster, and have no IF NOT EXISTS.
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
		CREATE ROLE anon NOLOGIN;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
		CREATE ROLE authenticated NOLOGIN;
	END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated;

-- The claims of whoever asks. A policy like "anonymous users see less, all
-- others everything" would show everything when the flag is missing, so a
-- missing one counts as anonymous. In policies write (SELECT auth.jwt()): it is
-- then asked once a query and not once a row.
CREATE OR REPLACE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
	RETURN '{"is_anonymous": true}'::jsonb || jsonb_strip_nulls(
		coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb);

-- The user's ID, or NULL for nobody.
CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
	RETURN (auth.jwt() ->> 'sub')::uuid;
