package walkin_test

import (
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
