package password_test

import (
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/memstore"
)

// reference is from the test vectors of Argon2's reference implementation; its
// password is "password".
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

var stored = []struct {
	name, phc string
	ok        bool
}{
	{"the reference", reference, true},
	{"ours", "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", true},
	{"the most", "$argon2id$v=19$m=262144,t=10,p=16$c29tZXNhbHQ$" + strings.Repeat("AAAA", 21) + "AA", true},
	{"the least", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", true},
	{"empty", "", false},
	{"argon2i", strings.Replace(reference, "argon2id", "argon2i", 1), false},
	{"bcrypt", "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", false},
	{"another version", strings.Replace(reference, "v=19", "v=16", 1), false},
	{"no version", strings.Replace(reference, "$v=19", "", 1), false},
	{"4 TiB", strings.Replace(reference, "m=65536", "m=4294967295", 1), false},
	{"256 MiB and a KiB", strings.Replace(reference, "m=65536", "m=262145", 1), false},
	{"less than 8 KiB a thread", strings.Replace(reference, "m=65536,t=2,p=1", "m=31,t=2,p=4", 1), false},
	{"no passes", strings.Replace(reference, "t=2", "t=0", 1), false},
	{"11 passes", strings.Replace(reference, "t=2", "t=11", 1), false},
	{"no threads", strings.Replace(reference, "p=1", "p=0", 1), false},
	{"17 threads", strings.Replace(reference, "p=1", "p=17", 1), false},
	{"257 threads", strings.Replace(reference, "p=1", "p=257", 1), false},
	{"more than 32 bits", strings.Replace(reference, "t=2", "t=4294967298", 1), false},
	{"a leading zero", strings.Replace(reference, "t=2", "t=02", 1), false},
	{"a sign", strings.Replace(reference, "t=2", "t=+2", 1), false},
	{"another order", strings.Replace(reference, "m=65536,t=2", "t=2,m=65536", 1), false},
	{"a parameter more", strings.Replace(reference, "p=1", "p=1,data=AA", 1), false},
	{"a parameter less", strings.Replace(reference, ",p=1", "", 1), false},
	{"twice the same", strings.Replace(reference, "t=2", "m=2", 1), false},
	{"a newline", strings.Replace(reference, "CTFh", "CT\nFh", 1), false},
	{"padding", reference + "=", false},
	{"unused bits", strings.TrimSuffix(reference, "c") + "d", false},
	{"a parameter without its value", strings.Replace(reference, "t=2", "t", 1), false},
	{"a salt that is no base64", strings.Replace(reference, "c29t", "c-_t", 1), false},
	{"unused bits of the salt", strings.Replace(reference, "bHQ$", "bHR$", 1), false},
	{"another alphabet", strings.Replace(reference, "CTFh", "C-F_", 1), false},
	{"a short salt", strings.Replace(reference, "c29tZXNhbHQ", "c29tZXNhbA", 1), false},
	{"a long salt", strings.Replace(reference, "c29tZXNhbHQ", strings.Repeat("AAAA", 22), 1), false},
	{"a long hash", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$" + strings.Repeat("AAAA", 22), false},
	{"a short hash", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAA", false},
	{"no hash", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$", false},
	{"something after it", reference + "$", false},
	{"64 KB", reference + strings.Repeat("A", 64<<10), false},
	{"64 KB of dollars", strings.Repeat("$", 64<<10), false},
}

func TestParsePHC(t *testing.T) {
	for _, tt := range stored {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, spelled, err := password.ParsePHC(tt.phc)
			if (err == nil) != tt.ok || tt.ok && spelled != tt.phc {
				t.Errorf("got %q, %v, want ok: %v", spelled, err, tt.ok)
			}
		})
	}
}

// What is read stays within the bounds, and has one spelling.
func FuzzParsePHC(f *testing.F) {
	for _, tt := range stored {
		f.Add(tt.phc)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cost, salt, sum, spelled, err := password.ParsePHC(s)
		if err != nil {
			return
		}
		if spelled != s {
			t.Errorf("%q is also %q", s, spelled)
		}
		if cost.Time < 1 || cost.Time > 10 || cost.Threads < 1 || cost.Threads > 16 ||
			cost.Memory < 8*uint32(cost.Threads) || cost.Memory > 256<<10 || len(salt) < 8 || len(salt) > 64 || len(sum) < 16 || len(sum) > 64 {
			t.Errorf("%q is out of bounds", s)
		}
	})
}

// A hash of another implementation signs its owner in, with the real argon2.
func TestImportedHash(t *testing.T) {
	s := &site{store: memstore.New()}
	var err error
	if s.Password, err = password.New(middleware(t, s.store, nil), password.Config{}); err != nil {
		t.Fatal(err)
	}
	s.own(t, walkin.Proof{Provider: password.Provider, Subject: name, Secret: []byte(reference)})
	if _, err := s.SignIn(form(t, name, "password")); err != nil {
		t.Error(err)
	}
	if now := s.stored(t, name); !strings.HasPrefix(now, "$argon2id$v=19$m=19456,") {
		t.Errorf("a salt of eight bytes was not renewed: %q", now)
	}
}
