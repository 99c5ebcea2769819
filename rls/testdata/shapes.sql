-- A third set of relations for the linter, each with what was expected of it before
-- the linter saw it: relation, commands, verdict, and which of "anonymous", "depends"
-- and "missing" are true. The functions leave a missing claim NULL.
create schema auth; create schema private; create schema "Team Space"; create schema archive;
create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
create role reader_base nologin; create role "Support Staff" nologin; grant authenticated to "Support Staff";
grant usage on schema public, auth, "Team Space" to anon, authenticated;
create function auth.jwt() returns jsonb language sql stable as $$ select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;
create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
create function mk(t text, cmd text, cols text, cond text) returns void language plpgsql as $$ begin
 execute format('create table %I (%s); alter table %I enable row level security', t, cols, t);
 execute format('grant %s on %I to authenticated', cmd, t);
 execute format('create policy p on %I for %s to authenticated %s (%s)', t, cmd, case when cmd = 'insert' then 'with check' else 'using' end, cond); end $$;

-- 1 members of a team, with a name that has to be quoted.
-- want: "Team Space"."Team Members" SELECT limited anonymous missing
-- want: "Team Space"."Team Members" INSERT closed depends
-- want: "Team Space"."Team Members" UPDATE,DELETE,TRUNCATE dead
create table "Team Space"."Team Members" ("teamId" uuid, "userId" uuid not null, "Role" text not null default 'member' check ("Role" in ('member', 'admin')), primary key ("teamId", "userId"));
alter table "Team Space"."Team Members" enable row level security; grant select, insert on "Team Space"."Team Members" to authenticated;
create policy "own rows" on "Team Space"."Team Members" for select using ("userId" = (select auth.uid()));
create policy "join" on "Team Space"."Team Members" for insert with check ("userId" = auth.uid() and "Role" = 'member' and not (select (auth.jwt() ->> 'is_anonymous')::boolean));
create function private.is_admin(team uuid) returns boolean language sql stable security definer set search_path = '' as $$
 select exists (select 1 from "Team Space"."Team Members" m where m."teamId" = team and m."userId" = auth.uid() and m."Role" = 'admin') $$;

-- 2 what belongs to a team: members read, admins write, and only with an account.
-- want: public.team_docs SELECT unknown
-- want: public.team_docs UPDATE closed depends
-- want: public.team_docs DELETE closed depends
create table team_docs (id uuid primary key, team uuid not null, body text);
alter table team_docs enable row level security; grant select, update, delete on team_docs to authenticated;
create policy s on team_docs for select using (team in (select m."teamId" from "Team Space"."Team Members" m where m."userId" = (select auth.uid())));
create policy u on team_docs for update using (private.is_admin(team) and coalesce((auth.jwt() ->> 'is_anonymous')::boolean, true) = false);
create policy d on team_docs for delete using (private.is_admin(team));
create policy permanent on team_docs as restrictive for delete to public using ((select auth.jwt() ->> 'is_anonymous') is not distinct from 'false');

