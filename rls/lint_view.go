package rls

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A condition is a view, asked of one row of the table below it.
type condition struct {
	text       string   // an expression on the row
	definition string   // what the view says
	checked    bool     // WITH CHECK OPTION
	texts      []string // what the rows have to tell apart
}

// updatable are the bits of pg_relation_is_updatable.
var updatable = map[string]int{"UPDATE": 1 << 2, "INSERT": 1 << 3, "DELETE": 1 << 4}

func (l *linter) lintView(ctx context.Context, v *relation, f *Finding) error {
	tables := l.below(v, nil)
	guarded := slices.ContainsFunc(tables, func(t *relation) bool { return t.RLS })
	if v.Kind == "m" {
		if f.Command != "SELECT" {
			f.Verdict, f.Message = Dead, "a materialized view is not written to"
			f.answer(false, false, false)
			return nil
		}
		f.Verdict, f.Message = Open, "a materialized view has no policies: an anonymous user gets every row"
		if l.stores(v, nil) {
			f.Verdict, f.Message = WalksPast, "a materialized view holds the rows that its owner saw, and has no policies"
		}
		f.answer(true, false, true)
		return nil
	}
	if f.Command != "SELECT" {
		instead := func(t trigger) bool { return t.Instead && slices.Contains(t.Commands, f.Command) }
		switch {
		case slices.ContainsFunc(v.Triggers, instead) || slices.Contains(v.Rules, f.Command):
			f.Verdict, f.Message = Unknown, "a trigger or rule of the view decides"
			return nil
		case v.Updatable&updatable[f.Command] == 0:
			f.Verdict, f.Message = Dead, "the view takes none"
			f.answer(false, false, false)
			return nil
		}
	}
	if f.Command == "SELECT" && l.readsByFunction(v, f) {
		return nil
	}
	if len(tables) == 0 {
		f.Verdict, f.Message = Unknown, "the view reads no table that the linter knows"
		if len(v.Reads) == 0 && f.Command == "SELECT" && !l.asks(strings.Join(v.callsOf(l), "\n")) {
			f.Verdict, f.Message = Open, "the view reads no table"
			if slices.ContainsFunc(v.Calls, func(oid int64) bool { return l.function[oid] != nil && l.function[oid].Definer }) {
				f.Verdict, f.Message = WalksPast, byFunction
			}
			f.answer(true, false, true)
		}
		return nil
	}
	base, above := tables[0], l.above(v, tables[0])
	passes := slices.ContainsFunc(above.Reads, func(r read) bool { return r.OID == base.OID && r.Passes }) && !above.Invoker
	cond, err := l.condition(ctx, v, base, tables)
	if err != nil {
		return err
	}
	// The rights of the view's owner count below it. With security_invoker, those of
	// the visitor count.
	var policies []*policy
	writer := base
	switch {
	case above.Invoker && (!base.Readable || f.Command != "SELECT" && !base.Privileges[f.Command]):
		f.Verdict, f.Message = Dead, visitors+" has no right to "+base.Name
		f.answer(false, false, false)
		return nil
	case above.Invoker && base.RLS && !*l.catalog.Bypass && !(base.Owned && !base.Force):
		policies = base.applying(f.Command)
	default:
		policies = []*policy{{Name: v.Name, Permissive: true, Using: "true", Check: "true"}}
		writer = v
	}
	if len(policies) == 0 || !slices.ContainsFunc(policies, func(p *policy) bool { return p.Permissive }) {
		f.Verdict, f.Message = Dead, "no policy of "+base.Name+" lets anybody in"
		f.answer(false, false, false)
		return nil
	}
	if cond == nil {
		f.Verdict, f.Message = Unknown, "the linter could not take the view apart"
		if passes && guarded && !l.asks(strings.Join(v.callsOf(l), "\n")) {
			f.Verdict, f.Message = WalksPast, "the view reads "+base.Name+" with its owner's rights"
			f.answer(true, false, true)
		}
		return nil
	}
	cond.texts = []string{cond.definition}
	for _, p := range base.applying(f.Command) {
		cond.texts = append(cond.texts, p.Using, p.Check)
	}
	res, err := l.weigh(ctx, base, f.Command, policies, cond, writer)
	if err != nil {
		return err
	}
	past := false
	stored := f.Command == "SELECT" && res.some && slices.ContainsFunc(tables, func(t *relation) bool { return t.Kind == "m" && l.stores(t, nil) })
	if passes && guarded && res.some {
		if past, err = l.givesMore(ctx, base, f.Command, cond, writer, res); err != nil {
			return err
		}
	}
	f.Verdict = res.verdict()
	f.answers(res)
	f.Message = l.explain(f, res)
	switch {
	case !above.Invoker && base.RLS && !passes && f.Verdict != Closed && f.Verdict != Dead:
		f.Verdict, f.Message = Unknown, "the policies of "+base.Name+" for the view's owner decide"
		f.Anonymous, f.Depends, f.MissingClaim = nil, nil, nil
	case stored:
		f.Verdict, f.Message = WalksPast, "the view shows what a materialized view holds, which has no policies"
	case past:
		f.Verdict = WalksPast
		f.Message = fmt.Sprintf("the view reads and writes %s with its owner's rights, past the policies: set security_invoker", base.Name)
		if f.Command == "INSERT" && !v.Checked {
			f.Message = fmt.Sprintf("without CHECK OPTION the view lets any row into %s, past the policies", base.Name)
		}
	}
	l.mindTriggers(base, f, "")
	return nil
}

const byFunction = "the view gives out what a function reads with its owner's rights"

