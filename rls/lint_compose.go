package rls

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
)

// An expression is one side of a policy, evaluated.
type expression struct {
	text string
	// What passes, by variant, by world and kind, and by row. There is one variant
	// where all is decided. Where tables are read whose rows the linter cannot
	// know, there is one for each way in which that may turn out. A nil list of
	// rows is a world that makes no sense: every row is an error.
	variants [][][]bool
	reads    []int64
	failed   bool // on every row, for a reason that is not a refusal
	refused  bool // always: the visitor's statement fails
}

const cellsPerWorld = int(kinds)

// maxUnknown is how many parts of an expression are tried both ways.
const maxUnknown = 4

// evaluate evaluates text on the rows of p.
func (l *linter) evaluate(ctx context.Context, p *probe, text string, worlds []world) (*expression, error) {
	e := &expression{text: text}
	if !l.readsClaims(text) {
		worlds = worlds[:1]
	}
	cells := make([][]bool, len(worlds)*cellsPerWorld)
	open := make([]bool, len(cells)) // decided by what cannot be known
	// An expression without names, a part of a larger one, or true.
	if err := l.prepare(ctx, p.from, text); sqlState(err) != "" {
		for i := range open {
			open[i], e.failed = true, true
		}
	} else if err != nil {
		return nil, err
	} else {
		if slices.ContainsFunc(l.sources(text), chance.MatchString) {
			e.either(len(cells), len(p.rows))
			return e, nil
		}
		refusals, hours := 0, len(l.hours(p.relation, text)) > 0
		for w, world := range worlds {
			for k := range kinds {
				states, reads, err := l.run(ctx, p.document(), world.as(k))
				if err != nil {
					return nil, err
				}
				i := w*cellsPerWorld + int(k)
				if l.slow { // once is enough
					e.either(len(cells), len(p.rows))
					return e, nil
				}
				cells[i] = passing(states)
				reads = l.unseen(ctx, text, reads, k)
				for _, oid := range reads {
					if !slices.Contains(e.reads, oid) {
						e.reads = append(e.reads, oid)
					}
				}
				open[i] = len(reads) > 0 || hours
				switch {
				case len(bytes.Trim(states, string(errs))) == 0:
					if w > 0 {
						cells[i], open[i] = nil, false
					} else {
						open[i], e.failed = true, true
					}
				case len(bytes.Trim(states, string(refused))) == 0 && !hours:
					open[i] = false
					refusals++
				}
			}
		}
		e.refused = refusals == len(cells)
	}
	if !slices.Contains(open, true) {
		e.variants = [][][]bool{cells}
		return e, nil
	}
	variants, err := l.tryAll(ctx, p, text, worlds, cells, open)
	if err != nil {
		return nil, err
	}
	if variants == nil { // the whole expression is one of the two
		for _, answer := range []bool{true, false} {
			v := slices.Clone(cells)
			for i := range v {
				if open[i] {
					v[i] = slices.Repeat([]bool{answer}, len(p.rows))
				}
			}
			variants = append(variants, v)
		}
	}
	e.variants = variants
	return e, nil
}

// either makes e one that may be true or false on all rows.
func (e *expression) either(cells, rows int) {
	e.failed = true
	for _, answer := range []bool{true, false} {
		e.variants = append(e.variants, slices.Repeat([][]bool{slices.Repeat([]bool{answer}, rows)}, cells))
	}
}

func (w world) as(k kind) setup {
	return setup{role: visitors, claims: w.claims(k), settings: w.settings}
}

func passing(states []byte) []bool {
	out := make([]bool, len(states))
	for i, s := range states {
		out[i] = s == passes
	}
	return out
}

