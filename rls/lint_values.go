package rls

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// candidates returns JSON values of a column, nil for NULL, the most telling
// first.
func (l *linter) candidates(ctx context.Context, r *relation, c column, strs, numbers, holders []string) ([]*string, error) {
	own, _ := constants([]string{c.Checks})
	texts := append(append([]string{}, own...), strs...)
	base := c.Base
	if len(c.Labels) > 0 {
		base = "enum"
	} else if len(c.Fields) > 0 {
		values, err := l.composites(ctx, c, texts, numbers)
		return c.atMost(values), err
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
		raw = slices.Concat([]string{"1", "0"}, around(numbers), around(texts), []string{"-1"})
		safe = false
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
		for _, s := range numbers { // a year, perhaps
			if n, err := strconv.Atoi(s); err == nil && 1900 <= n && n <= 2100 {
				raw = append(raw, s+"-06-15 12:00:00Z")
			}
		}
	case "time without time zone", "time with time zone":
		raw, safe = append([]string{"00:00", "23:59:59.999999", "12:00"}, texts...), false
	case "json", "jsonb":
		if slices.ContainsFunc(r.Policies, func(p policy) bool { return strings.Contains(p.Using+p.Check, "uid()") }) {
			texts = append(texts, visitorID) // a key, perhaps
		}
		values := documents(texts, numbers, holders)
		if rest := values[min(len(values), maxValues-1):]; len(rest) > 0 {
			return append(c.atMost(values), rest[:min(len(rest), 4*maxValues)]...), nil
		}
		return c.atMost(values), nil
	case "text", "character varying", "character", "name", "citext":
		raw = append([]string{visitorID}, texts...)
		raw = append(raw, "walkin", visitorID+"/walkin.png", "")
		for _, s := range strs[:min(len(strs), 3)] {
			if strings.Contains(strings.Join(strs, ""), "/") {
				raw = append(raw, strings.TrimSuffix(s, "/")+"/"+visitorID+"/walkin.png")
			}
		}
		for _, s := range texts { // a pattern does not always match itself
			if strings.ContainsAny(s, `^$[+*\\`) {
				if match, ok := sample(s); ok {
					raw = append(raw, match)
				}
			}
			raw = append(raw, strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(s, "^"), "$"), "%", "walkin"))
		}
		for _, s := range numbers {
			if n, err := strconv.Atoi(s); err == nil && n <= 64 { // a length, perhaps
				raw = append(raw, strings.Repeat("a", n))
			}
		}
		if c.Domain || slices.ContainsFunc(r.Checks, func(check string) bool { return c.in(check) }) {
			raw = append(raw, "ABC", "abc", "1", "walkin@example.com", "+12025550100", "https://example.com/")
		}
	case "bit", "bit varying":
		size, _ := strconv.Atoi(strings.Trim(c.Type, "bit varyng()[]"))
		size = max(size, 1)
		raw, safe = append(texts, strings.Repeat("0", size), strings.Repeat("1", size)), false
		for i := range min(size, 8) {
			raw = append(raw, strings.Repeat("0", i)+"1"+strings.Repeat("0", size-i-1))
		}
		raw = slices.DeleteFunc(raw, func(s string) bool { return len(s) != size })
	default:
		for _, s := range texts {
			network, _, _ := strings.Cut(s, "/")
			raw = append(raw, s, network)
		}
		raw, safe = append(raw, "1", "walkin", "127.0.0.1", "12:00", "1 day", "(,)", "empty", "(1,1)", "{(,)}", "{}"), false
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

// composites returns values of a composite type, or lists of them: in the first ones
// all fields are alike as far as their types allow it, then they are combined.
func (l *linter) composites(ctx context.Context, c column, strs, numbers []string) (out []*string, err error) {
	texts := unique(slices.Concat(strs, around(numbers), []string{visitorID, otherID, "true", "false"}))
	var pairs [][2]string
	for _, field := range c.Fields {
		for _, s := range texts {
			pairs = append(pairs, [2]string{field[1], s})
		}
	}
	ok, err := l.valid(ctx, pairs)
	if err != nil {
		return nil, err
	}
	var all []any
	values := make([][]*string, len(c.Fields))
	for i, s := range texts {
		alike := map[string]any{}
		for f, field := range c.Fields {
			if ok[f*len(texts)+i] {
				alike[field[0]], values[f] = s, append(values[f], &s)
			}
		}
		if len(alike) > 0 && i < maxValues/2 {
			all = append(all, alike)
		}
	}
	for i := range min(combinationsOf(values), maxValues) {
		mixed := map[string]any{}
		for f, field := range c.Fields {
			if n := len(values[f]); n > 0 {
				mixed[field[0]], i = values[f][i%n], i/n
			}
		}
		all = append(all, mixed)
	}
	if c.Array {
		lists := []any{[]any{}, all}
		for _, v := range all {
			lists = append(lists, []any{v})
		}
		all = lists
	}
	for _, v := range all {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out = append(out, new(string(text)))
	}
	return out, nil
}

// around returns numbers, and for each the next ones above and below it.
func around(numbers []string) (out []string) {
	for _, s := range numbers {
		if n, err := strconv.ParseFloat(s, 64); err == nil {
			for _, n := range []float64{n, n + 1, n - 1} {
				out = append(out, strconv.FormatFloat(n, 'f', -1, 64))
			}
		}
	}
	return out
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
// member of a list. Those in holders hold the others.
func documents(texts, numbers, holders []string) []*string {
	out := []*string{}
	add := func(v any) {
		if text, err := json.Marshal(v); err == nil {
			out = append(out, new(string(text)))
		}
	}
	values := []any{visitorID, slices.Concat([]any{visitorID, otherID}, anys(texts[:min(len(texts), 6)])), true}
	for _, s := range texts[:min(len(texts), 6)] {
		values = append(values, s)
		if object := map[string]any{}; json.Unmarshal([]byte(s), &object) == nil {
			add(object) // what a document is compared with
		}
	}
	for _, s := range numbers[:min(len(numbers), 3)] {
		if n, err := strconv.ParseFloat(s, 64); err == nil {
			values = append(values, n, n+1, n-1)
		}
	}
	add(map[string]any{})
	// One key says this, all others the visitor's ID.
	var mixed []any
	for _, k := range texts[:min(len(texts), 4)] {
		for _, v := range values[2:] {
			m := nest(texts, holders, visitorID)
			m[k] = v
			mixed = append(mixed, m)
		}
	}
	for _, v := range append(values, otherID, false) {
		add(nest(texts, holders, v))
	}
	add(append(values, mixed[:min(len(mixed), 24)]...))
	for _, m := range mixed {
		add([]any{m})
		add(m)
	}
	return out
}

// nest returns {key: v} for all keys, the parts of paths like {a,b} too. What holds
// others holds all of them, three levels deep.
func nest(keys, holders []string, v any) map[string]any {
	var parts []string
	for _, k := range keys {
		path := strings.Split(strings.Trim(k, "{}"), ",")
		parts, holders = append(parts, path...), slices.Concat(holders, path[:len(path)-1])
	}
	holders = holders[:min(len(holders), 4)] // each multiplies what is below it
	var level func(depth int) map[string]any
	level = func(depth int) map[string]any {
		out := map[string]any{}
		for _, k := range parts {
			out[k] = v
			if depth > 0 && slices.Contains(holders, k) {
				out[k] = level(depth - 1)
			}
		}
		return out
	}
	return level(3)
}
