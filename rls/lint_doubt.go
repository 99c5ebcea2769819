package rls

import (
	"context"
	"slices"
	"strings"
)

// doubts looks for reasons why "an anonymous user gets nothing" may be wrong.
type doubts struct {
	*linter
	relation *relation
	probe    *probe
	free     *probe // the same with rows that the table cannot have
	texts    []string
	worlds   []world
	// Conditions within an expression that no row met, if all doubt is about those.
	unmet map[*expression][]string
}

// about says why "nothing" may be wrong. If no probe satisfied a condition, the linter may
// not have understood it. Two kinds of conditions raise no doubt. One names no column and
// no claim of the app's. The other would be satisfied by a row that this visitor cannot
// make, or that this table cannot have.
func (d *doubts) about(ctx context.Context, rulings []ruling, permanent bool) (doubt string, err error) {
	branches := false
	for _, e := range expressions(rulings) {
		if e.refused {
			continue
		}
		if e.failed && !permanent {
			clear(d.unmet)
			return "it fails on every row that the linter tried", nil
		}
		parts := []string{e.text}
		if e.satisfied() {
			// It may be so by one branch of several within, and another not met.
			if one, err := d.oneSided(ctx, e.text); one != "" || err != nil {
				clear(d.unmet)
				return "no row that the linter made up decides " + shorten(one) + ": check by hand", err
			}
			if !strings.Contains(masked(e.text), " OR ") {
				continue
			}
			branches, parts = true, atoms(e.text)
		}
		for _, part := range parts {
			met, err := d.met(ctx, part)
			if err != nil {
				return "", err
			} else if met {
				continue
			}
			if doubt == "" {
				doubt = "no row that the linter made up satisfies " + shorten(part) + ": check who can make one"
			}
			unmet, err := d.which(ctx, part)
			if err != nil {
				return "", err
			} else if len(unmet) == 0 { // each alone is met, but not together
				clear(d.unmet)
				return doubt, nil
			}
			d.unmet[e] = append(d.unmet[e], unmet...)
		}
	}
	if doubt == "" && d.probe.sampled && (branches || !permanent) {
		return "there are more combinations of values than were tried", nil
	} else if d.probe.sampled {
		clear(d.unmet)
	}
	return doubt, nil
}

// met reports whether a row satisfies a condition, or it is none that raises doubt.
func (d *doubts) met(ctx context.Context, part string) (bool, error) {
	strs, _ := constants(d.sources(part))
	if !d.column(part) && !slices.ContainsFunc(strs, func(s string) bool { return !slices.Contains(known, s) }) {
		return true, nil
	}
	e, err := d.onFree(ctx, part)
	return err == nil && e.satisfied(), err
}

func (d *doubts) column(part string) bool {
	return slices.ContainsFunc(d.relation.Columns, func(c column) bool { return c.in(part) })
}

func (d *doubts) onFree(ctx context.Context, part string) (*expression, error) {
	if d.free == nil {
		var err error
		if d.free, err = d.newProbe(ctx, d.relation, d.texts, false, true); err != nil {
			return nil, err
		}
	}
	return d.evaluate(ctx, d.free, part, d.worlds)
}

// which returns the conditions of a part that no row meets.
func (d *doubts) which(ctx context.Context, part string) (out []string, err error) {
	for _, atom := range atoms(part) {
		if met, err := d.met(ctx, atom); err != nil {
			return nil, err
		} else if !met {
			out = append(out, atom)
		}
	}
	return out, nil
}

// oneSided returns a condition on columns, within CASE, NOT or a call, that is true on all
// rows or on none: what hangs on the other answer was never seen.
func (d *doubts) oneSided(ctx context.Context, text string) (string, error) {
	for _, atom := range atoms(text) {
		var smallest [][2]int
		for _, span := range spans(atom) {
			part := atom[span[0]:span[1]]
			if part == atom || slices.ContainsFunc(smallest, func(s [2]int) bool { return s[0] >= span[0] && s[1] <= span[1] }) {
				continue
			}
			if condition, both, err := d.both(ctx, part); condition && !both || err != nil {
				return part, err
			} else if condition {
				smallest = append(smallest, span)
			}
		}
		for _, part := range cases(atom) {
			if condition, both, err := d.both(ctx, part); condition && !both || err != nil {
				return part, err
			}
		}
	}
	return "", nil
}

// both reports whether part is a condition on columns, and whether it is true on one row
// and not on another.
func (d *doubts) both(ctx context.Context, part string) (condition, both bool, err error) {
	if !d.column(part) {
		return false, false, nil
	}
	if err := d.prepare(ctx, d.probe.from, "("+part+") IS TRUE"); sqlState(err) != "" {
		return false, false, nil
	} else if err != nil {
		return false, false, err
	}
	e, err := d.onFree(ctx, part)
	if err != nil {
		return false, false, err
	}
	return true, e.failed || e.satisfied() && e.missed(), nil
}

// missed reports whether a row does not pass in any case.
func (e *expression) missed() bool {
	return slices.ContainsFunc(e.variants, func(cells [][]bool) bool {
		return slices.ContainsFunc(cells, func(rows []bool) bool { return slices.Contains(rows, false) })
	})
}

// suppose returns the rulings for a row that meets the conditions which no probe met. A
// part of an AND or an OR that is true lets more through than one that is not: who gets
// nothing even so gets nothing.
func (d *doubts) suppose(ctx context.Context, rulings []ruling) ([]ruling, error) {
	instead := map[*expression]*expression{}
	for e, parts := range d.unmet {
		text := e.text
		for _, part := range parts {
			text = strings.ReplaceAll(text, part, "(true)")
		}
		supposed, err := d.evaluate(ctx, d.probe, text, d.worlds)
		if err != nil {
			return nil, err
		}
		instead[e] = supposed
	}
	replaced := func(s side) (out side) {
		for _, e := range s {
			if instead[e] != nil {
				e = instead[e]
			}
			out = append(out, e)
		}
		return out
	}
	var out []ruling
	for _, r := range rulings {
		out = append(out, ruling{permissive: r.permissive, using: replaced(r.using), check: replaced(r.check)})
	}
	return out, nil
}