-- 3 the claim by IS DISTINCT FROM, NULLIF, containment, COALESCE, NOT over OR, and a bare boolean.
-- want: public.d01 SELECT fail-open depends missing
select mk('d01', 'select', 'id int', '(auth.jwt() ->> ''is_anonymous'')::boolean is distinct from true');
-- want: public.d02 SELECT closed depends
select mk('d02', 'select', 'id int', '(auth.jwt() ->> ''is_anonymous'')::boolean is not distinct from false');
-- want: public.d03 DELETE closed depends
select mk('d03', 'delete', 'id int', 'nullif(auth.jwt() ->> ''is_anonymous'', ''true'') is not null');
-- want: public.d04 SELECT closed depends
select mk('d04', 'select', 'id int', 'auth.jwt() @> ''{"is_anonymous": false}''');
-- want: public.d05 INSERT fail-open depends missing
select mk('d05', 'insert', 'id int', 'not (auth.jwt() @> ''{"is_anonymous": true}'')');
-- want: public.d06 SELECT open anonymous
select mk('d06', 'select', 'id int', 'auth.jwt() ? ''is_anonymous''');
-- want: public.d07 UPDATE fail-open depends missing
select mk('d07', 'update', 'id int', 'coalesce(auth.jwt() ->> ''is_anonymous'', ''false'') <> ''true''');
-- want: public.d08 SELECT closed depends
select mk('d08', 'select', 'id int, archived boolean not null default false', 'not ((auth.jwt() ->> ''is_anonymous'')::boolean or archived)');
-- want: public.d09 DELETE inverted anonymous depends
select mk('d09', 'delete', 'id int, owner uuid', 'owner = auth.uid() and (auth.jwt() ->> ''is_anonymous'')::boolean');
-- want: public.d10 SELECT closed depends
select mk('d10', 'select', 'id int', 'nullif(current_setting(''request.jwt.claims'', true), '''')::json #>> ''{is_anonymous}'' = ''false''');
-- want: public.d11 INSERT closed depends
select mk('d11', 'insert', 'id int', '(current_setting(''request.jwt.claims'', true)::jsonb -> ''is_anonymous'')::boolean = false');
-- want: public.d12 SELECT closed depends
select mk('d12', 'select', 'id int', '(select (auth.jwt() #>> ''{app_metadata,tier}'') = any (array[''pro'', ''team'']) and not (auth.jwt() ->> ''is_anonymous'')::boolean)');
-- want: public.d13 UPDATE user-metadata anonymous missing
select mk('d13', 'update', 'id int', 'coalesce((auth.jwt() #>> ''{user_metadata,verified}'')::boolean, false)');
-- want: public.d14 SELECT dead
select mk('d14', 'select', 'id int', 'auth.role() = ''anon''');

-- 4 CASE.
-- want: public.k01 SELECT limited anonymous depends
select mk('k01', 'select', 'id int, owner uuid', 'case (auth.jwt() ->> ''is_anonymous'') when ''true'' then owner = auth.uid() when ''false'' then true else false end');
-- want: public.k02 SELECT fail-open anonymous depends missing
select mk('k02', 'select', 'id int, status text not null', 'case when coalesce((auth.jwt() ->> ''is_anonymous'')::boolean, false) then status = ''published'' else true end');
-- want: public.k03 SELECT limited anonymous depends
select mk('k03', 'select', 'id int, status text not null', '(status = ''trial'') = (auth.jwt() ->> ''is_anonymous'')::boolean');
-- want: public.k04 SELECT limited anonymous depends
select mk('k04', 'select', 'id int, "isAnonymous" boolean not null', '"isAnonymous" = (auth.jwt() ->> ''is_anonymous'')::boolean');

-- 5 windows of time.
-- want: public.t01 SELECT limited anonymous missing
select mk('t01', 'select', 'id int, published_at timestamptz, expires_at timestamptz', 'published_at <= now() and (expires_at is null or expires_at > now())');
-- want: public.t02 SELECT limited anonymous depends
select mk('t02', 'select', 'id int, created_at timestamptz not null default now()', 'created_at > now() - interval ''7 days'' or (select (auth.jwt() ->> ''is_anonymous'')::boolean) is false');
-- want: public.t03 SELECT limited anonymous missing
select mk('t03', 'select', 'id int, during tstzrange', 'during @> now()');
-- want: public.t04 SELECT limited anonymous missing
select mk('t04', 'select', 'id int, opens time not null, closes time not null', 'localtime between opens and closes');
-- want: public.t05 SELECT limited anonymous missing
select mk('t05', 'select', 'id int, created_at timestamptz not null, ttl interval not null', 'created_at + ttl > now()');
-- want: public.t06 SELECT limited anonymous missing
select mk('t06', 'select', 'id int, created_at timestamp not null', 'date_trunc(''month'', created_at) = date_trunc(''month'', now()::timestamp) and age(created_at) < interval ''24 hours''');
-- want: public.t07 UPDATE limited anonymous missing
select mk('t07', 'update', 'id int, owner uuid, created_at timestamptz not null', 'owner = auth.uid() and extract(epoch from now() - created_at) < 900');

