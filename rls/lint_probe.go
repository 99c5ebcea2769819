package rls

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
)

// The visitor, and another user.
const (
	visitorID = "019a0000-0000-7000-8000-00000000000a"
	otherID   = "019a0000-0000-7000-8000-00000000000b"
	thirdID   = "019a0000-0000-7000-8000-00000000000d"
)

// How many rows a relation is probed with, and how many values a column has.
const (
	maxRows   = 1000
	maxValues = 16
)

// A probe is rows of a relation that tell, none of them stored.
type probe struct {
	relation *relation
	from     string   // what makes records of them, for FROM
	rows     []string // JSON objects
	fixed    []string // of each row, what the visitor cannot change
	sampled  bool     // there are more combinations than rows
}

func (p *probe) document() string { return "[" + strings.Join(p.rows, ",\n") + "]" }

// newProbe makes the rows for all expressions in texts. Columns that none of
// them names keep one value. With insert they are rows that the visitor can
// insert: the columns without that right have their defaults.
//
// With impossible, rows stay that the table's constraints forbid.
func (l *linter) newProbe(ctx context.Context, r *relation, texts []string, insert, impossible bool) (*probe, error) {
	whole := slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, r.Alias+".*") })
	// What a named column hangs on counts too: what it is generated from, and
	// the constraints that it is in.
	relevant, all := map[string]bool{}, slices.Clone(texts)
	for grown := true; grown; {
		grown = false
		for _, c := range r.Columns {
			if !relevant[c.Name] && (whole || slices.ContainsFunc(all, func(t string) bool { return c.in(t) })) {
				relevant[c.Name], grown = true, true
				if c.Generated != "" {
					all = append(all, c.Generated)
				}
				for _, check := range r.Checks {
					if c.in(check) && !slices.Contains(all, check) {
						all = append(all, check)
					}
				}
			}
		}
	}
	var sources []string
	for _, text := range slices.Concat(all, r.Checks) {
		sources = append(sources, l.sources(text)...)
	}
	strs, numbers := constants(sources)
	holders := holding(sources)
	for _, text := range all {
		for _, side := range r.sides(text) {
			value, err := l.value(ctx, side, plain.as(anonymous))
			if err != nil {
				return nil, err
			} else if value != "" && len(value) < 200 {
				strs = append(strs, value)
			}
		}
	}
	strs = unique(strs)

	p, err := &probe{relation: r}, error(nil)
	defaults, generated := []string{}, []string{}
	names, values, columns := []string{}, [][]*string{}, []column{}
	held := map[string]bool{}
	for _, c := range r.Columns {
		switch {
		case c.Generated != "":
			generated = append(generated, literal(c.Name), "("+c.Generated+")")
			continue
		case insert && !c.Insert && c.Identity == "" && !strings.Contains(c.Default, "nextval("):
			value := "NULL"
			if c.Default != "" {
				value = "(" + c.Default + ")"
			}
			defaults = append(defaults, literal(c.Name), value)
			continue
		}
		var candidates []*string
		if candidates, err = l.candidates(ctx, r, c, strs, numbers, holders); err != nil {
			return nil, err
		}
		if !relevant[c.Name] {
			named := slices.ContainsFunc(r.Checks, func(check string) bool { return c.in(check) })
			if !c.NotNull && !c.Domain && !named { // NULL is a value like another
				continue
			}
			if candidates, err = l.firstAllowed(ctx, r, c, candidates); err != nil {
				return nil, err
			}
		}
		names, values, columns = append(names, c.Name), append(values, candidates), append(columns, c)
		held[c.Name] = !c.Update
	}
	build := func(pairs []string) string {
		if len(pairs) == 0 {
			return "'{}'::jsonb"
		}
		return "jsonb_build_object(" + strings.Join(pairs, ", ") + ")"
	}
	p.from = `(SELECT e.i, (SELECT jsonb_populate_record(` + r.Alias + `, ` + build(generated) + `) FROM jsonb_populate_record(NULL::` + r.Name + `, e.v || ` + build(defaults) + `) AS ` + r.Alias + `)
		FROM jsonb_array_elements(current_setting('walkin.rows')::jsonb) WITH ORDINALITY AS e(v, i)) AS "walkin probe"("walkin i", "walkin row"),
		LATERAL jsonb_populate_record("walkin row", '{}') AS ` + r.Alias

	total := combinationsOf(values)
	if total > maxRows && !whole {
		for i, c := range columns {
			if values[i], err = l.telling(ctx, r, c, values[i], slices.Concat(all, r.Checks)); err != nil {
				return nil, err
			}
		}
		total = combinationsOf(values)
	}
	p.sampled = total > maxRows
	for i := range min(total, maxRows) {
		at := i
		if p.sampled { // spread over all, by a step that has no factor in common with their number
			at = int(uint64(i) * 2654435761 % uint64(total))
		}
		row, fixed := map[string]json.RawMessage{}, ""
		for c, name := range names {
			if len(values[c]) == 0 {
				continue
			}
			v := values[c][at%len(values[c])]
			at /= len(values[c])
			if p.sampled && i < maxValues { // all columns alike: all the visitor's own, all true, …
				v = values[c][i%len(values[c])]
			}
			row[name] = json.RawMessage("null")
			if v != nil {
				row[name] = json.RawMessage(*v)
			}
			if held[name] {
				fixed += string(row[name]) + "\n"
			}
		}
		text, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		p.rows, p.fixed = append(p.rows, string(text)), append(p.fixed, fixed)
	}
	if impossible {
		return p, nil
	}
	if err := l.keepPossible(ctx, r, p, insert); err != nil || len(p.rows) > 0 {
		return p, err
	}
	// Perhaps since two columns have to agree, and one of them had one value.
	var between []string
	for _, check := range r.Checks {
		if !slices.Contains(texts, check) && !slices.ContainsFunc(r.Columns, func(c column) bool { return r.alone(check, c) }) {
			between = append(between, check)
		}
	}
	if len(between) == 0 {
		return p, nil
	}
	return l.newProbe(ctx, r, slices.Concat(texts, between), insert, false)
}

