package password

import (
	_ "embed"
	"strings"
	"unicode/utf8"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
)

const (
	defaultMinLength = 8   // runes; NIST SP 800-63B (revision 3), 5.1.1.2
	maxPassword      = 128 // runes, so 512 bytes at most; NIST asks for room for 64 characters, whatever they are written in, and some take two or three runes
)

// commonList holds passwords that are tried first, one a line, folded as
// [Password.isCommon] folds. It was made for this package from two public
// lists, Mark Burnett's "ten million passwords" (2015, public domain) in its
// order of frequency and the common passwords of zxcvbn-ts (MIT): of those that
// both have, the first three thousand of eight characters and more, less what
// the folding makes of another; the first few hundred words of four to seven
// letters; and by hand months, days, and words of operators' defaults. Most
// obscene ones are left out. In the frequency list, 98 of 100 of the first
// 3,000 passwords of eight characters and more are refused with it.
//
//go:embed common.txt
var commonList string

func commonPasswords() map[string]struct{} {
	words := make(map[string]struct{})
	for word := range strings.Lines(commonList) {
		words[strings.TrimSuffix(word, "\n")] = struct{}{}
	}
	return words
}

// checkTyped refuses with 422 what cannot be the password of any user.
func checkTyped(password string) error {
	switch {
	case password == "":
		return form.Unfit(ReasonNoPassword, "password.missing")
	case utf8.RuneCountInString(password) > maxPassword:
		return weak(ReasonLong, "password_long", "password.long", "count", maxPassword)
	case !utf8.ValidString(password):
		return weak(ReasonEncoding, "password_encoding", "password.encoding")
	}
	return nil
}

// check refuses with 422 a new password that is too easy to guess. It asks for
// no capitals, digits or signs: such rules make passwords that are hard to
// remember and not hard to guess (NIST SP 800-63B, appendix A.3). Repetitions,
// sequences, common passwords and the name are what 5.1.1.2 there lists.
//
// A password is its bytes, as typed. Normalising Unicode first, as NIST
// advises, takes its tables; what keyboards type is NFC already.
func (p *Password) check(name, password string) error {
	if err := checkTyped(password); err != nil {
		return err
	}
	folded := strings.ToLower(password)
	local, _, _ := strings.Cut(name, "@")
	switch {
	case utf8.RuneCountInString(password) < p.minLength:
		return weak(ReasonShort, "password_short", "password.short", "count", p.minLength)
	case folded == name || folded == local:
		return form.Unfit(ReasonIsName, "password.is_name")
	case isPattern(folded):
		return weak(ReasonPattern, "password_common", "password.pattern")
	case p.isCommon(folded):
		return weak(ReasonCommon, "password_common", "password.common")
	}
	return nil
}

// weak refuses a new password. code is for API clients, and key is the text.
func weak(reason walkin.Reason, code, key string, args ...any) *walkin.Refusal {
	refusal := form.Unfit(reason, key, args...)
	refusal.Code = code
	return refusal
}

// isPattern reports whether s repeats itself, as "abcabcabc" does, or goes up
// or down in steps of one, as "98765432" does.
func isPattern(s string) bool {
	for period := 1; period <= len(s)/2; period++ {
		if s[period:] == s[:len(s)-period] {
			return true
		}
	}
	up, down := true, true
	for i := 1; i < len(s); i++ {
		up = up && s[i] == s[i-1]+1
		down = down && s[i] == s[i-1]-1
	}
	return up || down
}

// disguises are the usual ways to make a word look like none: signs for the
// letters they resemble, 1 for i or for l, and Shift held over the digits.
var disguises = []*strings.Replacer{
	strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t"),
	strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "l", "!", "l", "0", "o", "$", "s", "5", "s", "7", "t"),
	strings.NewReplacer("!", "1", "@", "2", "#", "3", "$", "4", "%", "5", "^", "6", "&", "7", "*", "8", "(", "9", ")", "0"),
}

// isCommon reports whether a password, in lower case, is on the list: as it is,
// or without the few digits and signs at its end, or undisguised. No word on the list
// has a sign of the last disguise, which leaves it as it is.
func (p *Password) isCommon(folded string) bool {
	const few = 6
	stem := strings.TrimRightFunc(folded, func(c rune) bool {
		return c < utf8.RuneSelf && (c < 'a' || c > 'z')
	})
	stem = folded[:max(len(stem), len(folded)-few)]
	for _, word := range []string{folded, stem} {
		for _, d := range disguises {
			if _, ok := p.common[d.Replace(word)]; ok {
				return true
			}
		}
	}
	return false
}