-- 6 texts: constants, prefixes, patterns, paths.
-- want: public.s01 SELECT limited anonymous missing
select mk('s01', 'select', 'id int, status text', 'status = ''published''');
-- want: public.s02 SELECT limited anonymous missing
select mk('s02', 'select', 'id int, title text', 'title ~* ''^public''');
-- want: public.s03 SELECT limited anonymous missing
select mk('s03', 'select', 'path text not null', 'path like ''users/'' || auth.uid() || ''/%''');
-- want: public.s04 SELECT limited anonymous missing
select mk('s04', 'select', 'path text not null', 'split_part(path, ''/'', 1) = ''teams'' and split_part(path, ''/'', 2) = auth.uid()::text');
-- want: public.s05 SELECT limited anonymous missing
select mk('s05', 'select', 'lang text, country char(2)', 'upper(country) in (''DE'', ''AT'') and lang is not null');
-- want: public.s06 SELECT limited anonymous missing
create domain email_address as text check (value ~ '^[^@ ]+@[^@ ]+$');
select mk('s06', 'select', 'id int, mail email_address not null', 'mail like ''%@corp.test''');
-- want: public.s07 INSERT limited anonymous missing
create domain handle as text check (value = lower(value) and length(value) between 3 and 30) ;
select mk('s07', 'insert', 'owner uuid not null, name handle not null', 'owner = auth.uid() and name <> ''admin''');
-- want: public.s08 SELECT limited anonymous missing
select mk('s08', 'select', 'member_ids text not null', 'auth.uid()::text = any (string_to_array(member_ids, '',''))');

-- 7 arrays, composites, numbers.
-- want: public.a01 SELECT limited anonymous missing
create type tag as (name text, color text);
select mk('a01', 'select', 'id int, labels tag[] not null', 'exists (select 1 from unnest(labels) l where l.name = ''public'')');
-- want: public.a02 UPDATE limited anonymous missing
select mk('a02', 'update', 'id int, editors uuid[]', 'array_position(editors, auth.uid()) is not null');
-- want: public.a03 SELECT limited anonymous missing
select mk('a03', 'select', 'id int, banned uuid[] not null default ''{}''', 'not (auth.uid() = any (banned))');
-- want: public.a04 SELECT limited anonymous missing
select mk('a04', 'select', 'score int not null', 'score >= 10 and score % 2 = 1');
-- want: public.a05 SELECT limited anonymous missing
select mk('a05', 'select', 'price numeric(10,2) not null, qty int not null, total numeric generated always as (price * qty) stored', 'total < 1000');

-- 8 columns: rights on some, identity, defaults, and what cannot be changed.
-- want: public.cart INSERT limited anonymous missing
-- want: public.cart UPDATE limited anonymous missing
-- want: public.cart SELECT,DELETE dead
create table cart (id bigint generated always as identity primary key, user_id uuid not null default auth.uid(), sku text not null, qty int not null default 1);
alter table cart enable row level security; grant insert (sku, qty), update (qty) on cart to authenticated;
create policy i on cart for insert with check (user_id = auth.uid() and qty between 1 and 99);
create policy u on cart for update using (user_id = auth.uid()) with check (qty > 0);
-- want: public.final_a UPDATE dead
-- want: public.final_b UPDATE limited anonymous missing
create table final_a (id int, owner uuid, status text, title text); create table final_b (id int, owner uuid, status text, title text);
alter table final_a enable row level security; alter table final_b enable row level security;
grant update (title) on final_a to authenticated; grant update (title, status) on final_b to authenticated;
create policy u on final_a for update using (owner = auth.uid() and status = 'draft') with check (status = 'final');
create policy u on final_b for update using (owner = auth.uid() and status = 'draft') with check (status = 'final');
-- want: public.frozen INSERT closed depends
create table frozen (id bigint generated always as identity primary key, author uuid not null default auth.uid(), kind text not null default 'note', body text);
alter table frozen enable row level security; grant insert (body) on frozen to authenticated;
create policy i on frozen for insert with check (author = auth.uid() and kind = 'note' and (auth.jwt() ->> 'is_anonymous')::boolean is false);