// firstAllowed keeps the first value that the constraints of this column alone
// allow.
func (l *linter) firstAllowed(ctx context.Context, r *relation, c column, candidates []*string) ([]*string, error) {
	for _, check := range r.Checks {
		if r.alone(check, c) && len(candidates) > 1 {
			states, err := l.ofColumn(ctx, r, c, candidates, "("+check+") IS NOT FALSE", setup{role: r.Steward, claims: plain.claims(anonymous)})
			if err != nil {
				return nil, err
			}
			if at := slices.Index(states, passes); at > 0 {
				candidates = candidates[at:]
			}
		}
	}
	return candidates[:min(1, len(candidates))], nil
}

// telling keeps one of the values that no condition on this column distinguishes, for
// when there are more combinations than rows.
func (l *linter) telling(ctx context.Context, r *relation, c column, candidates []*string, texts []string) ([]*string, error) {
	signs := make([]string, len(candidates))
	for _, atom := range unique(slices.Concat(mapped(texts, atoms)...)) {
		if !c.in(atom) {
			continue
		} else if !r.alone(atom, c) {
			return candidates, nil
		}
		for _, k := range []kind{anonymous, permanent} {
			states, err := l.ofColumn(ctx, r, c, candidates, atom, plain.as(k))
			if err != nil {
				return nil, err
			}
			for i, s := range states {
				signs[i] += string(s)
			}
		}
	}
	var out []*string
	for i, v := range candidates {
		if slices.Index(signs, signs[i]) == i {
			out = append(out, v)
		}
	}
	return out, nil
}

// alone reports whether text names this column and no other.
func (r *relation) alone(text string, c column) bool {
	return c.in(text) && !slices.ContainsFunc(r.Columns, func(o column) bool { return o.Name != c.Name && o.in(text) })
}

// ofColumn evaluates an expression on values of one column.
func (l *linter) ofColumn(ctx context.Context, r *relation, c column, candidates []*string, expr string, as setup) ([]byte, error) {
	name, _ := json.Marshal(c.Name) // a string
	p := &probe{}
	for _, v := range candidates {
		value := "null"
		if v != nil {
			value = *v
		}
		p.rows = append(p.rows, "{"+string(name)+": "+value+"}")
	}
	from := `(SELECT i, v FROM jsonb_array_elements(current_setting('walkin.rows')::jsonb) WITH ORDINALITY AS e(v, i)) AS "walkin probe"("walkin i", "walkin row"),
		LATERAL jsonb_to_record("walkin row") AS ` + r.Alias + "(" + c.Quoted + " " + c.Type + ")"
	if err := l.prepare(ctx, from, expr); sqlState(err) != "" {
		return slices.Repeat([]byte{errs}, len(p.rows)), nil
	} else if err != nil {
		return nil, err
	}
	states, _, err := l.run(ctx, p.document(), as)
	return states, err
}

// keepPossible drops the rows that the table could not have: those that violate its
// constraints, its types or its partition.
func (l *linter) keepPossible(ctx context.Context, r *relation, p *probe, insert bool) error {
	conditions := []string{"true"}
	for _, check := range r.Checks {
		conditions = append(conditions, "("+check+") IS NOT FALSE")
	}
	for _, c := range r.Columns {
		if insert && c.NotNull && !c.Insert && c.Identity == "" && c.Generated == "" && !strings.Contains(c.Default, "nextval(") {
			conditions = append(conditions, c.Quoted+" IS NOT NULL")
		}
	}
	if err := l.prepare(ctx, p.from, strings.Join(conditions, " AND ")); err != nil {
		p.rows, p.fixed = nil, nil // no right to look; the verdict is unknown
		if sqlState(err) == "" {
			return err
		}
		return nil
	}
	states, _, err := l.run(ctx, p.document(), setup{role: r.Steward, claims: plain.claims(anonymous)})
	if err != nil {
		return err
	}
	rows, fixed := p.rows, p.fixed
	p.rows, p.fixed = nil, nil
	for i, state := range states {
		if state == passes {
			p.rows, p.fixed = append(p.rows, rows[i]), append(p.fixed, fixed[i])
		}
	}
	return nil
}

func combinationsOf(values [][]*string) int {
	total := 1
	for _, v := range values {
		total = min(total*max(len(v), 1), 1<<30)
	}
	return total
}

func mapped(list []string, fn func(string) []string) (out [][]string) {
	for _, s := range list {
		out = append(out, fn(s))
	}
	return out
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func unique(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