// givesMore reports whether an anonymous user gets rows by a view that the table's
// policies hold back. One that shows the visitor's own rows alone may give none. In
// doubt it does.
func (l *linter) givesMore(ctx context.Context, base *relation, command string, cond *condition, writer *relation, res *result) (bool, error) {
	policies := base.applying(command)
	if !base.RLS || !slices.ContainsFunc(policies, func(p *policy) bool { return p.Permissive && (p.Using != "" || p.Check != "") }) {
		return true, nil
	}
	held, err := l.weigh(ctx, base, command, policies, cond, writer)
	if err != nil {
		return true, err
	}
	return !slices.Equal(held.always, res.ever), nil
}

// readsByFunction judges a view of the rows that a SECURITY DEFINER function
// returns. Its rows are of a table's type, which makes it look as if it read that
// table, and the policies of that table do not count.
func (l *linter) readsByFunction(v *relation, f *Finding) bool {
	for _, oid := range v.Calls {
		if fn := l.function[oid]; fn != nil && fn.Definer && fn.Set && fn.Allowed {
			if l.asks(strings.Join(v.callsOf(l), "\n")) {
				f.Verdict, f.Message = Unknown, "a SECURITY DEFINER function decides"
				return true
			}
			f.Verdict, f.Message = WalksPast, byFunction
			f.answer(true, false, true)
			return true
		}
	}
	return false
}

// below returns the tables that a view reads, those with row-level security
// first.
func (l *linter) below(v *relation, seen []int64) (out []*relation) {
	for _, read := range v.Reads {
		r := l.relation[read.OID]
		switch {
		case r == nil || slices.Contains(seen, read.OID):
		case r.Kind == "v":
			out = append(out, l.below(r, append(seen, v.OID))...)
		default:
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *relation) int {
		switch {
		case a.RLS == b.RLS:
			return int(a.OID - b.OID)
		case a.RLS:
			return -1
		}
		return 1
	})
	return slices.Compact(out)
}

// stores reports whether the rows of a materialized view come from a table with
// policies, by whatever views.
func (l *linter) stores(v *relation, seen []int64) bool {
	return slices.ContainsFunc(v.Reads, func(read read) bool {
		r := l.relation[read.OID]
		if r == nil || slices.Contains(seen, read.OID) {
			return false
		}
		return r.RLS || l.stores(r, append(seen, v.OID))
	})
}

// above returns the view that reads the table itself.
func (l *linter) above(v, table *relation) *relation {
	for _, read := range v.Reads {
		if read.OID == table.OID {
			return v
		}
	}
	for _, read := range v.Reads {
		if r := l.relation[read.OID]; r != nil && r.Kind == "v" && slices.Contains(l.below(r, nil), table) {
			return l.above(r, table)
		}
	}
	return v
}

func (v *relation) callsOf(l *linter) (out []string) {
	for _, oid := range v.Calls {
		if f := l.function[oid]; f != nil {
			out = append(out, l.sources(f.Source)...)
		}
	}
	return out
}

// condition makes an expression of a view: whether it shows anything when the
// table below has this one row. The tables' names in its definition, which are
// written without a schema, are those of common table expressions.
func (l *linter) condition(ctx context.Context, v, base *relation, tables []*relation) (*condition, error) {
	path := []string{base.Schema}
	var with []string
	views := map[int64]string{}
	var collect func(v *relation) []*relation
	collect = func(v *relation) (out []*relation) {
		for _, read := range v.Reads {
			if r := l.relation[read.OID]; r != nil && r.Kind == "v" {
				out = append(out, collect(r)...)
				out = append(out, r)
			}
		}
		return out
	}
	inner := collect(v)
	for _, r := range slices.Concat(tables, inner) {
		if !slices.Contains(path, r.Schema) {
			path = append(path, r.Schema)
		}
	}
	if !slices.Contains(path, "public") {
		path = append(path, "public")
	}
	visible := true
	err := l.within(ctx, func() error {
		if _, err := l.tx.ExecContext(ctx, `SELECT set_config('search_path', $1, true)`, strings.Join(path, ", ")); err != nil {
			return err
		}
		for _, r := range slices.Concat(tables, inner, []*relation{v}) {
			var definition string
			var seen bool
			if err := l.tx.QueryRowContext(ctx, `SELECT coalesce(pg_get_viewdef($1::oid), ''), pg_table_is_visible($1::oid)`, r.OID).Scan(&definition, &seen); err != nil {
				return err
			}
			visible = visible && (seen || r == v)
			views[r.OID] = strings.TrimSuffix(strings.TrimSpace(definition), ";")
		}
		return nil
	})
	if err != nil {
		if sqlState(err) != "" {
			return nil, nil
		}
		return nil, err
	}
	if !visible {
		return nil, nil
	}
	var definition strings.Builder
	definition.WriteString(views[v.OID])
	for _, r := range inner {
		definition.WriteString("\n" + views[r.OID])
	}
	for _, t := range tables {
		if t == base {
			with = append(with, t.Alias+" AS (SELECT "+t.Alias+".*)")
			continue
		}
		p, err := l.newProbe(ctx, t, []string{definition.String()}, false, false)
		if err != nil {
			return nil, err
		}
		p.rows = p.rows[:min(len(p.rows), 100)]
		with = append(with, t.Alias+" AS (SELECT (jsonb_populate_record(NULL::"+t.Name+", x)).* FROM jsonb_array_elements("+literal(p.document())+"::jsonb) x)")
	}
	for _, r := range inner {
		with = append(with, r.Alias+" AS ("+views[r.OID]+")")
	}
	return &condition{
		text:       "EXISTS (WITH " + strings.Join(with, ", ") + " SELECT FROM (" + views[v.OID] + ") AS \"walkin view\")",
		definition: definition.String(), checked: v.Checked,
	}, nil
}
