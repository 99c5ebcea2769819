package numerals_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/walkin-go/walkin/internal/numerals"
)

// TestDigits holds that a code is read as its owner typed it: on the keyboard of any
// script, in groups, or copied from a message that is written from right to left.
func TestDigits(t *testing.T) {
	for _, tt := range []struct{ name, typed, want string }{
		{"plain", "012345", "012345"},
		{"blanks", " 012 345\u00a0\u3000\n", "012345"},
		{"dashes", "01-23\u201145\u2013", "012345"},
		{"full width", "０１２３４５", "012345"},
		{"Arabic", "٠١٢٣٤٥", "012345"},
		{"Persian", "۶۷۸۹۰۱", "678901"},
		{"Hindi", "०१२३४५", "012345"},
		{"Bengali", "০১২৩৪৫", "012345"},
		{"Thai", "๐๑๒๓๔๕", "012345"},
		{"beyond 16 bits", "\U0001d7ce\U0001d7d7\U0001d7d8", "090"},
		{"writing direction", "\u200e\u2067012\u2069345\u200f", "012345"},
		{"zero width", "012\u200b345", "012345"},
		{"no digits", "½²Ⅷ五", "½²Ⅷ五"},
		{"letters", "ab-12", "ab12"},
		{"no text", "1\xff2", "1\ufffd2"},
		{"nothing", "", ""},
	} {
		if got := numerals.ASCII(tt.typed); got != tt.want {
			t.Errorf("%s: got %+q, want %+q", tt.name, got, tt.want)
		}
	}
}

// TestDigitsOfAllScripts compares the value of every digit that Go knows with its place
// among its neighbours: ten that follow each other are 0 to 9.
func TestDigitsOfAllScripts(t *testing.T) {
	var row strings.Builder
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if !unicode.Is(unicode.Nd, c) {
			continue
		}
		if row.WriteString(numerals.ASCII(string(c))); row.Len() == 10 {
			if row.String() != "0123456789" {
				t.Fatalf("the row that ends with %U reads %q", c, row.String())
			}
			row.Reset()
		}
	}
	if row.Len() > 0 {
		t.Errorf("%q is left over", row.String())
	}
}
