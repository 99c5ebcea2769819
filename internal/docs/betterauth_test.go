package docs

import (
	"crypto/subtle"
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/scrypt"
	"golang.org/x/text/unicode/norm"
)

// checkPassword reports whether a password is the one of a hash of better-auth's.
func checkPassword(hash, password string) bool {
	salt, key, _ := strings.Cut(hash, ":")
	want, err := hex.DecodeString(key)
	if err != nil || len(want) != 64 {
		return false
	}
	got, err := scrypt.Key([]byte(norm.NFKC.String(password)), []byte(salt), 16384, 16, 1, 64)
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1
}

// TestBetterAuthPage checks hashes that Node's scrypt makes with the parameters that
// docs/from-better-auth.md names.
func TestBetterAuthPage(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), nodeOrSkip(t), "-e", `
		const { scryptSync, randomBytes } = require('node:crypto')
		const salt = randomBytes(16).toString('hex')
		console.log(salt + ':' + scryptSync('pa\u00dfwort \ufb01'.normalize('NFKC'), salt, 64, { N: 16384, r: 16, p: 1, maxmem: 128 * 16384 * 16 * 2 }).toString('hex'))`).Output()
	ok(t, err)
	hash := strings.TrimSpace(string(out))
	for password, want := range map[string]bool{"paßwort ﬁ": true, "paßwort fi": true, "passwort fi": false, "": false} {
		if got := checkPassword(hash, password); got != want {
			t.Errorf("%q: got %t", password, got)
		}
	}
	if checkPassword("", "") || checkPassword("salt:", "") || checkPassword("salt:00", "") {
		t.Error("an empty hash has a password")
	}
}
