// Package numerals reads the digits that visitors type.
package numerals

import (
	"strings"
	"unicode"
)

// ASCII returns what a visitor typed with its decimal digits in ASCII, whatever script
// the keyboard writes, and without what people and programs put between them: blanks,
// dashes, and the marks of writing direction that come with a copied code. Everything
// else stays as it is.
func ASCII(typed string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case '0' <= c && c <= '9':
			return c
		case unicode.Is(unicode.Nd, c):
			return '0' + valueOf(c)
		case unicode.In(c, unicode.White_Space, unicode.Dash, unicode.Bidi_Control), c == zeroWidthSpace:
			return -1
		}
		return c
	}, typed)
}

const zeroWidthSpace = '\u200b'

// valueOf returns what a digit of the category Nd stands for. Each script has its ten in
// one row from 0 to 9 (The Unicode Standard, 4.6), and a range of the table is one row or
// more.
func valueOf(digit rune) rune {
	for _, in := range unicode.Nd.R16 {
		if rune(in.Lo) <= digit && digit <= rune(in.Hi) {
			return (digit - rune(in.Lo)) % 10
		}
	}
	for _, in := range unicode.Nd.R32 {
		if rune(in.Lo) <= digit && digit <= rune(in.Hi) {
			return (digit - rune(in.Lo)) % 10
		}
	}
	return 0
}
