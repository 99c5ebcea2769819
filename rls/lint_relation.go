package rls

import (
	"context"
	"fmt"
	"regexp"
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
		texts = append(texts, view.definition)
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
	out := judge(rulings, &p, command, len(m.apps), len(m.poisoned))
	if limited && out.all { // all that it may insert: is that all there is?
		free, err := l.weigh(ctx, r, command, policies, view, &relation{})
		if err != nil {
			return nil, err
		}
		out.all = free.all
	}
	if out.doubt == "" && out.never {
		out.doubt, err = l.doubt(ctx, r, rulings, &p, texts, m.worlds(), out.permanent)
	}
	return &out, err
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

// doubt says why "nothing" may be wrong. If no probe satisfied an alternative, the
// linter may not have understood it. Two kinds of alternatives raise no doubt. One
// names no column and no claim of the app's. The other would be satisfied by a row that
// this visitor cannot make, or that this table cannot have.
func (l *linter) doubt(ctx context.Context, r *relation, rulings []ruling, p *probe, texts []string, worlds []world, permanent bool) (string, error) {
	var free *probe
	branches := false
	for _, e := range expressions(rulings) {
		if e.failed && !permanent {
			return "it fails on every row that the linter tried", nil
		}
		parts := []string{e.text}
		if e.refused {
			continue
		} else if e.satisfied() {
			// It may be so by one branch of an OR within, and another not met.
			if !strings.Contains(masked(e.text), " OR ") {
				continue
			}
			branches, parts = true, atoms(e.text)
		}
		for _, part := range parts {
			strs, _ := constants(l.sources(part))
			column := slices.ContainsFunc(r.Columns, func(c column) bool { return c.in(part) })
			if !column && !slices.ContainsFunc(strs, func(s string) bool { return !slices.Contains(known, s) }) {
				continue
			}
			if free == nil {
				var err error
				if free, err = l.newProbe(ctx, r, texts, false, true); err != nil {
					return "", err
				}
			}
			again, err := l.evaluate(ctx, free, part, worlds)
			if err != nil {
				return "", err
			}
			if !again.satisfied() {
				return "no row that the linter made up satisfies " + shorten(part), nil
			}
		}
	}
	if p.sampled && (branches || !permanent) {
		return "there are more combinations of values than were tried", nil
	}
	return "", nil
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

// Triggers that may say no, and those that may drop a row when they come before
// it is written.
var (
	refuses = regexp.MustCompile(`(?i)\braise\b|\bis_anonymous\b|\bcurrent_user\b|\bsession_user\b`)
	drops   = regexp.MustCompile(`(?i)\breturn\s+null\b`)
)

// mindTriggers withdraws a verdict that a trigger may change. A trigger cannot give
// access to a visitor whom the policies refuse on every row.
func (l *linter) mindTriggers(r *relation, f *Finding, policies string) {
	if f.Verdict == Closed || f.Verdict == Dead || f.Verdict == Unknown {
		return
	}
	for _, t := range r.Triggers {
		fn := l.function[t.Function]
		if !slices.Contains(t.Commands, f.Command) || fn == nil {
			continue
		}
		source := strings.Join(l.sources(fn.Source), "\n")
		changes := t.Before && f.Verdict == Limited && slices.ContainsFunc(r.Columns, func(c column) bool {
			return c.in(policies) && c.in(fn.Source)
		})
		if refuses.MatchString(source) || t.Before && drops.MatchString(source) || changes {
			f.Verdict, f.Message = Unknown, fmt.Sprintf("the policies let anonymous users in, but the trigger %s may refuse or change the row", t.Name)
			f.Anonymous, f.Depends, f.MissingClaim = nil, nil, nil
			return
		}
	}
}

func (l *linter) lintFunction(fn *function) Finding {
	f := Finding{Relation: fn.Name, Command: "EXECUTE"}
	switch {
	case !fn.Allowed:
		f.Verdict, f.Message = Dead, visitors+" cannot call it"
		f.answer(false, false, false)
	case !fn.Definer:
		f.Verdict, f.Message = Open, "it runs with the visitor's own rights"
		f.answer(true, false, true)
	case l.asks(fn.Source):
		f.Verdict, f.Message = Unknown, "SECURITY DEFINER: it passes all policies, and asks for is_anonymous itself"
	default:
		f.Verdict, f.Message = WalksPast, "SECURITY DEFINER: anonymous users run it with its owner's rights"
		f.answer(true, false, true)
		if !fn.Volatile { // it writes nothing
			f.Severity = "low"
		}
	}
	if f.Severity == "" {
		f.Severity = severity(f.Verdict, f.Command)
	}
	waive(&f, []string{fn.Comment})
	return f
}

// waiver is a line of a comment: "walkin allow open: everybody reads the board".
var waiver = regexp.MustCompile(`(?m)^\s*walkin allow ([a-z-]+(?:, *[a-z-]+)*):?[ \t]*(.*)$`)

// waive looks for a waiver in the comments of the relation and of the policies
// for the command.
func (r *relation) waive(f *Finding) {
	comments := []string{r.Comment}
	for _, p := range r.applying(f.Command) {
		comments = append(comments, p.Comment)
	}
	waive(f, comments)
}

func waive(f *Finding, comments []string) {
	if f.Severity == "" {
		return
	}
	for _, comment := range comments {
		for _, m := range waiver.FindAllStringSubmatch(comment, -1) {
			if !slices.Contains(strings.FieldsFunc(m[1], func(c rune) bool { return c == ',' || c == ' ' }), f.Verdict) {
				continue
			}
			if reason := strings.TrimSpace(m[2]); reason != "" {
				f.Waived, f.Severity = reason, ""
				return
			}
			f.Message += "; its waiver has no reason and does not count"
		}
	}
}

// explain says a verdict in words.
func (l *linter) explain(f *Finding, res *result) string {
	switch f.Verdict {
	case UserMetadata:
		return "user_metadata decides, which visitors write themselves"
	case VoidGuard:
		return "one policy asks for is_anonymous, and another lets the same rows through: permissive policies are joined by OR"
	case FailOpen:
		return "a token without is_anonymous gets more than one with true: compare with IS FALSE"
	case Inverted:
		return "an anonymous user gets rows that a permanent one does not"
	case Open:
		return "an anonymous user gets every row"
	case Limited:
		return "an anonymous user gets some rows"
	case Closed:
		return "an anonymous user gets nothing"
	case Dead:
		if res.why != "" {
			return res.why
		}
		return "no policy lets anybody in"
	}
	message := res.doubt
	if message == "" {
		message = "claims or settings of the app's own decide"
	}
	if len(res.reads) > 0 {
		var names []string
		for _, oid := range res.reads {
			if t := l.relation[oid]; t != nil {
				names = append(names, t.Name)
			}
		}
		slices.Sort(names)
		message = "it depends on what is in " + strings.Join(names, ", ")
	}
	return message
}
