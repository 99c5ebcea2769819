package rls

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the linter takes out of the text of an expression: its constants, whether
// a name is in it, and where its brackets match. It never needs to know what an
// expression means; PostgreSQL does.

var (
	stringLiteral  = regexp.MustCompile(`'((?:[^']|'')*)'`)
	numberLiteral  = regexp.MustCompile(`\b\d{1,9}(?:\.\d{1,9})?\b`)
	lengthOfTime   = regexp.MustCompile(`(\d{1,6}) ?(sec|min|hour|day|week|mon|year)`)
	clockTime      = regexp.MustCompile(`\b(\d{1,5}):(\d\d):(\d\d)`)
	settingName    = regexp.MustCompile(`^[a-zA-Z_]\w*(\.[a-zA-Z_]\w*)+$`)
	readsClaims    = regexp.MustCompile(`(?i)jwt|current_setting|claims`)
	subSelectStart = regexp.MustCompile(`\(\s*SELECT\b`)
	fromWord       = regexp.MustCompile(`(?i)\bfrom\b`)
	holder         = regexp.MustCompile(`-> ?'((?:[^']|'')*)'(?:::text)?\)* ?[-#]>`)
	clock          = regexp.MustCompile(`(?i)\b(?:now|(?:statement|transaction|clock)_timestamp)\(|\bcurrent_(?:date|time|timestamp)\b|\blocaltime(?:stamp)?\b`)
	chance         = regexp.MustCompile(`(?i)\brandom\(`)
)

// constants returns the string and number literals of texts, each once.
func constants(texts []string) (strs, numbers []string) {
	for _, text := range texts {
		for _, m := range stringLiteral.FindAllStringSubmatch(text, -1) {
			if s := strings.ReplaceAll(m[1], "''", "'"); len(s) < 100 && !slices.Contains(strs, s) {
				strs = append(strs, s)
			}
		}
		for _, n := range numberLiteral.FindAllString(text, -1) {
			if !slices.Contains(numbers, n) {
				numbers = append(numbers, n)
			}
		}
	}
	return strs, numbers
}

// holding returns the keys in texts under which other keys are looked up.
func holding(texts []string) (out []string) {
	for _, text := range texts {
		for at := 0; ; {
			m := holder.FindStringSubmatchIndex(text[at:])
			if m == nil {
				break
			}
			out = append(out, strings.ReplaceAll(text[at+m[2]:at+m[3]], "''", "'"))
			at += m[3]
		}
	}
	return out
}

// duration reads PostgreSQL's interval: "30 days", "1 year 2 mons", "01:30:00".
func duration(s string) (d time.Duration) {
	const day, most = 24 * time.Hour, 100 * 365 * 24 * time.Hour
	units := map[string]time.Duration{"sec": time.Second, "min": time.Minute, "hour": time.Hour, "day": day, "week": 7 * day, "mon": 30 * day, "year": 365 * day}
	add := func(digits string, unit time.Duration) {
		n, _ := strconv.Atoi(digits)
		d = min(d+min(time.Duration(n), most/unit)*unit, most)
	}
	for _, m := range lengthOfTime.FindAllStringSubmatch(s, -1) {
		add(m[1], units[m[2]])
	}
	if m := clockTime.FindStringSubmatch(s); m != nil {
		add(m[1], time.Hour)
		add(m[2], time.Minute)
		add(m[3], time.Second)
	}
	return d
}

// hasWord reports whether word is in text, with nothing that continues it.
func hasWord(text, word string) bool {
	part := func(c byte) bool {
		return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	for at := 0; word != ""; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(word)
		if (start == 0 || !part(text[start-1])) && (end == len(text) || !part(text[end])) {
			return true
		}
		at = start + 1
	}
	return false
}

// masked returns text with all that is quoted blanked out, byte for byte.
func masked(text string) string {
	out := []byte(text)
	for i := 0; i < len(out); i++ {
		if q := out[i]; q == '\'' || q == '"' {
			for i++; i < len(out) && out[i] != q; i++ {
				out[i] = '_'
			}
		}
	}
	return string(out)
}

// closing returns where the bracket at open is closed, or -1.
func closing(mask string, open int) int {
	depth := 0
	for i := open; i < len(mask); i++ {
		switch mask[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// enclosing returns the innermost brackets around a span, or ok false.
func enclosing(mask string, from, to int) (start, end int, ok bool) {
	depth := 0
	for i := from - 1; i >= 0; i-- {
		switch mask[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth < 0 {
				end := closing(mask, i)
				return i, end + 1, end >= to
			}
		}
	}
	return 0, 0, false
}

// alternatives splits an OR at the top of an expression, so that each side can be
// checked for itself.
func alternatives(text string) []string { return split(text, " OR ") }

// atoms splits at every OR and AND that is not in something else.
func atoms(text string) (out []string) {
	for _, by := range []string{" OR ", " AND "} {
		if parts := split(text, by); len(parts) > 1 {
			for _, part := range parts {
				out = append(out, atoms(part)...)
			}
			return out
		}
	}
	return []string{text}
}

func split(text, by string) []string {
	inner := strings.TrimSpace(text)
	mask := masked(inner)
	if !strings.HasPrefix(mask, "(") || closing(mask, 0) != len(mask)-1 {
		return []string{text}
	}
	inner, mask = inner[1:len(inner)-1], mask[1:len(mask)-1]
	var out []string
	depth, start := 0, 0
	for i := range len(mask) {
		switch {
		case mask[i] == '(':
			depth++
		case mask[i] == ')':
			depth--
		case depth == 0 && strings.HasPrefix(mask[i:], by):
			out = append(out, split(inner[start:i], by)...) // (a OR b) OR c
			start = i + len(by)
		}
	}
	if start == 0 {
		return []string{text}
	}
	return append(out, split(inner[start:], by)...)
}

// opaque returns the parts of an expression that read tables: sub-selects, and
// calls of those functions.
func opaque(text string, functions []*function) (spans [][2]int) {
	mask := masked(text)
	for _, at := range subSelectStart.FindAllStringIndex(mask, -1) {
		end := closing(mask, at[0])
		if end < 0 || !fromWord.MatchString(mask[at[0]:end]) {
			continue
		}
		start := at[0]
		if before := strings.TrimRight(mask[:start], " "); strings.HasSuffix(before, "EXISTS") {
			start = len(before) - len("EXISTS")
		}
		spans = append(spans, [2]int{start, end + 1})
	}
	for _, f := range functions {
		name := f.Name[:strings.Index(f.Name, "(")]
		for _, form := range []string{name, name[strings.Index(name, ".")+1:]} {
			for at := 0; ; {
				i := strings.Index(text[at:], form+"(")
				if i < 0 {
					break
				}
				start, open := at+i, at+i+len(form)
				at = open
				if mask[open] != '(' || start > 0 && strings.ContainsAny(mask[start-1:start], ".abcdefghijklmnopqrstuvwxyz_0123456789\"") {
					continue
				}
				if end := closing(mask, open); end > 0 {
					spans = append(spans, [2]int{start, end + 1})
				}
			}
		}
	}
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	outer := spans[:0]
	for _, s := range spans {
		if len(outer) == 0 || s[1] > outer[len(outer)-1][1] {
			outer = append(outer, s)
		}
	}
	return outer
}

// in reports whether text names the column.
func (c *column) in(text string) bool {
	return hasWord(text, c.Name) || strings.Contains(text, c.Quoted) && c.Quoted != c.Name
}