-- 9 restrictive and permissive policies, and whom they are for.
-- want: public.p01 SELECT,INSERT,UPDATE,DELETE dead
create table p01 (id int, owner uuid); alter table p01 enable row level security; grant select, insert, update, delete on p01 to authenticated;
create policy own on p01 as restrictive using (owner = auth.uid()); create policy permanent on p01 as restrictive to authenticated using ((auth.jwt() ->> 'is_anonymous')::boolean is false);
-- want: public.p02 SELECT open anonymous missing
create table p02 (id int); alter table p02 enable row level security; grant select on p02 to authenticated;
create policy all_rows on p02 for select using (true); create policy guard on p02 as restrictive for select to anon using (false);
-- want: public.p03 SELECT closed depends
-- want: public.p03 INSERT,UPDATE,DELETE open anonymous missing
create table p03 (id int); alter table p03 enable row level security; grant select, insert, update, delete on p03 to authenticated;
create policy all_rows on p03 to public using (true); create policy guard on p03 as restrictive for select to authenticated using ((auth.jwt() ->> 'is_anonymous')::boolean is false);
-- want: public.p04 SELECT void-guard anonymous missing
-- want: public.p04 DELETE closed depends
create table p04 (id int, status text not null); alter table p04 enable row level security; grant select, delete on p04 to authenticated;
create policy permanent on p04 to authenticated using ((select (auth.jwt() ->> 'is_anonymous')::boolean) is false);
create policy published on p04 for select to public using (status is not null);
-- want: public.p05 SELECT dead
create table p05 (id int); alter table p05 enable row level security; grant select on p05 to authenticated;
create policy staff on p05 for select to "Support Staff", service_role using (true);
-- want: public.p06 SELECT closed depends
create table p06 (id int, team uuid); alter table p06 enable row level security; grant select on p06 to authenticated;
create policy s on p06 for select using (team = (auth.jwt() -> 'app_metadata' ->> 'team')::uuid or private.is_admin(team));
create policy a on p06 as restrictive using ((auth.jwt() ->> 'is_anonymous')::boolean is false); create policy b on p06 as restrictive for select using (auth.uid() is not null);

-- 10 partitions and children.
-- want: public.metrics SELECT limited anonymous missing
-- want: public.metrics_acme SELECT closed depends
-- want: public.metrics_other SELECT dead
-- want: public.metrics_rest SELECT rls-off anonymous missing
create table metrics (tenant text not null, at timestamptz not null, value int) partition by list (tenant);
create table metrics_acme partition of metrics for values in ('acme'); create table metrics_other partition of metrics for values in ('other'); create table metrics_rest partition of metrics default;
alter table metrics enable row level security; alter table metrics_acme enable row level security; alter table metrics_other enable row level security;
grant select on metrics, metrics_acme, metrics_other, metrics_rest to authenticated;
create policy s on metrics for select using (tenant = 'acme');
create policy s on metrics_acme for select using ((auth.jwt() ->> 'is_anonymous')::boolean is false);
create policy s on metrics_other for select using (tenant = 'acme');
-- want: public.assets SELECT limited anonymous missing
-- want: public.videos SELECT dead
-- want: public.images SELECT rls-off anonymous missing
create table assets (id int, owner uuid); create table videos (length int) inherits (assets); create table images () inherits (assets);
alter table assets enable row level security; alter table videos enable row level security; grant select on assets, videos, images to authenticated;
create policy s on assets for select using (owner = auth.uid());

