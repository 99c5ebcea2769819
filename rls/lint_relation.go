package rls

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

var commands = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"}

func (l *linter) lintRelation(ctx context.Context, r *relation) ([]Finding, error) {
	var out []Finding
	for _, command := range commands {
		f := Finding{Relation: r.Name, Command: command}
		if err := l.lintCommand(ctx, r, &f); err != nil {
			return nil, err
		}
		if f.Severity == "" {
			f.Severity = severity(f.Verdict, command)
		}
		r.waive(&f)
		out = append(out, f)
	}
	if r.OfUsers || len(r.Blocks) > 0 {
		f := Finding{Relation: r.Name, Command: "REFERENCES", Verdict: MoveOnMerge,
			Message: "its rows belong to users: OnMerge must move them, or they are lost when an anonymous user signs in to an account"}
		if len(r.Blocks) > 0 {
			f.Verdict = BlocksDeletion
			f.Message = "no ON DELETE in " + strings.Join(r.Blocks, ", ") + ": the user cannot be deleted, and the sweep stops there; " + f.Message
		}
		f.Severity = severity(f.Verdict, f.Command)
		r.waive(&f)
		out = append(out, f)
	}
	return out, nil
}

func (l *linter) lintCommand(ctx context.Context, r *relation, f *Finding) error {
	command, table := f.Command, r.Kind == "r" || r.Kind == "p" || r.Kind == "f"
	masters := table && r.RLS && command != "TRUNCATE" && len(r.Masters) > 0
	if !r.Privileges[command] {
		f.Verdict, f.Message = Dead, visitors+" has no right to it"
		f.answer(false, false, false)
	} else if table {
		if err := l.lintTable(ctx, r, f); err != nil {
			return err
		}
	} else if err := l.lintView(ctx, r, f); err != nil {
		return err
	}
	if masters && f.Verdict != RLSOff {
		f.Verdict = Owner
		f.Message = fmt.Sprintf("the login %s passes all policies: it owns the table or may do as its owner, or has BYPASSRLS", strings.Join(r.Masters, ", "))
	}
	return nil
}

func (l *linter) lintTable(ctx context.Context, r *relation, f *Finding) error {
	switch {
	case !r.RLS:
		f.Verdict, f.Message = RLSOff, visitors+" has the right, and row-level security is not enabled"
		if len(r.Policies) > 0 {
			f.Message += ": the policies do nothing"
		}
		f.answer(true, false, true)
	case f.Command == "TRUNCATE":
		f.Verdict, f.Message = Open, "no policy holds TRUNCATE: revoke it"
		f.answer(true, false, true)
		l.mindTriggers(r, f, "")
	case *l.catalog.Bypass || r.Owned && !r.Force:
		f.Verdict, f.Message = Owner, visitors+" itself owns the table or bypasses policies"
		f.answer(true, false, true)
	case slices.Contains(r.Rules, f.Command):
		f.Verdict, f.Message = Unknown, "a rule rewrites it"
	default:
		res, err := l.result(ctx, r, f.Command)
		if err != nil {
			return err
		}
		l.conclude(r, f, res)
	}
	return nil
}

func (l *linter) conclude(r *relation, f *Finding, res *result) {
	f.Verdict = res.verdict()
	f.answers(res)
	f.Message = l.explain(f, res)
	var texts []string
	for _, p := range r.applying(f.Command) {
		texts = append(texts, p.Using, p.Check)
	}
	l.mindTriggers(r, f, strings.Join(texts, " "))
	if f.Verdict == Dead && len(texts) > 0 {
		f.Severity = "low"
	}
}

// result composes the policies of a table for a command.
func (l *linter) result(ctx context.Context, r *relation, command string) (*result, error) {
	policies := r.applying(command)
	if !slices.ContainsFunc(policies, func(p *policy) bool { return p.Permissive && (p.Using != "" || p.Check != "") }) {
		return &result{never: true, nothing: [kinds]bool{true, true, true}}, nil
	}
	return l.weigh(ctx, r, command, policies, nil, r)
}

