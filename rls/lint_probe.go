package rls

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
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
	from    string   // what makes records of them, for FROM
	rows    []string // JSON objects
	fixed   []string // of each row, what the visitor cannot change
	sampled bool     // there are more combinations than rows
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

	p, err := &probe{}, error(nil)
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
		if candidates, err = l.candidates(ctx, r, c, strs, numbers); err != nil {
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
	return p, l.keepPossible(ctx, r, p, insert)
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

// candidates returns JSON values of a column, nil for NULL, the most telling
// first.
func (l *linter) candidates(ctx context.Context, r *relation, c column, strs, numbers []string) ([]*string, error) {
	own, _ := constants([]string{c.Checks})
	texts := append(append([]string{}, own...), strs...)
	base := c.Base
	if len(c.Labels) > 0 {
		base = "enum"
	}
	var raw []string // as PostgreSQL reads the type
	safe := true     // every one of them is a value of the type
	switch base {
	case "enum":
		raw = c.Labels
	case "uuid":
		raw = []string{visitorID, otherID, thirdID}
		for _, s := range texts {
			if len(s) == 36 && strings.Count(s, "-") == 4 {
				raw, safe = append(raw, s), false
			}
		}
	case "boolean":
		raw = []string{"true", "false"}
	case "smallint", "integer", "bigint", "numeric", "real", "double precision":
		raw = []string{"1", "0"}
		for _, s := range append(slices.Clone(numbers), texts...) {
			if n, err := strconv.ParseFloat(s, 64); err == nil {
				for _, n := range []float64{n, n + 1, n - 1} {
					raw = append(raw, strconv.FormatFloat(n, 'f', -1, 64))
				}
			}
		}
		raw, safe = append(raw, "-1"), false
	case "timestamp with time zone", "timestamp without time zone", "date":
		now := l.catalog.Now
		times := []time.Time{now, now.AddDate(0, 0, -400), now.AddDate(0, 0, 400)}
		for _, s := range texts {
			if d := duration(s); d > 0 {
				times = append(times, now.Add(-d-25*time.Hour), now.Add(d+25*time.Hour), now.Add(-d/2))
			}
		}
		for _, t := range times {
			raw = append(raw, t.UTC().Format("2006-01-02 15:04:05Z07:00"))
		}
		for _, s := range texts {
			if len(s) >= 10 && s[4] == '-' {
				raw, safe = append(raw, s), false
			}
		}
	case "json", "jsonb":
		return c.atMost(l.documents(texts, numbers)), nil
	case "text", "character varying", "character", "name", "citext":
		raw = append([]string{visitorID}, texts...)
		raw = append(raw, "walkin", visitorID+"/walkin.png", "")
		for _, s := range strs[:min(len(strs), 3)] {
			if strings.Contains(strings.Join(strs, ""), "/") {
				raw = append(raw, s+"/"+visitorID+"/walkin.png")
			}
		}
		for _, s := range numbers {
			if n, err := strconv.Atoi(s); err == nil && n <= 64 { // a length, perhaps
				raw = append(raw, strings.Repeat("a", n))
			}
		}
		if c.Domain || slices.ContainsFunc(r.Checks, func(check string) bool { return c.in(check) }) {
			raw = append(raw, "ABC", "abc", "1", "walkin@example.com", "+12025550100", "https://example.com/")
		}
	default:
		for _, s := range texts {
			network, _, _ := strings.Cut(s, "/")
			raw = append(raw, s, network)
		}
		raw, safe = append(raw, "1", "walkin", "127.0.0.1", "12:00", "1 day", "(,)", "empty", "(1,1)"), false
	}
	if c.Limit > 0 && !c.Array {
		raw = slices.DeleteFunc(raw, func(s string) bool { return len(s) > c.Limit })
	}
	if c.Array {
		lists := []string{"{}"}
		for _, s := range raw {
			lists = append(lists, "{"+strconv.Quote(s)+"}")
		}
		quoted := make([]string, 0, len(raw))
		for _, s := range raw {
			quoted = append(quoted, strconv.Quote(s))
		}
		raw, safe = append(lists, "{"+strings.Join(quoted, ",")+"}"), false
	}
	raw = unique(raw)
	if !safe || c.Domain {
		pairs := make([][2]string, len(raw))
		for i, s := range raw {
			pairs[i] = [2]string{c.Type, s}
		}
		ok, err := l.valid(ctx, pairs)
		if err != nil {
			return nil, err
		}
		var kept []string
		for i, s := range raw {
			if ok[i] {
				kept = append(kept, s)
			}
		}
		raw = kept
	}
	out := make([]*string, 0, len(raw))
	for _, s := range raw {
		text, err := json.Marshal(s) // a JSON string, which the type's input reads
		if err != nil {
			return nil, err
		}
		out = append(out, new(string(text)))
	}
	return c.atMost(out), nil
}

// atMost keeps the first values, and NULL among them where it may be.
func (c *column) atMost(values []*string) []*string {
	values = values[:min(len(values), maxValues-1)]
	if !c.NotNull {
		values = append(values, nil)
	}
	return values
}

// documents returns JSON in which every constant is a key of each value, and a
// member of a list.
func (l *linter) documents(texts, numbers []string) []*string {
	out := []*string{}
	add := func(v any) {
		if text, err := json.Marshal(v); err == nil {
			out = append(out, new(string(text)))
		}
	}
	values := []any{visitorID, otherID, true, false}
	for _, s := range texts[:min(len(texts), 6)] {
		values = append(values, s)
	}
	for _, s := range numbers[:min(len(numbers), 3)] {
		if n, err := strconv.ParseFloat(s, 64); err == nil {
			values = append(values, n, n+1, n-1)
		}
	}
	for _, v := range values {
		add(nest(texts, v))
	}
	add(values)
	add(map[string]any{})
	return out
}

// nest returns {key: v} for all keys, the parts of paths like {a,b} too.
func nest(keys []string, v any) map[string]any {
	flat := map[string]any{}
	for _, k := range keys {
		for part := range strings.SplitSeq(strings.Trim(k, "{}"), ",") {
			flat[part] = v
		}
	}
	return flat
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

// A kind is what a token says of its user.
type kind int

const (
	anonymous kind = iota
	permanent
	missing
	kinds
)

// A world is what else a token and the app's settings say.
type world struct {
	app      map[string]any // claims of the app's own, at the top of the token and in app and app_metadata
	visitor  map[string]any // user_metadata: what visitors write themselves
	settings map[string]string
}

var plain = world{}

// claims are those of [InTx].
func (w world) claims(k kind) string {
	c := map[string]any{}
	maps.Copy(c, w.app)
	if w.app != nil {
		c["app"], c["app_metadata"] = w.app, w.app
	}
	if w.visitor != nil {
		c["user_metadata"] = w.visitor
	}
	delete(c, "is_anonymous")
	c["sub"], c["role"], c["session_id"] = visitorID, visitors, "019a0000-0000-7000-8000-00000000000c"
	if k != missing {
		c["is_anonymous"] = k == anonymous
	}
	text, _ := json.Marshal(c) // strings, booleans, lists and maps: it cannot fail
	return string(text)
}

// known are constants that say nothing of claims or settings beyond those that
// every token has.
var known = []string{"", "{}", "sub", "role", "is_anonymous", "session_id", "user_metadata", "authenticated", "anon", "service_role", "aud", "iss", "exp", "iat",
	"request.jwt.claims", "request.jwt.claim.sub", "request.jwt.claim.role", "request.jwt.claim", "true", "false", "null", "t", "f"}

// worlds returns the worlds in which an expression may be decided differently. The
// plain one comes first, then those with claims and settings of the app's, then those
// in which the visitor has written something.
func (l *linter) worlds(text string) (apps, poisoned []world) {
	sources := l.sources(text)
	strs, _ := constants(sources)
	keys := slices.DeleteFunc(slices.Clone(strs), func(s string) bool {
		return s == "app" || s == "app_metadata" || s == "user_metadata" || len(s) > 40 || strings.HasPrefix(s, "request.jwt.")
	})
	keys = keys[:min(len(keys), 8)]
	values := []any{visitorID, otherID, true, false, 1}
	for _, k := range keys {
		values = append(values, k)
	}
	values = append(values, slices.Concat([]any{visitorID}, anys(keys)), nest(keys, visitorID), nest(keys, []any{visitorID, otherID}))
	var mixed []map[string]any
	for _, v := range values {
		mixed = append(mixed, nest(keys, v))
	}
	for _, k := range keys {
		for _, c := range keys { // one key says this, all others the visitor's ID
			if k != c {
				m := nest(keys, visitorID)
				for part := range strings.SplitSeq(strings.Trim(k, "{}"), ",") {
					m[part] = c
				}
				mixed = append(mixed, m)
			}
		}
	}
	mixed = mixed[:min(len(mixed), 40)]

	poison := slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, "user_metadata") })
	if poison {
		for _, m := range mixed {
			poisoned = append(poisoned, world{visitor: m})
		}
	}
	own := func(s string) bool {
		return !slices.Contains(known, s) && !(poison && strings.Contains(s, "user_metadata"))
	}
	if !slices.ContainsFunc(strs, own) || !l.readsClaims(text) {
		return nil, poisoned
	}
	settings := slices.DeleteFunc(slices.Clone(strs), func(s string) bool {
		return !settingName.MatchString(s) || strings.HasPrefix(s, "request.jwt.")
	})
	for _, m := range mixed {
		w := world{app: m}
		if len(settings) > 0 {
			w.settings = map[string]string{}
			for _, name := range settings {
				if v, ok := m[name].(string); ok {
					w.settings[name] = v
				} else if text, err := json.Marshal(m[name]); err == nil {
					w.settings[name] = string(text)
				}
			}
		}
		apps = append(apps, w)
	}
	if len(settings) > 0 { // request.headers and the like are documents
		for _, v := range values {
			w := world{settings: map[string]string{}}
			for _, name := range settings {
				if text, err := json.Marshal(nest(keys, v)); err == nil {
					w.settings[name] = string(text)
				}
			}
			apps = append(apps, w)
		}
	}
	return apps, poisoned
}

// readsClaims reports whether text reads claims or settings other than those
// that every token has.
func (l *linter) readsClaims(text string) bool {
	if readsClaims.MatchString(text) {
		return true
	}
	for f := range l.called(text) {
		sources := l.sources(f.Source)
		if slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, "user_metadata") }) {
			return true
		} else if !slices.ContainsFunc(sources, readsClaims.MatchString) {
			continue
		}
		// Without arguments it reads what its own constants name.
		strs, _ := constants(sources)
		if !strings.HasSuffix(f.Name, "()") || slices.ContainsFunc(strs, func(s string) bool { return !slices.Contains(known, s) }) {
			return true
		}
	}
	return false
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
