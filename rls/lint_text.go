package rls

import (
	"regexp"
	"regexp/syntax"
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
	caseOperand    = regexp.MustCompile(`\bCASE\s+(\S.*?)\s+WHEN\s`)
	caseWhen       = regexp.MustCompile(`\bWHEN\s+(.+?)\s+THEN\s`)
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

// spans returns what stands in brackets in text, with the name of a function before it,
// the innermost first.
func spans(text string) (out [][2]int) {
	mask := masked(text)
	for i := range len(mask) {
		if mask[i] != '(' {
			continue
		}
		end := closing(mask, i)
		if end < 0 {
			break
		}
		start := i
		for start > 0 && (mask[start-1] == '_' || mask[start-1] == '.' || mask[start-1] == '"' || mask[start-1] >= 0x80 ||
			'0' <= mask[start-1] && mask[start-1] <= '9' || 'a' <= mask[start-1]|0x20 && mask[start-1]|0x20 <= 'z') {
			start--
		}
		out = append(out, [2]int{start, end + 1})
	}
	slices.SortStableFunc(out, func(a, b [2]int) int { return (a[1] - a[0]) - (b[1] - b[0]) })
	return out
}

// cases returns the conditions of each CASE that compares one value with others.
func cases(text string) (out []string) {
	mask := strings.ReplaceAll(masked(text), "\n", " ")
	for _, m := range caseOperand.FindAllStringSubmatchIndex(mask, -1) {
		operand := text[m[2]:m[3]]
		if strings.HasPrefix(operand, "WHEN") {
			continue
		}
		for _, w := range caseWhen.FindAllStringSubmatchIndex(mask[m[3]:], -1) {
			out = append(out, "(("+operand+") = ("+text[m[3]+w[2]:m[3]+w[3]]+"))")
		}
	}
	return out
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

// sides returns what the parts of an expression are compared with by =, where that names
// no column: PostgreSQL knows its value.
func (r *relation) sides(text string) (out []string) {
	for _, atom := range atoms(text) {
		inner := strings.TrimSpace(atom)
		mask := masked(inner)
		for strings.HasPrefix(mask, "(") && closing(mask, 0) == len(mask)-1 {
			inner, mask = inner[1:len(inner)-1], mask[1:len(mask)-1]
		}
		depth := 0
		for i := range len(mask) {
			switch {
			case mask[i] == '(':
				depth++
			case mask[i] == ')':
				depth--
			case depth == 0 && strings.HasPrefix(mask[i:], " = "):
				for _, side := range []string{inner[:i], inner[i+3:]} {
					if strings.Contains(side, "(") && !fromWord.MatchString(side) && !strings.Contains(side, r.Alias+".") &&
						!slices.ContainsFunc(r.Columns, func(c column) bool { return c.in(side) }) {
						out = append(out, side)
					}
				}
			}
		}
	}
	return out
}

// sample returns a text that matches a regular expression, as short as one may be.
func sample(pattern string) (string, bool) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	var write func(re *syntax.Regexp)
	write = func(re *syntax.Regexp) {
		times := 1
		switch re.Op {
		case syntax.OpLiteral:
			b.WriteString(string(re.Rune))
			return
		case syntax.OpCharClass:
			if len(re.Rune) > 0 {
				b.WriteRune(firstOf(re.Rune))
			}
			return
		case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
			b.WriteByte('a')
			return
		case syntax.OpStar, syntax.OpQuest:
			return
		case syntax.OpRepeat:
			times = min(re.Min, 64)
		case syntax.OpAlternate:
			write(re.Sub[0])
			return
		}
		for range times {
			for _, sub := range re.Sub {
				write(sub)
			}
		}
	}
	write(tree)
	return b.String(), b.Len() > 0
}

// firstOf returns a letter of a class, or else the first character.
func firstOf(class []rune) rune {
	for i := 0; i < len(class); i += 2 {
		for _, letter := range "a1A" {
			if class[i] <= letter && letter <= class[i+1] {
				return letter
			}
		}
	}
	return class[0]
}