-- 11 what is no table: foreign, materialized, views on views.
-- want: public.remote SELECT rls-off anonymous missing
-- want: public.remote_ungranted SELECT dead
create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
create foreign table remote (id int) server nowhere; create foreign table remote_ungranted (id int) server nowhere; grant select on remote to authenticated;
create table guarded (id int, owner uuid, status text not null); alter table guarded enable row level security; grant select, insert on guarded to authenticated;
create policy s on guarded for select using ((auth.jwt() ->> 'is_anonymous')::boolean is false);
create table board (id int, status text not null); alter table board enable row level security; grant select on board to authenticated;
create policy s on board for select using (status = 'published');
-- want: public.mat SELECT walks-past anonymous missing
-- want: public.mat_of_mat SELECT walks-past anonymous missing
-- want: public.view_of_mat SELECT walks-past anonymous missing
create materialized view mat as select status, count(*) from guarded group by status; create materialized view mat_of_mat as select * from mat; create view view_of_mat as select * from mat;
grant select on mat_of_mat, view_of_mat to authenticated; grant select on mat to authenticated;
-- want: public.asks SELECT closed depends
-- want: public.on_asks SELECT closed depends
-- want: public.board_published SELECT limited anonymous missing
-- want: public.board_all SELECT walks-past anonymous missing
-- want: public.on_board_all SELECT walks-past anonymous missing
create view asks as select id, status from guarded where (auth.jwt() ->> 'is_anonymous')::boolean is false; create view on_asks as select id from asks;
create view board_published as select id from board where status = 'published'; create view board_all as select id, status from board;
create view on_board_all as select id from board_all where status <> 'draft';
grant select on asks, on_asks, board_published, board_all, on_board_all to authenticated;

-- 12 rules, triggers, functions.
-- want: public.ruled SELECT limited anonymous missing
-- want: public.ruled DELETE unknown
create table ruled (id int, owner uuid); alter table ruled enable row level security; grant select, delete on ruled to authenticated;
create policy own on ruled using (owner = auth.uid()); create rule keep as on delete to ruled do instead nothing;
-- want: public.stamped UPDATE limited anonymous missing
create function stamp() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
create table stamped (id int, owner uuid, updated_at timestamptz); create trigger stamp before update on stamped for each row execute function stamp();
alter table stamped enable row level security; grant update on stamped to authenticated; create policy own on stamped for update using (owner = auth.uid());
-- want: public.stamp() EXECUTE dead
-- want: public.wipe(uuid) EXECUTE walks-past anonymous missing
create function wipe(o uuid) returns void language sql security definer set search_path = public, pg_temp as $$ delete from guarded where owner = o $$;
-- want: private.is_admin(uuid) EXECUTE dead
-- want: public.wipe_asks(uuid) EXECUTE unknown
create function wipe_asks(o uuid) returns void language plpgsql security definer set search_path = '' as $$ begin
 if (auth.jwt() ->> 'is_anonymous')::boolean is distinct from false then raise insufficient_privilege; end if; delete from public.guarded where owner = o; end $$;
-- want: archive.old SELECT dead
create table archive.old (id int); grant select on archive.old to authenticated;
-- want: public.quoted SELECT limited anonymous missing
-- want: public.quoted INSERT unknown
create table quoted (id int, owner uuid); alter table quoted enable row level security; grant select, insert on quoted to authenticated;
create policy s on quoted for select using (owner = (select auth.uid()));
create policy three on quoted for insert with check (owner = auth.uid() and (select count(*) from quoted q where q.owner = auth.uid()) < 3);
-- want: public.unchecked SELECT limited anonymous missing
create table unchecked (id int, status text not null); alter table unchecked add constraint old_rows check (status <> 'legacy') not valid;
alter table unchecked enable row level security; grant select on unchecked to authenticated; create policy s on unchecked for select using (status = 'legacy');
-- want: public.parents SELECT limited anonymous missing
create table parents (id int, kind text not null, check (kind = 'own') no inherit); create table children () inherits (parents);
alter table parents enable row level security; grant select on parents to authenticated; create policy s on parents for select using (kind = 'child');
-- want: public.priced SELECT limited anonymous missing
create type money_in as (amount numeric, currency text);
select mk('priced', 'select', 'id int, price money_in', '(price).amount > 100 and (price).currency = ''EUR''');