// weigh evaluates policies, and a view's own condition where there is one, on
// rows of r. What may be inserted and updated goes by the columns' rights on
// writer.
func (l *linter) weigh(ctx context.Context, r *relation, command string, policies []*policy, view *condition, writer *relation) (*result, error) {
	var texts []string
	for _, p := range policies {
		texts = append(texts, p.Using, p.Check)
	}
	if view != nil {
		texts = view.texts
	}
	before := func(t trigger) bool { return t.Before && slices.Contains(t.Commands, command) }
	limited := command == "INSERT" && writer == r && !slices.ContainsFunc(r.Triggers, before) &&
		slices.ContainsFunc(r.Columns, func(c column) bool { return !c.Insert && c.Generated == "" })
	if limited && slices.ContainsFunc(r.Columns, func(c column) bool {
		return !c.Insert && (c.Stuck || c.NotNull && !c.Domain && c.Default == "" && c.Identity == "" && c.Generated == "")
	}) {
		return &result{never: true, nothing: [kinds]bool{true, true, true}, why: "a column that must have a value cannot be given one"}, nil
	}
	m, err := l.material(ctx, r, texts, limited)
	if err != nil {
		return nil, err
	}
	p := *m.probe
	if len(p.rows) == 0 {
		return &result{doubt: "the linter found no row that this table could have"}, nil
	}
	if writer != r || slices.ContainsFunc(r.Triggers, before) { // a trigger may change what the visitor cannot
		p.fixed = make([]string, len(p.rows))
	}
	sideOf := func(text string, split bool) (side, error) {
		parts := []string{text}
		if split {
			parts = alternatives(text)
		}
		var s side
		for _, part := range parts {
			if m.evaluated[part] == nil {
				e, err := l.evaluate(ctx, &p, part, m.worlds())
				if err != nil {
					return nil, err
				}
				m.evaluated[part] = e
			}
			s = append(s, m.evaluated[part])
		}
		return s, nil
	}
	var rulings []ruling
	for _, policy := range policies {
		rule := ruling{permissive: policy.Permissive}
		if command != "INSERT" && policy.Using != "" {
			if rule.using, err = sideOf(policy.Using, policy.Permissive); err != nil {
				return nil, err
			}
		}
		if text := policy.checkText(); (command == "INSERT" || command == "UPDATE") && text != "" {
			if rule.check, err = sideOf(text, policy.Permissive); err != nil {
				return nil, err
			}
		}
		rulings = append(rulings, rule)
	}
	if view != nil {
		rule := ruling{}
		if rule.using, err = sideOf(view.text, false); err != nil {
			return nil, err
		}
		if view.checked {
			rule.check = rule.using
		}
		if command == "INSERT" {
			rule.using = nil
		}
		rulings = append(rulings, rule)
	}
	if refused, err := l.refusesAll(ctx, &p, command, policies, rulings); refused || err != nil {
		return &result{doubt: "every statement of " + visitors + " fails: a policy uses what that role has no right to, asks its own table without end, or raises an error"}, err
	}
	out := judge(rulings, &p, command, len(m.apps), len(m.poisoned))
	if limited && out.all { // all that it may insert: is that all there is?
		free, err := l.weigh(ctx, r, command, policies, view, &relation{})
		if err != nil {
			return nil, err
		}
		out.all = free.all
	}
	if out.doubt == "" && out.never {
		d := doubts{linter: l, relation: r, probe: &p, texts: texts, worlds: m.worlds(), unmet: map[*expression][]string{}}
		if out.doubt, err = d.about(ctx, rulings, out.permanent); err != nil || len(d.unmet) == 0 {
			return &out, err
		}
		more, err := d.suppose(ctx, rulings)
		if err != nil {
			return nil, err
		}
		if most := judge(more, &p, command, len(m.apps), len(m.poisoned)); most.never && most.permanent && most.doubt == "" {
			return &most, nil
		}
	}
	return &out, err
}

// refusesAll reports whether a statement fails whatever the claims are, because one
// policy does. PostgreSQL checks the right to a table that a policy reads before it
// looks at a row, even where another policy lets the row through.
func (l *linter) refusesAll(ctx context.Context, p *probe, command string, policies []*policy, rulings []ruling) (bool, error) {
	if !slices.ContainsFunc(expressions(rulings), func(e *expression) bool { return e.refused }) {
		return false, nil
	}
	sides := []func(*policy) string{func(p *policy) string { return p.Using }}
	switch command {
	case "INSERT":
		sides = []func(*policy) string{(*policy).checkText}
	case "UPDATE":
		sides = append(sides, (*policy).checkText)
	}
	for _, text := range sides {
		some, all := []string{"false"}, []string{"true"}
		for _, policy := range policies {
			if t := text(policy); t == "" {
			} else if policy.Permissive {
				some = append(some, t)
			} else {
				all = append(all, t)
			}
		}
		whole := "(" + strings.Join(some, ") OR (") + ")"
		e, err := l.evaluate(ctx, p, "("+strings.Join(append(all, whole), ") AND (")+")", []world{plain})
		if err != nil || e.refused {
			return e != nil && e.refused, err
		}
	}
	return false, nil
}

// material is what one set of policies is tried with. Commands share it.
type material struct {
	probe          *probe
	apps, poisoned []world
	evaluated      map[string]*expression
}

func (m *material) worlds() []world { return slices.Concat([]world{plain}, m.apps, m.poisoned) }

func (l *linter) material(ctx context.Context, r *relation, texts []string, limited bool) (*material, error) {
	joined := strings.Join(texts, "\n")
	key := fmt.Sprint(limited, joined)
	if r.materials == nil {
		r.materials = map[string]*material{}
	}
	if r.materials[key] == nil {
		p, err := l.newProbe(ctx, r, texts, limited, false)
		if err != nil {
			return nil, err
		}
		m := &material{probe: p, evaluated: map[string]*expression{}}
		m.apps, m.poisoned = l.worlds(joined)
		r.materials[key] = m
	}
	return r.materials[key], nil
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:77], "") + "…"
	}
	return text
}

// seesNothing reports whether users of that kind see no row of a table, whatever
// it holds.
func (l *linter) seesNothing(ctx context.Context, r *relation, k kind) bool {
	if !r.RLS || *l.catalog.Bypass || r.Owned && !r.Force || r.selecting {
		return false
	}
	if r.selected == nil {
		r.selecting = true // policies that ask each other
		defer func() { r.selecting = false }()
		from, expr := l.from, l.expr // prepared, for all who ask
		res, err := l.result(ctx, r, "SELECT")
		if err == nil {
			err = l.prepare(ctx, from, expr)
		}
		if err != nil {
			return false
		}
		r.selected = res
	}
	return r.selected.nothing[k] && r.selected.doubt == ""
}
