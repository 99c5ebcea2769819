-- The table and the two policies of the demo. The policies are word for word the
-- published ones. What the published demo leaves out, and PostgreSQL needs: the column
-- that the second policy asks for, row-level security switched on, and the grants.

create table if not exists public.posts (
	id bigint generated always as identity primary key,
	user_id uuid not null default auth.uid(),
	text text not null check (length(text) between 1 and 500),
	created_at timestamptz not null default now()
);
alter table public.posts enable row level security;
grant usage on schema public to anon, authenticated;
grant select on public.posts to authenticated;
grant insert (text) on public.posts to authenticated;

drop policy if exists "Only permanent users can create posts" on public.posts;
drop policy if exists "Limit access to anonymous users" on public.posts;

create policy "Only permanent users can create posts" on public.posts for insert to authenticated
with check ( (select auth.jwt() ->> 'is_anonymous')::boolean is false );

create policy "Limit access to anonymous users" on public.posts for select to authenticated
using ( case when (select (auth.jwt() ->> 'is_anonymous'))::boolean is true then (created_at >= current_date) else true end );

-- The app's login becomes one of these for each request, see rls.InTx. A login of its
-- own, which owns no table, is better on a site.
do $$ begin
	if not (select rolsuper from pg_roles where rolname = current_user) then
		execute format('grant anon, authenticated to %I', current_user);
	end if;
end $$;

insert into public.posts (user_id, text, created_at)
select '00000000-0000-7000-8000-000000000000', v.text, v.at
from (values ('An older post, for those who have an account', now() - interval '3 days'), ('Welcome to the forum', now())) as v (text, at)
where not exists (select from public.posts);
