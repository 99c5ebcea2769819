package password_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/texts"
)

func TestPasswords(t *testing.T) {
	for _, tt := range []struct{ name, password, reason string }{
		{"a few words", "correct horse battery", ""},
		{"eight characters", "kx7!pqmw", ""},
		{"eight runes of more bytes", "żółwiątk", ""},
		{"emoji", "🐢🦊🐻🐼🐨🐯🦁🐮", ""},
		{"spaces count", "  k x 7 !  ", ""},
		{"the longest", strings.Repeat("kx7!pqmw", 15) + "kx7!pqmv", ""},
		{"64 in Chinese", strings.Repeat("天地玄黄宇宙洪荒", 7) + "日月盈昃辰宿列张", ""},
		{"64 in Hindi", strings.Repeat("नमस्ते दुनिया, ", 4) + "यह है", ""},
		{"128 emoji", strings.Repeat("🐢🦊🐻🐼🐨🐯🦁🐮", 15) + "🐢🦊🐻🐼🐨🐯🦁🐢", ""},
		{"129 in Chinese", strings.Repeat("天地玄黄宇宙洪荒", 16) + "日", "password_long"},
		{"a few characters of many bytes each that are none", strings.Repeat("\xff", 1025), "password_long"},
		{"no capital, no digit, no sign", "turnipsailorfig", ""},
		{"seven characters", "kx7!pqm", "password_short"},
		{"seven runes", "żółwiąt", "password_short"},
		{"too long", strings.Repeat("kx7!pqmw", 16) + "x", "password_long"},
		{"50 KB", strings.Repeat("kx7pqm", 8000), "password_long"},
		{"not UTF-8", "kx7!pqmw\xff", "password_encoding"},
		{"the name", "annabel.smith@example.com", "password_is_name"},
		{"the name in capitals", "ANNABEL.SMITH@EXAMPLE.COM", "password_is_name"},
		{"the local part", "Annabel.Smith", "password_is_name"},
		{"one character", "kkkkkkkk", "password_pattern"},
		{"a repetition", "kx7kx7kx7k", "password_pattern"},
		{"one half twice", "kx7!kx7!", "password_pattern"},
		{"a sequence", "bcdefghij", "password_pattern"},
		{"a sequence down", "98765432", "password_pattern"},
		{"common", "password", "password_common"},
		{"in capitals", "PASSWORD", "password_common"},
		{"with a sign for a letter", "P@ssw0rd", "password_common"},
		{"with more of them", "Pr1nce$$", "password_common"},
		{"with 1 for l", "he11oh3110", ""},
		{"with a year and a sign", "Summer2025!", "password_common"},
		{"disguised, with digits", "$un5hine99", "password_common"},
		{"with the signs behind z", "password{|}~", "password_common"},
		{"with as many digits as are few", "password729461", "password_common"},
		{"with more than a few digits", "password7294618", ""},
		{"with letters outside ASCII at its end", "passwordżó", ""},
		{"with the first character outside ASCII", "password\u0080", ""},
		{"keys in a row", "1qaz2wsx", "password_common"},
		{"keys in a row, with Shift", "1qaz@WSX", "password_common"},
		{"an operator's", "Admin@123", "password_common"},
		{"long and famous", "correcthorsebatterystaple", "password_common"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, nil)
			_, err := s.SignUp(form(t, "annabel.smith@example.com", tt.password))
			if tt.reason != "" {
				refusal(t, err, http.StatusUnprocessableEntity, walkin.Reason(tt.reason))
			} else if err != nil {
				t.Error(err)
			}
			if n := s.hashes.Load(); (n == 1) != (tt.reason == "") {
				t.Errorf("hashed %d times", n)
			}
		})
	}
}

func TestMinLength(t *testing.T) {
	s := newSite(t, func(cfg *password.Config) { cfg.MinLength = 15 })
	_, err := s.SignUp(form(t, name, "turnip.sailors"))
	if r := refusal(t, err, http.StatusUnprocessableEntity, "password_short"); !strings.Contains(texts.English().Say(r.Text), "15 characters") {
		t.Errorf("got %v", r.Text)
	}
	if _, err = s.SignUp(form(t, name, "turnip.sailors.")); err != nil {
		t.Error(err)
	}
}

// A password that signs in need not be one that may be chosen today; but what cannot be
// a password is not hashed.
func TestSignInAsksForLess(t *testing.T) {
	s := newSite(t, nil)
	for _, tt := range []struct {
		password, reason string
		status           int
		hashes           int64
	}{
		{"short", "unknown_name", 401, 1},
		{"password", "unknown_name", 401, 1},
		{strings.Repeat("x", 129), "password_long", 422, 0},
		{"\xff\xfe", "password_encoding", 422, 0},
		{"", "no_password", 422, 0},
	} {
		before := s.hashes.Load()
		_, err := s.SignIn(form(t, name, tt.password))
		refusal(t, err, tt.status, walkin.Reason(tt.reason))
		if n := s.hashes.Load() - before; n != tt.hashes {
			t.Errorf("%s: hashed %d times, want %d", tt.reason, n, tt.hashes)
		}
	}
}

func TestCommonList(t *testing.T) {
	list := password.CommonList()
	words := strings.Fields(list)
	if len(list) > 30<<10 || !slices.IsSorted(words) || len(slices.Compact(slices.Clone(words))) != len(words) {
		t.Errorf("%d bytes, sorted: %v, want at most 30 KB, sorted, without duplicates", len(list), slices.IsSorted(words))
	}
	long := 0
	for _, word := range words {
		if len(word) >= 8 {
			long++
		}
		if word != strings.ToLower(word) || strings.ContainsFunc(word, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("%q is not folded", word)
		}
	}
	if long < 1000 {
		t.Errorf("only %d of eight characters and more", long)
	}
	s := newSite(t, nil)
	for _, word := range words {
		if len(word) < 8 {
			word += "1234567"[:8-len(word)] // as people do
		}
		if _, err := s.SignUp(form(t, name, word)); err == nil {
			t.Errorf("%q is taken", word)
		}
	}
}
