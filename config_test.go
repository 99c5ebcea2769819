package walkin_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
)

// configErrors are what can be wrong with a Config.
var configErrors = []struct {
	name  string
	make  func(*walkin.Config)
	named string
}{
	{"no key", func(c *walkin.Config) { c.Keys = nil }, "Config.Keys is empty"},
	{"no store", func(c *walkin.Config) { c.Store = nil }, "Config.Store"},
	{"Mint", func(c *walkin.Config) { c.NewUsers.Mint = 99 }, "Config.NewUsers.Mint is 99"},
	{"a negative Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime = -time.Hour }, "Config.Tokens.Lifetime is -1h"},
	{"a short Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime = time.Second }, "Config.Tokens.Lifetime is 1s"},
	{"a Lifetime that no browser keeps", func(c *walkin.Config) { c.Tokens.Lifetime = 401 * 24 * time.Hour }, "Config.Tokens.Lifetime is 9624h"},
	{"a negative RenewAfter", func(c *walkin.Config) { c.Tokens.RenewAfter = -1 }, "Config.Tokens.RenewAfter is -1ns"},
	{"a RenewAfter as long as Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime, c.Tokens.RenewAfter = time.Hour, time.Hour }, "Config.Tokens.RenewAfter is 1h"},
	{"a negative RecheckAfter", func(c *walkin.Config) { c.Sessions.RecheckAfter = -1 }, "Config.Sessions.RecheckAfter is -1ns"},
	{"a RecheckAfter longer than Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime, c.Sessions.RecheckAfter = time.Hour, 2*time.Hour }, "Config.Sessions.RecheckAfter is 2h"},
	{"a negative RecentProof", func(c *walkin.Config) { c.Sessions.RecentProof = -1 }, "Config.Sessions.RecentProof is -1ns"},
	{"Conflict", func(c *walkin.Config) { c.Conflict = 99 }, "Config.Conflict is 99"},
	{"ConflictMerge without OnMerge", func(c *walkin.Config) { c.Conflict = walkin.ConflictMerge }, "Config.Conflict is ConflictMerge"},
	{"Partitioned and Insecure", func(c *walkin.Config) { c.Cookies.Partitioned, c.Cookies.Insecure = true, true }, "Config.Cookies.Partitioned"},
	{"a Domain with a scheme", func(c *walkin.Config) { c.Cookies.Domain = "https://example.com" }, "Config.Cookies.Domain"},
	{"a Domain with a dot in front", func(c *walkin.Config) { c.Cookies.Domain = ".example.com" }, "Config.Cookies.Domain"},
	{"a Domain with a label that no host has", func(c *walkin.Config) { c.Cookies.Domain = strings.Repeat("a", 64) + ".example" }, "Config.Cookies.Domain"},
	{"a Domain with a port", func(c *walkin.Config) { c.Cookies.Domain = "example.com:443" }, "Config.Cookies.Domain"},
	{"a Domain that is an address", func(c *walkin.Config) { c.Cookies.Domain = "127.0.0.1" }, "Config.Cookies.Domain"},
	{"a Domain that is all of com", func(c *walkin.Config) { c.Cookies.Domain = "com" }, "Config.Cookies.Domain"},
	{"a Domain that ends the cookie", func(c *walkin.Config) { c.Cookies.Domain = "example.com; Path=/x" }, "Config.Cookies.Domain"},
	{"an UpgradeURL elsewhere", func(c *walkin.Config) { c.Paths.Upgrade = "https://example.com/sign-up" }, "Config.Paths.Upgrade"},
	{"a relative UpgradeURL", func(c *walkin.Config) { c.Paths.Upgrade = "sign-up" }, "Config.Paths.Upgrade"},
	{"a SignInURL elsewhere", func(c *walkin.Config) { c.Paths.SignIn = "//evil.example" }, "Config.Paths.SignIn"},
	{"a credential's path elsewhere", func(c *walkin.Config) { c.Paths.Credentials = []string{"/code", "//evil.example"} }, "Config.Paths.Credentials[1]"},
	{"everything a credential's path", func(c *walkin.Config) { c.Paths.Credentials = []string{"/"} }, "Config.Paths.Credentials[0]"},
	{"a credential's path with a query", func(c *walkin.Config) { c.Paths.Credentials = []string{"/code?a"} }, "Config.Paths.Credentials[0]"},
	{"a SignOut elsewhere", func(c *walkin.Config) { c.Paths.SignOut = "https://example.com/out" }, "Config.Paths.SignOut"},
	{"a Base elsewhere", func(c *walkin.Config) { c.Paths.Base = "//evil.example" }, "Config.Paths.Base"},
	{"a Base with a query", func(c *walkin.Config) { c.Paths.Base = "/app?a" }, "Config.Paths.Base"},
	{"a credential's path with a fragment", func(c *walkin.Config) { c.Paths.Credentials = []string{"/code#a"} }, "Config.Paths.Credentials[0]"},
	{"sessions shorter than a minute", func(c *walkin.Config) { c.Sessions.Lifetime = time.Minute - 1 }, "Config.Sessions.Lifetime is 59.9"},
	{"sessions that end before they begin", func(c *walkin.Config) { c.Sessions.Lifetime = -time.Hour }, "Config.Sessions.Lifetime is -1h"},
	{"one more than the last Conflict", func(c *walkin.Config) { c.Conflict = walkin.ConflictReject + 1 }, "Config.Conflict"},
	{"one more than the last Mint", func(c *walkin.Config) { c.NewUsers.Mint = walkin.MintOff + 1 }, "Config.NewUsers.Mint"},
	{"a negative CacheSize", func(c *walkin.Config) { c.CacheSize = -1 }, "Config.CacheSize is -1"},
}

// TestConfigMistakes holds that New finds every mistake, and names all of them
// in one error.
func TestConfigMistakes(t *testing.T) {
	good := func() walkin.Config {
		return walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: memstore.New()}
	}
	if _, err := walkin.New(good()); err != nil {
		t.Fatalf("none: got %v", err)
	}
	for _, tt := range configErrors {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good()
			tt.make(&cfg)
			m, err := walkin.New(cfg)
			wantError(t, err, tt.named)
			if m != nil {
				t.Error("got a Middleware all the same")
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := walkin.New(walkin.Config{
			Keys:     []walkin.Key{{Secret: []byte("secret")}, {Secret: siteSecret}, {ID: "a b", Secret: siteSecret}, {Secret: siteSecret}},
			NewUsers: walkin.NewUsers{Mint: 99}, Tokens: walkin.Tokens{Lifetime: time.Second, RenewAfter: -1}, Sessions: walkin.Sessions{RecheckAfter: -1, RecentProof: -1}, Conflict: 99,
			Cookies: walkin.Cookies{Partitioned: true, Insecure: true, Domain: "com"}, Paths: walkin.Paths{Upgrade: "up", SignIn: "//evil.example"}, CacheSize: -1,
		})
		wantError(t, err, "Config.Keys[0]", "Config.Keys[2]", "Config.Keys[3]", "Config.Store", "Config.NewUsers.Mint", "Config.Tokens.Lifetime", "Config.Tokens.RenewAfter",
			"Config.Sessions.RecheckAfter", "Config.Sessions.RecentProof", "Config.Conflict", "Config.Cookies.Partitioned", "Config.Cookies.Domain",
			"Config.Paths.Upgrade", "Config.Paths.SignIn", "Config.CacheSize")
		if strings.Contains(err.Error(), "Config.Keys[1]") {
			t.Errorf("the good key is named: %v", err)
		}
	})
}

// TestConfigBounds holds that what is just within a bound is taken, and that what an app
// does with its slices afterwards changes nothing.
func TestConfigBounds(t *testing.T) {
	for name, change := range map[string]func(*walkin.Config){
		"the shortest Lifetime":          func(c *walkin.Config) { c.Tokens.Lifetime = time.Minute },
		"the longest Lifetime":           func(c *walkin.Config) { c.Tokens.Lifetime = 400 * 24 * time.Hour },
		"the shortest sessions":          func(c *walkin.Config) { c.Sessions.Lifetime = time.Minute },
		"the shortest RenewAfter":        func(c *walkin.Config) { c.Tokens.RenewAfter = 1 },
		"the longest RenewAfter":         func(c *walkin.Config) { c.Tokens.RenewAfter = 30*24*time.Hour - 1 },
		"the longest RecheckAfter":       func(c *walkin.Config) { c.Sessions.RecheckAfter = 30 * 24 * time.Hour },
		"the last Conflict":              func(c *walkin.Config) { c.Conflict = walkin.ConflictReject },
		"the last Mint":                  func(c *walkin.Config) { c.NewUsers.Mint = walkin.MintOff },
		"a Base with a slash":            func(c *walkin.Config) { c.Paths.Base = "/app/" },
		"a Domain with the longest name": func(c *walkin.Config) { c.Cookies.Domain = strings.Repeat("a", 63) + ".example" },
	} {
		cfg := walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: memstore.New()}
		change(&cfg)
		if _, err := walkin.New(cfg); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}

	paths := []string{"/code"}
	s := newSite(t, func(c *walkin.Config) { c.Paths.Credentials = paths })
	paths[0] = "/note"
	if r := s.browser(s.routes().ServeHTTP).Post("/note", nil); r.StatusCode != http.StatusOK {
		t.Errorf("a path that was changed after New: got %d, want 200", r.StatusCode)
	}
	keys := []walkin.Key{{Secret: siteSecret}}
	s = newSite(t, func(c *walkin.Config) { c.Keys = keys })
	before, err := s.DeriveKeys("a purpose")
	noError(t, err)
	keys[0] = walkin.Key{Secret: []byte("a secret that is of another test")}
	if after, err := s.DeriveKeys("a purpose"); err != nil || !bytes.Equal(after[0], before[0]) {
		t.Errorf("a key that was changed after New: got %v, and another secret", err)
	}
}

// wantError checks that there is an error which names all these, each beginning
// a line of ours, and no secret of these tests.
func wantError(t *testing.T, err error, named ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one about %q", named)
	}
	text := err.Error()
	for _, name := range named {
		if !strings.Contains(text, name) {
			t.Errorf("got %q, want %q in it", text, name)
		}
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "walkin: ") {
			t.Errorf("got a line %q, want \"walkin: \" in front", line)
		}
	}
	if strings.Contains(text, string(siteSecret)) {
		t.Errorf("the secret is in the error: %q", text)
	}
}