// tryAll replaces the parts of text that read tables by true and by false, in all
// combinations. It returns nil when that is not possible.
func (l *linter) tryAll(ctx context.Context, p *probe, text string, worlds []world, cells [][]bool, open []bool) ([][][]bool, error) {
	var functions []*function
	for f := range l.called(text) {
		if slices.ContainsFunc(l.sources(f.Source), fromWord.MatchString) {
			functions = append(functions, f)
		}
	}
	mask := masked(text)
	var parts [][2]int
	spans := append(opaque(text, functions), l.hours(p.relation, text)...)
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	for _, span := range spans {
		// Wider, until it is a boolean.
		for {
			err := l.prepare(ctx, p.from, "("+text[span[0]:span[1]]+") IS TRUE")
			if err == nil {
				break
			} else if sqlState(err) == "" {
				return nil, err
			}
			start, end, ok := enclosing(mask, span[0], span[1])
			if !ok {
				return nil, nil
			}
			span = [2]int{start, end}
		}
		parts = slices.DeleteFunc(parts, func(s [2]int) bool { return s[0] >= span[0] && s[1] <= span[1] })
		if len(parts) == 0 || parts[len(parts)-1][1] <= span[0] {
			parts = append(parts, span)
		}
	}
	if len(parts) == 0 || len(parts) > maxUnknown {
		return nil, nil
	}
	var variants [][][]bool
	for bits := range 1 << len(parts) {
		var b strings.Builder
		at := 0
		for i, span := range parts {
			b.WriteString(text[at:span[0]])
			b.WriteString([]string{" (false) ", " (true) "}[bits>>i&1])
			at = span[1]
		}
		b.WriteString(text[at:])
		if err := l.prepare(ctx, p.from, b.String()); sqlState(err) != "" {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		v := slices.Clone(cells)
		for w, world := range worlds {
			for k := range kinds {
				i := w*cellsPerWorld + int(k)
				if !open[i] {
					continue
				}
				states, reads, err := l.run(ctx, p.document(), world.as(k))
				if err != nil {
					return nil, err
				}
				if len(reads) > 0 || w == 0 && len(bytes.Trim(states, string(errs))) == 0 {
					return nil, nil
				}
				v[i] = passing(states)
			}
		}
		variants = append(variants, v)
	}
	return variants, nil
}

// hours returns the parts of text that the clock alone decides: today's answer is not
// tomorrow's. Where a row's time is compared, the rows have several.
func (l *linter) hours(r *relation, text string) (spans [][2]int) {
	at := 0
	for _, atom := range atoms(text) {
		i := strings.Index(text[at:], atom)
		if i < 0 {
			continue
		}
		start := at + i
		at = start + len(atom)
		if slices.ContainsFunc(l.sources(atom), clock.MatchString) && !slices.ContainsFunc(r.Columns, func(c column) bool { return c.in(atom) }) {
			spans = append(spans, [2]int{start, at})
		}
	}
	return spans
}

// unseen omits the tables of which a visitor of that kind sees no row, whatever they
// hold. Their content does not matter.
func (l *linter) unseen(ctx context.Context, text string, reads []int64, k kind) (out []int64) {
	for f := range l.called(text) {
		if f.Definer {
			return reads // which may see more than the visitor
		}
	}
	for _, oid := range reads {
		t := l.relation[oid]
		if t == nil || t.Kind != "r" && t.Kind != "p" || !l.seesNothing(ctx, t, k) {
			out = append(out, oid)
		}
	}
	return out
}

// A side is what one policy lets through by USING or by WITH CHECK: one of
// several expressions.
type side []*expression

func (s side) rows(variant map[*expression]int, cell, n int) []bool {
	out := make([]bool, n)
	for _, e := range s {
		cells := e.variants[variant[e]]
		if len(cells) <= cell { // the same in every world
			cell = cell % cellsPerWorld
		}
		rows := cells[cell]
		if rows == nil {
			return nil
		}
		for i, ok := range rows {
			out[i] = out[i] || ok
		}
	}
	return out
}

type ruling struct {
	permissive   bool
	using, check side // nil where the command has none
}

// compose returns (OR of permissive) AND (AND of restrictive) of one side.
func compose(rulings []ruling, of func(ruling) side, variant map[*expression]int, cell, n int) []bool {
	some, out := make([]bool, n), slices.Repeat([]bool{true}, n)
	for _, r := range rulings {
		s := of(r)
		if s == nil {
			continue
		}
		rows := s.rows(variant, cell, n)
		if rows == nil {
			return nil
		}
		for i, ok := range rows {
			if r.permissive {
				some[i] = some[i] || ok
			} else {
				out[i] = out[i] && ok
			}
		}
	}
	for i := range out {
		out[i] = out[i] && some[i]
	}
	return out
}

func usingOf(r ruling) side { return r.using }
func checkOf(r ruling) side { return r.check }

// through returns the rows that pass a command: its USING, and for what is written its
// WITH CHECK. An UPDATE turns a row into one of those that differ only in columns that
// the visitor may change.
func through(rulings []ruling, p *probe, command string, variant map[*expression]int, cell int) []bool {
	n := len(p.rows)
	switch command {
	case "INSERT":
		return compose(rulings, checkOf, variant, cell, n)
	case "UPDATE":
		old, written := compose(rulings, usingOf, variant, cell, n), compose(rulings, checkOf, variant, cell, n)
		if old == nil || written == nil {
			return nil
		}
		reachable := map[string]bool{}
		for i, ok := range written {
			if ok {
				reachable[p.fixed[i]] = true
			}
		}
		for i := range old {
			old[i] = old[i] && reachable[p.fixed[i]]
		}
		return old
	}
	return compose(rulings, usingOf, variant, cell, n)
}

// maxCombinations bounds how many ways are tried in which tables may answer.
const maxCombinations = 128

func expressions(rulings []ruling) (out []*expression) {
	for _, r := range rulings {
		for _, e := range slices.Concat(r.using, r.check) {
			if !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
	}
	return out
}

// satisfied reports whether a row passes in any case.
func (e *expression) satisfied() bool {
	return slices.ContainsFunc(e.variants, func(cells [][]bool) bool {
		return slices.ContainsFunc(cells, func(rows []bool) bool { return slices.Contains(rows, true) })
	})
}

// combinations yields every choice of variants, or false when they are too many.
func combinations(rulings []ruling) (all []map[*expression]int, ok bool) {
	all = []map[*expression]int{{}}
	for _, e := range expressions(rulings) {
		if len(all)*len(e.variants) > maxCombinations {
			return nil, false
		}
		var next []map[*expression]int
		for _, chosen := range all {
			for v := range e.variants {
				c := maps.Clone(chosen)
				c[e] = v
				next = append(next, c)
			}
		}
		all = next
	}
	return all, true
}