-- 13 what no constant says: values that PostgreSQL works out, patterns, keys of documents, bits, years.
-- A guard beside a condition that no row meets still closes; one that hangs on it is unknown.
create function is_long(k text) returns boolean language sql immutable as $$ select length(k) = 77 $$;
create function auth_level() returns text language sql stable as $$ select case when (auth.jwt() ->> 'is_anonymous')::boolean is false then 'full' else 'guest' end $$;
create function kinds() returns text[] language sql stable as $$ select array_remove(array[case when auth.jwt() ->> 'is_anonymous' = 'false' then 'full' end], null) $$;
-- want: public.w01 SELECT fail-open depends missing
select mk('w01', 'select', 'id int', 'not exists (select 1 from jsonb_each_text(auth.jwt()) e where e.key = ''is_anonymous'' and e.value = ''true'')');
-- want: public.w02 SELECT inverted anonymous depends
select mk('w02', 'select', 'id int, u uuid', 'u = auth.uid() and auth.jwt()->''is_anonymous'' = to_jsonb(true)');
-- want: public.w03 SELECT limited anonymous missing
select mk('w03', 'select', 'id int, v tstzmultirange', 'v @> now()');
-- want: public.w04 SELECT limited anonymous missing
select mk('w04', 'select', 'id int, flags bit(4) not null', 'flags & b''0001'' = b''0001''');
-- want: public.w05 SELECT limited anonymous missing
select mk('w05', 'select', 'id int, hash text not null', 'hash = md5(auth.uid()::text)');
-- want: public.w06 SELECT limited anonymous missing
select mk('w06', 'select', 'id int, acl jsonb','(acl ->> auth.uid()::text) in (''read'', ''write'')');
-- want: public.w07 SELECT limited anonymous missing
select mk('w07', 'select', 'id int, acl jsonb', 'exists (select 1 from jsonb_array_elements(acl) a where a->>''user'' = auth.uid()::text and (a->>''level'')::int >= 2)');
-- want: public.w08 SELECT limited anonymous missing
select mk('w08', 'select', 'slug text', 'slug ~ ''^pub-[0-9]{4}$''');
-- want: public.w09 SELECT limited anonymous missing
select mk('w09', 'select', 'u text', 'u = ''user_'' || auth.uid()');
-- want: public.w10 SELECT limited anonymous missing
select mk('w10', 'select', 'd date', 'date_part(''year'', d) = 2019');
-- want: public.w11 INSERT closed depends
select mk('w11', 'insert', 'email text', 'email ~* ''^[^@]+@example\.com$'' and (auth.jwt()->>''is_anonymous'')::bool is false');
-- want: public.w12 SELECT unknown
select mk('w12', 'select', 'j jsonb', '(auth.jwt()->>''is_anonymous'')::bool is false or j @? ''$.a[*] ? (@.b == "x")''');
-- want: public.w13 SELECT limited anonymous depends
select mk('w13', 'select', 'x text', '(auth.jwt()->>''is_anonymous'')::bool is false or x = reverse(''nepo'')');
-- want: public.w14 SELECT limited anonymous depends
select mk('w14', 'select', 'x text', '(auth.jwt()->>''is_anonymous'')::bool is false or x = auth.uid()::text || ''-public''');
-- want: public.w15 SELECT closed depends
select mk('w15', 'select', 'x int', 'x * 7 - 3 = 4711 and (auth.jwt()->>''is_anonymous'')::bool is false');
-- want: public.w16 SELECT fail-open depends missing
select mk('w16', 'select', 'x int', 'x * 7 - 3 = 4711 and (auth.jwt()->>''is_anonymous'')::bool is not true');
-- want: public.w17 SELECT unknown
select mk('w17', 'select', 'x int', 'x * 7 - 3 = 4711 or (auth.jwt()->>''is_anonymous'')::bool is false');
-- want: public.w18 SELECT unknown
select mk('w18', 'select', 'k text not null', 'case when is_long(k) then true else (auth.jwt()->>''is_anonymous'')::bool is false end');
-- want: public.w19 SELECT unknown
select mk('w19', 'select', 'k text not null', 'coalesce(nullif(is_long(k), false), (auth.jwt()->>''is_anonymous'')::bool is false)');
-- want: public.w20 SELECT unknown
select mk('w20', 'select', 'k text', 'case right(k, 3) when ''abcd'' then true else (auth.jwt()->>''is_anonymous'')::bool is false end');
-- want: public.w21 SELECT limited anonymous depends
select mk('w21', 'select', 'k text', 'case k when ''pub'' then true when ''x'' then false else (auth.jwt()->>''is_anonymous'')::bool is false end');
-- want: public.w22 SELECT closed depends
select mk('w22', 'select', 'k text', 'case k when ''pub'' then false when ''x'' then (auth.jwt()->>''is_anonymous'')::bool is false end');
-- want: public.w23 SELECT unknown
select mk('w23', 'select', 'k text', '((length(k) = 91) = (auth.jwt()->>''is_anonymous'')::bool) and k is not null');
-- want: public.w24 SELECT unknown
select mk('w24', 'select', 'k text', 'not (not is_long(k) and (auth.jwt()->>''is_anonymous'')::bool)');
-- want: public.w25 SELECT closed depends
select mk('w25', 'select', 'k text, min_level text not null check (min_level in (''full'',''admin''))', 'min_level = auth_level()');
-- want: public.w26 SELECT closed depends
select mk('w26', 'select', 'k text, u uuid not null', 'row(u, ''false'') = row(auth.uid(), auth.jwt()->>''is_anonymous'')');
-- want: public.w27 SELECT fail-open depends missing
select mk('w27', 'select', 'n int', '(auth.jwt()->>''is_anonymous'') is null or auth.jwt()->>''is_anonymous'' = ''false''');
-- want: public.w28 SELECT limited anonymous depends
select mk('w28', 'select', 'audience text[] not null default ''{all}'' check (audience <@ array[''all'',''full''])', 'audience && (kinds() || array[''all''])');
-- want: public.bookings SELECT limited anonymous missing
-- want: public.bookings UPDATE fail-open depends missing
-- want: public.bookings DELETE closed depends
create table bookings (id bigserial primary key, user_id uuid, status text not null default 'accepted', starts timestamptz not null, ends timestamptz not null, check (ends > starts), check (status <> 'draft' or ends is null));
alter table bookings enable row level security; grant select, update, delete on bookings to authenticated;
create policy s on bookings for select using (user_id = auth.uid() and status <> 'cancelled');
create policy u on bookings for update using (user_id = auth.uid() and (auth.jwt() ->> 'is_anonymous')::boolean is not true);
create policy d on bookings for delete using (starts > now() + interval '1 day' and (select (auth.jwt() ->> 'is_anonymous')::boolean) = false);
-- want: public.w_two SELECT closed depends
-- want: public.w_three SELECT unknown
create table w_two (x int, y text); alter table w_two enable row level security; grant select on w_two to authenticated;
create policy a on w_two for select using (x * 7 - 3 = 4711); create policy b on w_two as restrictive for select using ((auth.jwt() ->> 'is_anonymous')::boolean is false);
create table w_three (x int, y text); alter table w_three enable row level security; grant select on w_three to authenticated;
create policy a on w_three for select using (substr(y, 7, 2) = 'ab' or x * 7 - 3 = 4711); create policy b on w_three as restrictive for select using ((auth.jwt() ->> 'is_anonymous')::boolean is false or substr(y, 8, 2) = 'kk');
