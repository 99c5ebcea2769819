package rls

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

func TestAlternatives(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"one", `(a = 1)`, []string{`(a = 1)`}},
		{"no brackets", `f(x)`, []string{`f(x)`}},
		{"two", `((a = 1) OR f(b))`, []string{`(a = 1)`, `f(b)`}},
		{"nested", `(a OR ((b OR c) OR d) OR (e AND (f OR g)))`, []string{`a`, `b`, `c`, `d`, `(e AND (f OR g))`}},
		{"AND of ORs", `((a OR b) AND (c OR d))`, []string{`((a OR b) AND (c OR d))`}},
		{"not the same brackets", `(a OR b) = (c OR d)`, []string{`(a OR b) = (c OR d)`}},
		{"in quotes", `((a = ') OR ('::text) OR (" OR (" = 1))`, []string{`(a = ') OR ('::text)`, `(" OR (" = 1)`}},
		{"a doubled quote", `((a = 'it''s OR') OR b)`, []string{`(a = 'it''s OR')`, `b`}},
		{"CASE", `CASE WHEN (a OR b) THEN c ELSE d END`, []string{`CASE WHEN (a OR b) THEN c ELSE d END`}},
	} {
		if got := alternatives(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestOpaque(t *testing.T) {
	functions := []*function{{Name: "private.belongs(uuid)"}}
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", `(owner = auth.uid())`, nil},
		{"a sub-select without a table", `(owner = ( SELECT auth.uid() AS uid))`, nil},
		{"EXISTS", "(a AND (EXISTS ( SELECT 1\n   FROM m\n  WHERE (m.x = ')'))))", []string{"EXISTS ( SELECT 1\n   FROM m\n  WHERE (m.x = ')'))"}},
		{"a function", `(private.belongs(org) AND x)`, []string{`private.belongs(org)`}},
		{"in a string", `(name = 'private.belongs(org)'::text)`, nil},
		{"another one", `(not_private.belongs(org) AND xbelongs(a))`, nil},
		{"within the other", `(x IN ( SELECT y FROM m WHERE private.belongs(y)))`, []string{`( SELECT y FROM m WHERE private.belongs(y))`}},
	} {
		var got []string
		for _, span := range opaque(test.text, functions) {
			got = append(got, test.text[span[0]:span[1]])
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "published": 0, "30 days": 720 * time.Hour, "1 mon 2 days": 32 * 24 * time.Hour, "01:30:00": 90 * time.Minute, "1 day 02:00:00": 26 * time.Hour,
		"90 minutes": 90 * time.Minute, "999999 years": 100 * 365 * 24 * time.Hour,
	} {
		if got := duration(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// FuzzText holds that no text of an expression breaks the linter, and that what
// it cuts out is there.
func FuzzText(f *testing.F) {
	for _, text := range []string{`((a = ') OR ('::text) OR b)`, `EXISTS ( SELECT 1 FROM m WHERE f(x))`, `'`, `"`, `)(`, `(((`, `f(`, "(\xff OR \"", `1 day`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(masked(text)) != len(text) {
			t.Error("the mask has another length")
		}
		for _, part := range alternatives(text) {
			if len(part) > len(text) {
				t.Errorf("%q is longer than %q", part, text)
			}
		}
		for _, span := range opaque(text, []*function{{Name: "public.f(uuid)"}}) {
			if span[0] < 0 || span[1] > len(text) || span[0] >= span[1] {
				t.Errorf("%v is no part of %q", span, text)
			}
			if start, end, ok := enclosing(masked(text), span[0], span[1]); ok && (start >= span[0] || end < span[1]) {
				t.Errorf("the brackets from %d to %d are not around %v in %q", start, end, span, text)
			}
		}
		constants([]string{text})
		duration(text)
		hasWord(text, "f")
		shorten(text)
	})
}

// TestSample holds that what is made of a pattern matches it.
func TestSample(t *testing.T) {
	for _, pattern := range []string{`^pub-[0-9]{4}$`, `^[^@ ]+@example\.com$`, `^#[a-f0-9]{6}$`, `^(draft|final)_\d+$`, `^[a-z][a-z0-9_]{2,19}$`} {
		got, ok := sample(pattern)
		if !ok || !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%s: got %q, %v", pattern, got, ok)
		}
	}
	for _, pattern := range []string{`(`, `^$`} {
		if got, ok := sample(pattern); ok {
			t.Errorf("%s: got %q", pattern, got)
		}
	}
}

// TestCases holds that a CASE with an operand is read as comparisons, and one without as
// none.
func TestCases(t *testing.T) {
	got := cases("CASE \"right\"(k, 3)\n    WHEN 'a THEN'::text THEN true\n    WHEN 'b'::text THEN false\n    ELSE NULL\nEND")
	want := []string{`(("right"(k, 3)) = ('a THEN'::text))`, `(("right"(k, 3)) = ('b'::text))`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := cases("CASE\n    WHEN (k = 'a'::text) THEN true\n    ELSE false\nEND"); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}
