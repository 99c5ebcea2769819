-- What the linter knows of a database, as one document. $1 is the role of
-- visitors. Names are quoted as SQL needs them; nothing here depends on the
-- search path, which the linter sets.
WITH me AS (
	-- The right to become a role is one of its own since PostgreSQL 16.
	SELECT oid, rolname, rolsuper OR rolbypassrls AS bypass,
		CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END AS become
	FROM pg_roles WHERE rolname = $1
), schemas AS (
	SELECT n.oid, n.nspname, has_schema_privilege(me.oid, n.oid, 'USAGE') AS usage
	FROM pg_namespace n, me
	WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
), logins AS (
	-- An app's own logins: those that may become a visitor. A superuser may
	-- become anybody, and says nothing.
	SELECT l.oid, l.rolname, l.rolbypassrls FROM pg_roles l, me
	WHERE l.rolcanlogin AND NOT l.rolsuper AND pg_has_role(l.oid, me.oid, me.become)
), extension AS (
	SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), routines AS (
	SELECT p.oid, p.proname, p.prosecdef, p.proretset, p.provolatile, s.usage, p.prorettype,
		format('%I.%I(%s)', s.nspname, p.proname, oidvectortypes(p.proargtypes)) AS signature, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) AS source, x.objid IS NOT NULL AS foreign
	FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
	LEFT JOIN extension x ON x.classid = 'pg_proc'::regclass AND x.objid = p.oid
	WHERE p.prokind IN ('f', 'p', 'w')
), relations AS (
	SELECT c.*, s.nspname, s.usage FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
	AND NOT EXISTS (SELECT FROM extension x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid)
)
SELECT jsonb_build_object(
'now', now(),
'bypass', (SELECT bypass FROM me),
'logins', (SELECT coalesce(jsonb_agg(rolname ORDER BY rolname), '[]') FROM logins),
'functions', (SELECT coalesce(jsonb_agg(jsonb_build_object(
	'oid', r.oid::bigint, 'name', r.signature, 'word', r.proname,
	'definer', r.prosecdef, 'set', r.proretset, 'volatile', r.provolatile = 'v', 'source', r.source,
	'foreign', r.foreign, 'comment', coalesce(obj_description(r.oid, 'pg_proc'), ''),
	'allowed', r.usage AND has_function_privilege(me.oid, r.oid, 'EXECUTE')
		AND r.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	) ORDER BY r.signature), '[]') FROM routines r, me),
'relations', (SELECT coalesce(jsonb_agg(jsonb_build_object(
	'oid', c.oid::bigint, 'name', format('%I.%I', c.nspname, c.relname), 'alias', quote_ident(c.relname),
	'schema', quote_ident(c.nspname), 'visible', pg_table_is_visible(c.oid),
	'kind', c.relkind, 'rls', c.relrowsecurity, 'force', c.relforcerowsecurity,
	'comment', coalesce(obj_description(c.oid, 'pg_class'), ''),
	'owner', c.relowner::bigint,
	'steward', CASE WHEN pg_has_role(c.relowner, me.become) THEN pg_get_userbyid(c.relowner) ELSE 'none' END,
	'owned', pg_has_role(me.oid, c.relowner, 'USAGE'),
	'masters', (SELECT coalesce(jsonb_agg(l.rolname ORDER BY l.rolname), '[]') FROM logins l
		WHERE l.rolbypassrls OR (NOT c.relforcerowsecurity AND pg_has_role(l.oid, c.relowner, 'USAGE'))),
	'privileges', jsonb_build_object(
		'SELECT', c.usage AND has_any_column_privilege(me.oid, c.oid, 'SELECT'),
		'INSERT', c.usage AND has_any_column_privilege(me.oid, c.oid, 'INSERT'),
		'UPDATE', c.usage AND has_any_column_privilege(me.oid, c.oid, 'UPDATE'),
		'DELETE', c.usage AND has_table_privilege(me.oid, c.oid, 'DELETE'),
		'TRUNCATE', c.usage AND has_table_privilege(me.oid, c.oid, 'TRUNCATE')),
	'readable', has_any_column_privilege(me.oid, c.oid, 'SELECT'),
	'columns', (SELECT coalesce(jsonb_agg(jsonb_build_object(
		'name', a.attname, 'quoted', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod),
		'base', CASE WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN format_type(b.typelem, NULL) ELSE format_type(b.oid, NULL) END,
		'array', b.typcategory = 'A' AND b.typelem <> 0,
		'domain', t.typtype = 'd',
		'limit', CASE WHEN b.typname IN ('varchar', 'bpchar') AND greatest(a.atttypmod, t.typtypmod) > 4
			THEN greatest(a.atttypmod, t.typtypmod) - 4 ELSE 0 END,
		'labels', (SELECT coalesce(jsonb_agg(e.enumlabel ORDER BY e.enumsortorder), '[]') FROM pg_enum e
			WHERE e.enumtypid IN (b.oid, b.typelem)),
		'fields', (SELECT coalesce(jsonb_agg(jsonb_build_array(f.attname, format_type(f.atttypid, f.atttypmod)) ORDER BY f.attnum), '[]')
			FROM pg_attribute f JOIN pg_type y ON y.oid IN (b.oid, b.typelem) AND y.typtype = 'c' AND f.attrelid = y.typrelid
			WHERE f.attnum > 0 AND NOT f.attisdropped),
		'notnull', t.typnotnull OR a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint k
			WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated),
		'identity', a.attidentity,
		'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE '' END,
		'default', CASE WHEN a.attgenerated = '' AND d.oid IS NOT NULL THEN pg_get_expr(d.adbin, d.adrelid) ELSE '' END,
		'checks', (SELECT coalesce(string_agg(pg_get_constraintdef(k.oid), ' '), '') FROM pg_constraint k WHERE k.contypid = t.oid),
		'stuck', EXISTS (SELECT FROM pg_depend y JOIN pg_class q ON q.oid = y.refobjid
			WHERE y.classid = 'pg_attrdef'::regclass AND y.objid = d.oid AND y.refclassid = 'pg_class'::regclass
			AND CASE q.relkind WHEN 'S' THEN NOT has_sequence_privilege(me.oid, q.oid, 'USAGE, UPDATE') END),
		'insert', has_column_privilege(me.oid, c.oid, a.attnum, 'INSERT'),
		'update', has_column_privilege(me.oid, c.oid, a.attnum, 'UPDATE')
		) ORDER BY a.attnum), '[]')
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		JOIN LATERAL (
			WITH RECURSIVE down AS (SELECT t.* UNION ALL SELECT u.* FROM pg_type u JOIN down ON u.oid = down.typbasetype AND down.typtype = 'd')
			SELECT * FROM down WHERE typtype <> 'd'
		) b ON true
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
	'checks', (SELECT coalesce(jsonb_agg(e ORDER BY e), '[]') FROM (
		-- What holds for the rows that are there, those of child tables too.
		SELECT pg_get_expr(k.conbin, k.conrelid) AS e FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
		AND k.convalidated AND NOT (k.connoinherit AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid))
		UNION SELECT pg_get_partition_constraintdef(c.oid)) checks WHERE e IS NOT NULL),
	'policies', (SELECT coalesce(jsonb_agg(jsonb_build_object(
		'name', p.polname, 'permissive', p.polpermissive, 'command', p.polcmd,
		'applies', (SELECT coalesce(bool_or(r = 0 OR pg_has_role(me.oid, r, 'USAGE')), false) FROM unnest(p.polroles) r),
		'using', coalesce(pg_get_expr(p.polqual, p.polrelid), ''),
		'check', coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''),
		'comment', coalesce(obj_description(p.oid, 'pg_policy'), ''),
		'tables', (SELECT coalesce(jsonb_agg(DISTINCT y.refobjid::bigint), '[]') FROM pg_depend y
			WHERE y.classid = 'pg_policy'::regclass AND y.objid = p.oid AND y.refclassid = 'pg_class'::regclass AND y.deptype = 'n'),
		'functions', (SELECT coalesce(jsonb_agg(DISTINCT y.refobjid::bigint), '[]') FROM pg_depend y
			WHERE y.classid = 'pg_policy'::regclass AND y.objid = p.oid AND y.refclassid = 'pg_proc'::regclass)
		) ORDER BY p.polname), '[]') FROM pg_policy p WHERE p.polrelid = c.oid),
	'triggers', (SELECT coalesce(jsonb_agg(jsonb_build_object(
		'name', g.tgname, 'function', g.tgfoid::bigint, 'before', g.tgtype & 66 = 2, 'instead', g.tgtype & 64 <> 0,
		'commands', (SELECT jsonb_agg(n) FROM (VALUES (4, 'INSERT'), (8, 'DELETE'), (16, 'UPDATE'), (32, 'TRUNCATE')) v(bit, n) WHERE g.tgtype & bit <> 0)
		)), '[]') FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled NOT IN ('D', 'R')),
	'rules', (SELECT coalesce(jsonb_agg(DISTINCT CASE w.ev_type WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END), '[]')
		FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type <> '1'),
	'invoker', EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker' AND o.option_value::boolean),
	'checked', EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'check_option'),
	'updatable', CASE WHEN c.relkind = 'v' THEN pg_relation_is_updatable(c.oid, false) ELSE 0 END,
	'reads', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('oid', b.oid::bigint, 'passes', o.rolsuper OR o.rolbypassrls
			OR NOT b.relrowsecurity OR (NOT b.relforcerowsecurity AND pg_has_role(c.relowner, b.relowner, 'USAGE')))), '[]')
		FROM pg_rewrite w JOIN pg_depend y
		ON y.classid = 'pg_rewrite'::regclass AND y.objid = w.oid AND y.refclassid = 'pg_class'::regclass AND y.refobjid <> c.oid
		JOIN pg_class b ON b.oid = y.refobjid JOIN pg_roles o ON o.oid = c.relowner
		WHERE w.ev_class = c.oid AND w.ev_type = '1' AND b.relkind IN ('r', 'p', 'v', 'm', 'f')),
	'calls', (SELECT coalesce(jsonb_agg(DISTINCT y.refobjid::bigint), '[]') FROM pg_rewrite w JOIN pg_depend y
		ON y.classid = 'pg_rewrite'::regclass AND y.objid = w.oid AND y.refclassid = 'pg_proc'::regclass
		WHERE w.ev_class = c.oid AND w.ev_type = '1'),
	'blocks', (SELECT coalesce(jsonb_agg(k.conname ORDER BY k.conname), '[]') FROM pg_constraint k JOIN pg_class u ON u.oid = k.confrelid
		WHERE k.conrelid = c.oid AND k.contype = 'f' AND u.relname = 'walkin_users' AND k.confdeltype IN ('a', 'r')),
	'ofusers', c.relname NOT LIKE 'walkin\_%' AND (EXISTS (SELECT FROM pg_constraint k JOIN pg_class u ON u.oid = k.confrelid
		WHERE k.conrelid = c.oid AND k.contype = 'f' AND u.relname = 'walkin_users')
		OR EXISTS (SELECT FROM pg_attrdef d JOIN pg_depend y ON y.classid = 'pg_attrdef'::regclass AND y.objid = d.oid
			AND y.refclassid = 'pg_proc'::regclass AND y.refobjid IN (SELECT f.oid FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname = 'auth' AND f.proname = 'uid') WHERE d.adrelid = c.oid))
	) ORDER BY c.nspname, c.relname), '[]') FROM relations c, me)
)
