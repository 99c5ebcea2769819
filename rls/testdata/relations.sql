-- Relations in the shapes that projects have, for the linter. Above each, what
-- anonymous users reach: relation, command, verdict. Written for functions that
-- leave a missing claim NULL, so that what fails open shows.

CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS;
CREATE ROLE subscriber; GRANT subscriber TO authenticated;
CREATE ROLE staff; GRANT authenticated TO staff;
CREATE ROLE tables_owner;
CREATE ROLE app LOGIN NOINHERIT; GRANT anon, authenticated TO app;
CREATE ROLE worker LOGIN; GRANT authenticated, tables_owner TO worker;

CREATE SCHEMA auth; CREATE SCHEMA private; CREATE SCHEMA hidden; CREATE SCHEMA "Shop";
GRANT USAGE ON SCHEMA auth, "Shop" TO anon, authenticated;
GRANT USAGE ON SCHEMA public TO authenticated;

CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT (auth.jwt() ->> 'sub')::uuid $$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$ SELECT auth.jwt() ->> 'role' $$;
CREATE FUNCTION public.signed_up() RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT coalesce((auth.jwt() ->> 'is_anonymous')::boolean, true) = false $$;

-- What others are members of.
-- want: public.members SELECT limited
CREATE TABLE members (org uuid NOT NULL, person uuid NOT NULL, rank text NOT NULL DEFAULT 'reader', PRIMARY KEY (org, person));
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON members TO authenticated;
CREATE POLICY own ON members FOR SELECT TO authenticated USING (person = (SELECT auth.uid()));
-- In a schema that visitors may not name, as is advised for such functions.
CREATE FUNCTION private.belongs(o uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
	SELECT EXISTS (SELECT FROM public.members m WHERE m.org = o AND m.person = auth.uid()) $$;
CREATE FUNCTION private.my_orgs() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
	SELECT org FROM public.members WHERE person = auth.uid() $$;
CREATE FUNCTION private.rank_in(o uuid) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
	BEGIN RETURN (SELECT rank FROM public.members m WHERE m.org = o AND m.person = auth.uid()); END $$;
-- want: private.belongs(uuid) EXECUTE dead

-- 1: a tenant out of app_metadata.
-- want: public.t_claim SELECT unknown
CREATE TABLE t_claim (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant uuid NOT NULL, title text);
ALTER TABLE t_claim ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t_claim TO authenticated;
CREATE POLICY tenant ON t_claim USING (tenant = (auth.jwt() -> 'app_metadata' ->> 'tenant_id')::uuid);

-- 2: the same behind a restrictive guard.
-- want: public.t_guarded SELECT closed
-- want: public.t_guarded INSERT closed
-- want: public.t_guarded UPDATE closed
-- want: public.t_guarded DELETE closed
-- want: public.t_guarded TRUNCATE dead
CREATE TABLE t_guarded (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant uuid NOT NULL, title text);
ALTER TABLE t_guarded ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE, DELETE ON t_guarded TO authenticated;
CREATE POLICY tenant ON t_guarded USING (tenant = (auth.jwt() -> 'app_metadata' ->> 'tenant_id')::uuid);
CREATE POLICY members_only ON t_guarded AS RESTRICTIVE USING ((SELECT (auth.jwt() ->> 'is_anonymous')::boolean) IS FALSE);

-- 3: a tenant in a setting of the app's.
-- want: public.t_setting SELECT unknown
CREATE TABLE t_setting (tenant uuid NOT NULL, title text);
ALTER TABLE t_setting ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t_setting TO authenticated;
CREATE POLICY tenant ON t_setting USING (tenant = nullif(current_setting('app.tenant_id', true), '')::uuid);

-- 4: a setting that has to be there, and a guard.
-- want: public.t_setting_guarded SELECT closed
CREATE TABLE t_setting_guarded (tenant uuid NOT NULL, title text);
ALTER TABLE t_setting_guarded ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t_setting_guarded TO authenticated;
CREATE POLICY tenant ON t_setting_guarded USING (tenant = current_setting('app.tenant_id')::uuid);
CREATE POLICY guard ON t_setting_guarded AS RESTRICTIVE FOR SELECT USING (signed_up());

-- 5: a tenant and a role out of two claims of the token hook's.
-- want: public.t_two_claims UPDATE closed
CREATE TABLE t_two_claims (tenant uuid NOT NULL, title text);
ALTER TABLE t_two_claims ENABLE ROW LEVEL SECURITY; GRANT UPDATE ON t_two_claims TO authenticated;
CREATE POLICY u ON t_two_claims FOR UPDATE USING (tenant = (auth.jwt() ->> 'org_id')::uuid AND auth.jwt() ->> 'org_role' = 'owner' AND signed_up());

-- 6: membership.
-- want: public.m_plain SELECT unknown
CREATE TABLE m_plain (id uuid PRIMARY KEY, org uuid, body text);
ALTER TABLE m_plain ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_plain TO authenticated;
CREATE POLICY m ON m_plain FOR SELECT USING (EXISTS (SELECT 1 FROM members m WHERE m.org = m_plain.org AND m.person = auth.uid()));

-- 7: membership and the claim in one expression, the membership first.
-- want: public.m_asks SELECT closed
-- want: public.m_asks INSERT closed
CREATE TABLE m_asks (id uuid PRIMARY KEY, org uuid, body text);
ALTER TABLE m_asks ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT ON m_asks TO authenticated;
CREATE POLICY m ON m_asks USING (org IN (SELECT org FROM members WHERE person = auth.uid()) AND (auth.jwt() ->> 'is_anonymous')::boolean IS FALSE);

-- 8: by a function in a hidden schema, and the claim.
-- want: public.m_function SELECT closed
-- want: public.m_function DELETE closed
-- want: public.m_function UPDATE unknown
CREATE TABLE m_function (id uuid PRIMARY KEY, org uuid, body text);
ALTER TABLE m_function ENABLE ROW LEVEL SECURITY; GRANT SELECT, UPDATE, DELETE ON m_function TO authenticated;
CREATE POLICY s ON m_function FOR SELECT USING (private.belongs(org) AND signed_up());
CREATE POLICY d ON m_function FOR DELETE USING (private.rank_in(org) = 'owner' AND (SELECT signed_up()));
CREATE POLICY u ON m_function FOR UPDATE USING (private.rank_in(org) = ANY (ARRAY['owner', 'editor']));

-- 9: public rows, own rows, members' rows.
-- want: public.m_or SELECT limited
CREATE TABLE m_or (id uuid PRIMARY KEY, org uuid, author uuid, visibility text NOT NULL CHECK (visibility IN ('public', 'org')));
ALTER TABLE m_or ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_or TO authenticated;
CREATE POLICY s ON m_or FOR SELECT USING (visibility = 'public' OR author = auth.uid() OR org IN (SELECT private.my_orgs()));

-- 10: a table that visitors may not read: every statement fails.
-- want: public.m_denied SELECT unknown
CREATE TABLE private.roster (person uuid);
CREATE TABLE m_denied (id uuid PRIMARY KEY);
ALTER TABLE m_denied ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_denied TO authenticated;
CREATE POLICY s ON m_denied FOR SELECT USING (EXISTS (SELECT FROM private.roster r WHERE r.person = auth.uid()));

-- 11: a table of which anonymous users see nothing.
-- want: public.profiles SELECT closed
-- want: public.m_through SELECT closed
CREATE TABLE profiles (person uuid PRIMARY KEY, banned boolean NOT NULL DEFAULT false);
ALTER TABLE profiles ENABLE ROW LEVEL SECURITY; GRANT SELECT ON profiles TO authenticated;
CREATE POLICY s ON profiles FOR SELECT USING (signed_up());
CREATE TABLE m_through (id uuid PRIMARY KEY, body text);
ALTER TABLE m_through ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_through TO authenticated;
CREATE POLICY s ON m_through FOR SELECT USING (EXISTS (SELECT 1 FROM profiles p WHERE p.person = auth.uid() AND NOT p.banned));

-- 12: a list of the banned.
-- want: public.m_not SELECT unknown
CREATE TABLE m_not (id uuid PRIMARY KEY);
ALTER TABLE m_not ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_not TO authenticated;
CREATE POLICY s ON m_not FOR SELECT USING (NOT EXISTS (SELECT FROM members m WHERE m.person = auth.uid() AND m.rank = 'banned'));

-- 13: members, or whoever has no claim.
-- want: public.m_fail_open SELECT fail-open
CREATE TABLE m_fail_open (id uuid PRIMARY KEY, org uuid);
ALTER TABLE m_fail_open ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_fail_open TO authenticated;
CREATE POLICY s ON m_fail_open FOR SELECT USING (private.belongs(org) AND (auth.jwt() ->> 'is_anonymous')::boolean IS NOT TRUE);

-- 14: policies that ask their own table never end: an error for everybody.
-- want: public.m_recursive SELECT unknown
CREATE TABLE m_recursive (org uuid, person uuid);
ALTER TABLE m_recursive ENABLE ROW LEVEL SECURITY; GRANT SELECT ON m_recursive TO authenticated;
CREATE POLICY s ON m_recursive FOR SELECT USING (EXISTS (SELECT FROM m_recursive o WHERE o.org = m_recursive.org AND o.person = auth.uid()));

-- 15: a quota that only anonymous users have.
-- want: public.m_quota INSERT unknown
-- want: public.m_quota SELECT limited
CREATE TABLE m_quota (id bigint GENERATED BY DEFAULT AS IDENTITY, author uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE m_quota ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT ON m_quota TO authenticated;
CREATE POLICY s ON m_quota FOR SELECT USING (author = auth.uid());
CREATE POLICY i ON m_quota FOR INSERT WITH CHECK (author = auth.uid() AND (signed_up() OR (SELECT count(*) FROM m_quota q WHERE q.author = auth.uid()) < 3));

-- 16: partitions, one of them reached by a grant of its own.
-- want: public.events SELECT closed
-- want: public.events_2025 SELECT rls-off
-- want: public.events_2026 SELECT dead
-- want: public.events_2027 SELECT limited
CREATE TABLE events (at timestamptz NOT NULL, actor uuid, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
ALTER TABLE events ENABLE ROW LEVEL SECURITY; GRANT SELECT ON events, events_2025, events_2027 TO authenticated;
CREATE POLICY guard ON events FOR SELECT USING (actor = auth.uid() AND signed_up());
ALTER TABLE events_2027 ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON events_2027 FOR SELECT USING (actor = auth.uid());

-- 17: a partition by list, whose bound decides.
-- want: public.posts_draft SELECT closed
CREATE TABLE posts_by_state (state text NOT NULL, body text) PARTITION BY LIST (state);
CREATE TABLE posts_draft PARTITION OF posts_by_state FOR VALUES IN ('draft', 'review');
ALTER TABLE posts_draft ENABLE ROW LEVEL SECURITY; GRANT SELECT ON posts_draft TO authenticated;
CREATE POLICY s ON posts_draft FOR SELECT USING (state = 'published' OR (state = 'draft' AND signed_up()));

-- 18: inheritance; the child has no policies of its own.
-- want: public.notes_parent SELECT closed
-- want: public.notes_child SELECT rls-off
CREATE TABLE notes_parent (id int, body text);
CREATE TABLE notes_child (extra text) INHERITS (notes_parent);
ALTER TABLE notes_parent ENABLE ROW LEVEL SECURITY; GRANT SELECT ON notes_parent, notes_child TO authenticated;
CREATE POLICY s ON notes_parent FOR SELECT USING (signed_up());

-- 19: names in quotes, keywords and capitals.
-- want: "Shop"."Order Items" SELECT limited
-- want: "Shop"."Order Items" INSERT closed
CREATE TABLE "Shop"."Order Items" ("User" uuid, "select" text, "it's" boolean, "the ""kind""" text);
ALTER TABLE "Shop"."Order Items" ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT ON "Shop"."Order Items" TO authenticated;
CREATE POLICY "read it" ON "Shop"."Order Items" FOR SELECT USING ("User" = auth.uid() AND "select" = 'it''s (here' AND "it's");
CREATE POLICY "write it" ON "Shop"."Order Items" FOR INSERT WITH CHECK (("User" = auth.uid() OR "the ""kind""" = 'gift') AND public.signed_up());

-- 20: columns that may be inserted; the owner is the default.
-- want: public.c_insert INSERT limited
CREATE TABLE c_insert (id bigint GENERATED ALWAYS AS IDENTITY, author uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE c_insert ENABLE ROW LEVEL SECURITY; GRANT INSERT (body) ON c_insert TO authenticated;
CREATE POLICY i ON c_insert FOR INSERT WITH CHECK (author = auth.uid());

-- 21: what would let anonymous users in is a column that they cannot set.
-- want: public.c_default INSERT closed
-- want: public.c_default UPDATE closed
CREATE TABLE c_default (id int, kind text NOT NULL DEFAULT 'notice', body text);
ALTER TABLE c_default ENABLE ROW LEVEL SECURITY; GRANT INSERT (body), UPDATE (body) ON c_default TO authenticated;
CREATE POLICY i ON c_default FOR INSERT WITH CHECK (kind = 'comment' OR signed_up());
CREATE POLICY u ON c_default FOR UPDATE USING (kind = 'notice') WITH CHECK (kind = 'comment' OR signed_up());

-- 22: the same, where they can.
-- want: public.c_settable INSERT limited
-- want: public.c_settable UPDATE limited
CREATE TABLE c_settable (id int, kind text NOT NULL DEFAULT 'notice', body text);
ALTER TABLE c_settable ENABLE ROW LEVEL SECURITY; GRANT INSERT (body, kind), UPDATE (kind) ON c_settable TO authenticated;
CREATE POLICY i ON c_settable FOR INSERT WITH CHECK (kind = 'comment' OR signed_up());
CREATE POLICY u ON c_settable FOR UPDATE USING (kind = 'notice') WITH CHECK (kind = 'comment' OR signed_up());

-- 23: columns that may be read.
-- want: public.c_select SELECT open
CREATE TABLE c_select (id int, secret text, name text);
ALTER TABLE c_select ENABLE ROW LEVEL SECURITY; GRANT SELECT (id, name) ON c_select TO authenticated;
CREATE POLICY s ON c_select FOR SELECT USING (true);

-- 24: a column that has to be there and that they cannot set.
-- want: public.c_impossible INSERT dead
CREATE TABLE c_impossible (owner uuid NOT NULL, body text);
ALTER TABLE c_impossible ENABLE ROW LEVEL SECURITY; GRANT INSERT (body) ON c_impossible TO authenticated;
CREATE POLICY i ON c_impossible FOR INSERT WITH CHECK (true);

-- want: public.c_sequence INSERT dead
CREATE TABLE c_sequence (id serial, body text);
ALTER TABLE c_sequence ENABLE ROW LEVEL SECURITY; GRANT INSERT (body) ON c_sequence TO authenticated;
CREATE POLICY i ON c_sequence FOR INSERT WITH CHECK (true);

-- 25: an enum.
-- want: public.e_enum SELECT limited
-- want: public.e_enum INSERT closed
CREATE TYPE stage AS ENUM ('draft', 'in review', 'published');
CREATE TABLE e_enum (id int, stage stage NOT NULL, past stage[] NOT NULL DEFAULT '{}');
ALTER TABLE e_enum ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT ON e_enum TO authenticated;
CREATE POLICY s ON e_enum FOR SELECT USING (stage >= 'published' OR signed_up());
CREATE POLICY i ON e_enum FOR INSERT WITH CHECK (stage = 'draft' AND 'in review' = ANY (past) AND signed_up());

-- 26: arrays.
-- want: public.e_array SELECT limited
-- want: public.e_array UPDATE closed
CREATE TABLE e_array (id int, readers uuid[] NOT NULL, tags text[]);
ALTER TABLE e_array ENABLE ROW LEVEL SECURITY; GRANT SELECT, UPDATE ON e_array TO authenticated;
CREATE POLICY s ON e_array FOR SELECT USING (auth.uid() = ANY (readers) OR tags @> ARRAY['public']);
CREATE POLICY u ON e_array FOR UPDATE USING (cardinality(readers) > 0 AND readers[1] = auth.uid() AND signed_up());

-- 27: domains.
-- want: public.e_domain SELECT limited
-- want: public.e_domain DELETE closed
CREATE DOMAIN code AS text NOT NULL CHECK (VALUE ~ '^[A-Z]{3}$' OR VALUE = 'free-for-all');
CREATE DOMAIN person AS uuid NOT NULL;
CREATE TABLE e_domain (id int, code code, who person);
ALTER TABLE e_domain ENABLE ROW LEVEL SECURITY; GRANT SELECT, DELETE ON e_domain TO authenticated;
CREATE POLICY s ON e_domain FOR SELECT USING (code = 'free-for-all');
CREATE POLICY d ON e_domain FOR DELETE USING (who = auth.uid() AND signed_up());

-- 28: generated columns.
-- want: public.e_generated SELECT limited
-- want: public.e_generated DELETE closed
CREATE TABLE e_generated (id int, visibility text NOT NULL, shown boolean GENERATED ALWAYS AS (visibility = 'everyone') STORED,
	never boolean GENERATED ALWAYS AS (false AND visibility = 'x') STORED);
ALTER TABLE e_generated ENABLE ROW LEVEL SECURITY; GRANT SELECT, DELETE ON e_generated TO authenticated;
CREATE POLICY s ON e_generated FOR SELECT USING (shown);
CREATE POLICY d ON e_generated FOR DELETE USING (shown AND NOT never AND signed_up());

-- 29: JSON documents.
-- want: public.e_json SELECT limited
-- want: public.e_json UPDATE closed
CREATE TABLE e_json (id int, doc jsonb NOT NULL);
ALTER TABLE e_json ENABLE ROW LEVEL SECURITY; GRANT SELECT, UPDATE ON e_json TO authenticated;
CREATE POLICY s ON e_json FOR SELECT USING (doc ->> 'visibility' = 'public' OR (doc ->> 'owner')::uuid = auth.uid());
CREATE POLICY u ON e_json FOR UPDATE USING (doc -> 'editors' ? auth.uid()::text AND signed_up());

-- 30: numbers, times, text in one condition.
-- want: public.e_many SELECT limited
-- want: public.e_many DELETE closed
CREATE TABLE e_many (id int, author uuid, state text, score numeric(4, 1), tries smallint, created_at timestamptz, deleted_at timestamptz, slug varchar(12));
ALTER TABLE e_many ENABLE ROW LEVEL SECURITY; GRANT SELECT, DELETE ON e_many TO authenticated;
CREATE POLICY s ON e_many FOR SELECT USING (deleted_at IS NULL AND state IN ('published', 'archived') AND score >= 7.5 AND created_at > now() - interval '3 years');
CREATE POLICY d ON e_many FOR DELETE USING (author = auth.uid() AND tries < 3 AND created_at > now() - interval '15 minutes' AND slug LIKE 'a%' AND signed_up());

-- 31: files in folders of their owners.
-- want: public.files SELECT limited
-- want: public.files INSERT closed
CREATE FUNCTION folder(name text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
	DECLARE parts text[] := string_to_array(name, '/'); BEGIN RETURN parts[1:cardinality(parts) - 1]; END $$;
CREATE TABLE files (bucket text, name text, owner uuid);
ALTER TABLE files ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT ON files TO authenticated;
CREATE POLICY s ON files FOR SELECT USING (bucket = 'avatars' AND (folder(name))[1] = auth.uid()::text);
CREATE POLICY i ON files FOR INSERT WITH CHECK (bucket = 'avatars' AND auth.uid()::text = (folder(name))[1] AND signed_up());

-- 32: a function of the whole row.
-- want: public.whole SELECT limited
-- want: public.whole DELETE closed
CREATE TABLE whole (id int, author uuid, live boolean);
CREATE FUNCTION mine(w whole) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT w.live AND w.author = auth.uid() $$;
ALTER TABLE whole ENABLE ROW LEVEL SECURITY; GRANT SELECT, DELETE ON whole TO authenticated;
CREATE POLICY s ON whole FOR SELECT USING (mine(whole));
CREATE POLICY d ON whole FOR DELETE USING (mine(whole.*) AND signed_up());

-- 33: a view with the visitor's rights.
-- want: public.v_base SELECT closed
-- want: public.v_invoker SELECT closed
CREATE TABLE v_base (id int, author uuid, body text);
ALTER TABLE v_base ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE, DELETE ON v_base TO authenticated;
CREATE POLICY guard ON v_base USING (author = auth.uid() AND signed_up());
CREATE VIEW v_invoker WITH (security_invoker = true) AS SELECT id, author, body FROM v_base WHERE body IS NOT NULL;
GRANT SELECT ON v_invoker TO authenticated;

-- 34: with the owner's.
-- want: public.v_owner SELECT walks-past
-- want: public.v_owner INSERT walks-past
-- want: public.v_owner UPDATE walks-past
-- want: public.v_owner DELETE dead
CREATE VIEW v_owner AS SELECT id, author, body FROM v_base;
GRANT SELECT, INSERT, UPDATE ON v_owner TO authenticated;

-- 35: one that asks itself, without CHECK OPTION and with it.
-- want: public.v_asks SELECT closed
-- want: public.v_asks INSERT walks-past
-- want: public.v_asks UPDATE closed
-- want: public.v_asks DELETE closed
-- want: public.v_checked SELECT closed
-- want: public.v_checked INSERT closed
-- want: public.v_checked UPDATE closed
CREATE VIEW v_asks AS SELECT id, author, body FROM v_base WHERE signed_up();
CREATE VIEW v_checked AS SELECT id, author, body FROM v_base WHERE signed_up() WITH CHECK OPTION;
GRANT SELECT, INSERT, UPDATE, DELETE ON v_asks, v_checked TO authenticated;

-- 36: a view over that one, and a join.
-- want: public.v_nested SELECT closed
-- want: public.v_join SELECT walks-past
-- want: public.v_join INSERT dead
-- want: public.v_count SELECT walks-past
CREATE VIEW v_nested AS SELECT body AS b, upper(body) AS loud FROM v_asks WHERE id > 0;
CREATE VIEW v_join AS SELECT b.body, m.rank FROM v_base b JOIN members m ON m.person = b.author;
CREATE VIEW v_count AS SELECT count(*) AS n FROM v_base;
GRANT SELECT ON v_nested, v_join, v_count TO authenticated; GRANT INSERT ON v_join TO authenticated;

-- 37: a materialized view.
-- want: public.v_kept SELECT walks-past
CREATE MATERIALIZED VIEW v_kept AS SELECT id, body FROM v_base;
GRANT SELECT ON v_kept TO authenticated;

-- 38: a view over what has no policies, itself the door.
-- want: public.catalogue SELECT dead
-- want: public.v_catalogue SELECT limited
CREATE TABLE catalogue (id int, listed boolean NOT NULL, price numeric);
CREATE VIEW v_catalogue AS SELECT id, price FROM catalogue WHERE listed;
GRANT SELECT ON v_catalogue TO authenticated;

-- 39: the app's login owns the table; FORCE holds it too.
-- want: public.o_owned SELECT owner
-- want: public.o_forced SELECT closed
-- want: public.o_inherited INSERT owner
CREATE TABLE o_owned (id int); CREATE TABLE o_forced (id int); CREATE TABLE o_inherited (id int);
ALTER TABLE o_owned ENABLE ROW LEVEL SECURITY; ALTER TABLE o_forced ENABLE ROW LEVEL SECURITY; ALTER TABLE o_inherited ENABLE ROW LEVEL SECURITY;
ALTER TABLE o_owned OWNER TO app; ALTER TABLE o_forced OWNER TO app; ALTER TABLE o_inherited OWNER TO tables_owner;
ALTER TABLE o_forced FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON o_owned, o_forced, o_inherited TO authenticated;
CREATE POLICY s ON o_owned USING (signed_up()); CREATE POLICY s ON o_forced USING (signed_up()); CREATE POLICY s ON o_inherited USING (signed_up());

-- 40: roles.
-- want: public.r_inherited SELECT open
-- want: public.r_staff SELECT dead
-- want: public.r_anon SELECT dead
-- want: public.r_service SELECT dead
-- want: public.r_none SELECT dead
-- want: hidden.r_schema SELECT dead
CREATE TABLE r_inherited (id int); CREATE TABLE r_staff (id int); CREATE TABLE r_anon (id int); CREATE TABLE r_service (id int); CREATE TABLE r_none (id int);
CREATE TABLE hidden.r_schema (id int);
ALTER TABLE r_inherited ENABLE ROW LEVEL SECURITY; ALTER TABLE r_staff ENABLE ROW LEVEL SECURITY; ALTER TABLE r_anon ENABLE ROW LEVEL SECURITY;
ALTER TABLE r_service ENABLE ROW LEVEL SECURITY; ALTER TABLE r_none ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON r_inherited TO subscriber; GRANT SELECT ON r_staff, r_anon, r_service, r_none, hidden.r_schema TO authenticated;
CREATE POLICY s ON r_inherited TO subscriber USING (true);
CREATE POLICY s ON r_staff TO staff USING (true);
CREATE POLICY s ON r_anon TO anon USING (true);
CREATE POLICY s ON r_service USING (auth.role() = 'service_role');

-- 41: triggers.
-- want: public.g_touch UPDATE limited
-- want: public.g_refuses INSERT unknown
-- want: public.g_refuses DELETE open
-- want: public.g_guarded INSERT closed
-- want: public.touch() EXECUTE dead
CREATE TABLE g_touch (id int, author uuid, updated_at timestamptz); CREATE TABLE g_refuses (id int); CREATE TABLE g_guarded (id int, author uuid);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
CREATE FUNCTION no_guests() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT public.signed_up() THEN RAISE 'sign up first'; END IF; RETURN NEW; END $$;
CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.author := auth.uid(); RETURN NEW; END $$;
CREATE TRIGGER t BEFORE UPDATE ON g_touch FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER t BEFORE INSERT ON g_refuses FOR EACH ROW EXECUTE FUNCTION no_guests();
CREATE TRIGGER t BEFORE INSERT ON g_guarded FOR EACH ROW EXECUTE FUNCTION take();
ALTER TABLE g_touch ENABLE ROW LEVEL SECURITY; ALTER TABLE g_refuses ENABLE ROW LEVEL SECURITY; ALTER TABLE g_guarded ENABLE ROW LEVEL SECURITY;
GRANT UPDATE ON g_touch TO authenticated; GRANT INSERT, DELETE ON g_refuses TO authenticated; GRANT INSERT ON g_guarded TO authenticated;
CREATE POLICY u ON g_touch FOR UPDATE USING (author = auth.uid());
CREATE POLICY i ON g_refuses USING (true);
CREATE POLICY i ON g_guarded FOR INSERT WITH CHECK (author = auth.uid() AND signed_up());

-- 42: a guard for SELECT holds no write without WHERE or RETURNING.
-- want: public.w_select SELECT closed
-- want: public.w_select INSERT open
-- want: public.w_select UPDATE open
-- want: public.w_select DELETE open
CREATE TABLE w_select (id int, body text);
ALTER TABLE w_select ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE, DELETE ON w_select TO authenticated;
CREATE POLICY everything ON w_select USING (true);
CREATE POLICY guard ON w_select AS RESTRICTIVE FOR SELECT USING (signed_up());

-- 43: USING alone is a check too; WITH CHECK alone is no USING.
-- want: public.w_using INSERT closed
-- want: public.w_using UPDATE closed
-- want: public.w_check UPDATE dead
-- want: public.w_move UPDATE limited
CREATE TABLE w_using (id int, body text); CREATE TABLE w_check (id int); CREATE TABLE w_move (id int, author uuid);
ALTER TABLE w_using ENABLE ROW LEVEL SECURITY; ALTER TABLE w_check ENABLE ROW LEVEL SECURITY; ALTER TABLE w_move ENABLE ROW LEVEL SECURITY;
GRANT INSERT, UPDATE ON w_using, w_check, w_move TO authenticated;
CREATE POLICY a ON w_using FOR ALL USING (signed_up());
CREATE POLICY a ON w_check FOR UPDATE WITH CHECK (true);
CREATE POLICY a ON w_move FOR UPDATE USING (author = auth.uid()) WITH CHECK (true);

-- 44: what one policy asks, another gives away.
-- want: public.x_void INSERT void-guard
-- want: public.x_void DELETE limited
CREATE TABLE x_void (id int, author uuid);
ALTER TABLE x_void ENABLE ROW LEVEL SECURITY; GRANT INSERT, DELETE ON x_void TO authenticated;
CREATE POLICY guard ON x_void FOR INSERT WITH CHECK ((auth.jwt() ->> 'is_anonymous')::boolean IS FALSE);
CREATE POLICY loose ON x_void FOR ALL USING (author = auth.uid()) WITH CHECK (author IS NULL OR author IS NOT NULL);

-- 45: the wrong way round, in three spellings.
-- want: public.x_inverted SELECT inverted
-- want: public.x_inverted INSERT inverted
-- want: public.x_inverted DELETE inverted
CREATE TABLE x_inverted (id int, author uuid);
ALTER TABLE x_inverted ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, DELETE ON x_inverted TO authenticated;
CREATE POLICY s ON x_inverted FOR SELECT USING (author = auth.uid() AND auth.jwt() ->> 'is_anonymous' = 'true');
CREATE POLICY i ON x_inverted FOR INSERT WITH CHECK (auth.jwt() @> '{"is_anonymous": true}');
CREATE POLICY d ON x_inverted FOR DELETE USING (NOT signed_up());

-- 46: a missing claim.
-- want: public.x_missing SELECT fail-open
-- want: public.x_missing INSERT fail-open
-- want: public.x_missing UPDATE fail-open
-- want: public.x_missing DELETE closed
CREATE TABLE x_missing (id int);
ALTER TABLE x_missing ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE, DELETE ON x_missing TO authenticated;
CREATE POLICY s ON x_missing FOR SELECT USING (coalesce(auth.jwt() ->> 'is_anonymous', 'false') <> 'true');
CREATE POLICY i ON x_missing FOR INSERT WITH CHECK ((auth.jwt() -> 'is_anonymous') IS DISTINCT FROM 'true'::jsonb);
CREATE POLICY u ON x_missing FOR UPDATE USING (NOT (auth.jwt() @> '{"is_anonymous": true}'));
CREATE POLICY d ON x_missing FOR DELETE USING (NOT coalesce((auth.jwt() ->> 'is_anonymous')::boolean, true));

-- 47: what visitors write themselves.
-- want: public.x_metadata SELECT user-metadata
-- want: public.x_metadata INSERT user-metadata
-- want: public.x_metadata DELETE closed
CREATE FUNCTION plan() RETURNS text LANGUAGE sql STABLE AS $$ SELECT auth.jwt() #>> '{user_metadata,plan}' $$;
CREATE TABLE x_metadata (id int, team uuid);
ALTER TABLE x_metadata ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, DELETE ON x_metadata TO authenticated;
CREATE POLICY s ON x_metadata FOR SELECT USING (plan() = 'paid');
CREATE POLICY i ON x_metadata FOR INSERT WITH CHECK (team = (auth.jwt() -> 'user_metadata' ->> 'team_id')::uuid AND signed_up());
CREATE POLICY d ON x_metadata FOR DELETE USING (signed_up());

-- 48: functions in policies that visitors may not run, or that refuse.
-- want: public.f_denied SELECT unknown
-- want: public.f_raises SELECT closed
CREATE FUNCTION for_staff() RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT true $$; REVOKE EXECUTE ON FUNCTION for_staff() FROM PUBLIC;
CREATE FUNCTION insist() RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN IF NOT public.signed_up() THEN RAISE 'sign up first'; END IF; RETURN true; END $$;
CREATE TABLE f_denied (id int); CREATE TABLE f_raises (id int);
ALTER TABLE f_denied ENABLE ROW LEVEL SECURITY; ALTER TABLE f_raises ENABLE ROW LEVEL SECURITY; GRANT SELECT ON f_denied, f_raises TO authenticated;
CREATE POLICY s ON f_denied USING (for_staff()); CREATE POLICY s ON f_raises USING (insist());

-- 49: functions to call.
-- want: public.erase(uuid) EXECUTE walks-past
-- want: public.erase_asking(uuid) EXECUTE unknown
-- want: public.erase_denied(uuid) EXECUTE dead
-- want: public.signed_up() EXECUTE open
CREATE FUNCTION erase(who uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ DELETE FROM public.members WHERE person = who $$;
CREATE FUNCTION erase_asking(who uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ DELETE FROM public.members WHERE person = who AND public.signed_up() $$;
CREATE FUNCTION erase_denied(who uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ DELETE FROM public.members WHERE person = who $$;
REVOKE EXECUTE ON FUNCTION erase_denied(uuid) FROM PUBLIC;

-- 50: TRUNCATE, which no policy holds.
-- want: public.z_truncate SELECT closed
-- want: public.z_truncate TRUNCATE open
CREATE TABLE z_truncate (id int);
ALTER TABLE z_truncate ENABLE ROW LEVEL SECURITY; GRANT ALL ON z_truncate TO authenticated;
CREATE POLICY s ON z_truncate USING (signed_up());

-- 51: a second factor, in a claim of the token's.
-- want: public.z_aal SELECT unknown
CREATE TABLE z_aal (id int, author uuid);
ALTER TABLE z_aal ENABLE ROW LEVEL SECURITY; GRANT SELECT ON z_aal TO authenticated;
CREATE POLICY own ON z_aal USING (author = auth.uid());
CREATE POLICY mfa ON z_aal AS RESTRICTIVE USING (auth.jwt() ->> 'aal' = 'aal2');

-- 52: a share link in a header, beside a guard.
-- want: public.z_header SELECT unknown
CREATE TABLE z_header (id int, token text);
ALTER TABLE z_header ENABLE ROW LEVEL SECURITY; GRANT SELECT ON z_header TO authenticated;
CREATE POLICY guard ON z_header FOR SELECT USING (signed_up());
CREATE POLICY link ON z_header FOR SELECT USING (token = current_setting('request.headers', true)::json ->> 'x-share-token');

-- 53: both sides of a conversation, and a constraint that makes one impossible.
-- want: public.z_chat SELECT limited
-- want: public.z_chat INSERT limited
-- want: public.z_constraint SELECT closed
CREATE TABLE z_chat (sender uuid NOT NULL, recipient uuid NOT NULL, CHECK (sender <> recipient));
CREATE TABLE z_constraint (kind text NOT NULL CHECK (kind IN ('a', 'b')));
ALTER TABLE z_chat ENABLE ROW LEVEL SECURITY; ALTER TABLE z_constraint ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT ON z_chat, z_constraint TO authenticated;
CREATE POLICY s ON z_chat FOR SELECT USING (auth.uid() IN (sender, recipient));
CREATE POLICY i ON z_chat FOR INSERT WITH CHECK (sender = auth.uid());
CREATE POLICY s ON z_constraint FOR SELECT USING (kind = 'c' OR signed_up());

-- 54: references to users, and waivers.
-- want: public.board SELECT open
-- want: public.board REFERENCES blocks-deletion
-- want: public.walkin_users SELECT dead
CREATE TABLE walkin_users (id uuid PRIMARY KEY);
CREATE TABLE board (id int, author uuid REFERENCES walkin_users, pinned_by uuid REFERENCES walkin_users ON DELETE SET NULL);
ALTER TABLE board ENABLE ROW LEVEL SECURITY; GRANT SELECT, DELETE ON board TO authenticated;
CREATE POLICY read ON board FOR SELECT USING (true);
CREATE POLICY erase ON board FOR DELETE USING (true);
COMMENT ON POLICY read ON board IS E'Everybody.\nwalkin allow open: the board is public';
COMMENT ON POLICY erase ON board IS 'walkin allow open:';
