package docs

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestClientsPage runs the Go of docs/clients.md: a client without cookies begins, and
// exchanges its token.
func TestClientsPage(t *testing.T) {
	cfg, mux := defaults(), http.NewServeMux()
	cfg.Paths.Credentials = []string{"/api/token"} // so that the call does not store a new user
	wk := newWalkin(t, cfg)
	api := http.NewServeMux()

	api.HandleFunc("POST /api/start", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Ensure(w, r); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		if token, ok := walkin.IssuedToken(r.Context()); ok {
			token.ServeHTTP(w, r) // {"access_token":"…","token_type":"bearer","expires_in":2592000,"expires_at":…}
		}
	})
	api.Handle("POST /api/token", wk.TokenHandler())
	api.HandleFunc("/api/whoami", whoami)
	mux.Handle("/api/", wk.WithoutCookies(api))

	call := func(method, path, token string) *http.Response {
		c := walkintest.NewClient(t, mux)
		r := c.NewRequest(method, path, nil)
		r.Header = http.Header{"User-Agent": {"Margin/1.0 (iPhone)"}} // without one it is taken for a bot
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return c.Do(r)
	}
	var begun, next struct {
		AccessToken string `json:"access_token"`
	}
	ok(t, json.NewDecoder(mustBe(t, call("POST", "/api/start", ""), http.StatusOK).Body).Decode(&begun))
	before := body(t, call("GET", "/api/whoami", begun.AccessToken))
	ok(t, json.NewDecoder(mustBe(t, call("POST", "/api/token", begun.AccessToken), http.StatusOK).Body).Decode(&next))
	if after := body(t, call("GET", "/api/whoami", next.AccessToken)); before == "" || after != before {
		t.Errorf("got %q, then %q", before, after)
	}
	mustBe(t, call("POST", "/api/token", ""), http.StatusUnauthorized)
}

// newSupabase is the endpoint of docs/from-supabase.md. Its last code is in the file
// that is returned.
func newSupabase(t *testing.T) (origin, key, inbox string) {
	t.Setenv("PUBLISHABLE_KEY", "sb_publishable_of_the_tests")
	db, store := openSQLite(t)
	profiles := supabasewalkin.SQL(db, supabasewalkin.SQLite, sqlstore.Tx)
	ok(t, profiles.Migrate(t.Context()))
	keys, err := walkin.KeyFileES256(filepath.Join(t.TempDir(), "key"))
	ok(t, err)
	wk := newWalkin(t, walkin.Config{Keys: keys, Store: store, Tokens: walkin.Tokens{Audience: "authenticated"}})
	passwords, err := password.New(wk, password.Config{Proven: true})
	ok(t, err)
	inbox = filepath.Join(t.TempDir(), "inbox")
	sendMail := func(_ context.Context, m supabasewalkin.Message) error {
		return os.WriteFile(inbox, []byte(m.Code), 0o600)
	}
	mux := http.NewServeMux()

	auth, err := supabasewalkin.New(wk, supabasewalkin.Config{
		URL:             "https://example.com/auth/v1",
		SiteURL:         "https://example.com/",
		Profiles:        profiles, // supabasewalkin.SQL(db, supabasewalkin.PostgreSQL, sqlstore.Tx)
		PublishableKeys: []string{os.Getenv("PUBLISHABLE_KEY")},
		Passwords:       passwords, // password.New with Proven
		Send:            sendMail,
		ManualLinking:   true,
	})
	ok(t, err)
	mux.Handle("/auth/v1/", http.StripPrefix("/auth/v1", auth))

	return listen(t, mux), os.Getenv("PUBLISHABLE_KEY"), inbox
}

// TestClientsJavaScript runs the JavaScript of docs/clients.md in Node: it signs up,
// refreshes, and proves an address with the same user ID.
func TestClientsJavaScript(t *testing.T) {
	node := nodeOrSkip(t)
	origin, key, inbox := newSupabase(t)
	script := strings.Replace(codeOf(t, "docs/clients.md", "js", "refresh"), "https://example.com", origin, 1) + `
import { readFileSync } from 'node:fs'
const before = session.user
const first = session.refresh_token
await Promise.all([refresh(), refresh()])
if (session.refresh_token === first) throw new Error('not refreshed')
const token = await accessToken()
await call('PUT', '/user', { email: 'ann@example.com' }, token)
const code = readFileSync(process.env.INBOX, 'utf8')
const after = await call('POST', '/verify', { type: 'email_change', email: 'ann@example.com', token: code })
if (before.id !== after.user.id || !before.is_anonymous || after.user.is_anonymous) throw new Error(JSON.stringify([before, after.user]))
try {
  await call('GET', '/user', undefined, 'garbage')
  throw new Error('garbage was taken')
} catch (error) {
  if (!error.code) throw error
}
await call('POST', '/logout?scope=local', undefined, after.access_token)
console.log('same user')
`
	file := filepath.Join(t.TempDir(), "client.mjs")
	ok(t, os.WriteFile(file, []byte("const apikey = process.env.KEY\n"+script), 0o600))
	cmd := exec.CommandContext(t.Context(), node, file)
	cmd.Env = append(os.Environ(), "KEY="+key, "INBOX="+inbox)
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "same user" {
		t.Errorf("%v\n%s", err, out)
	}
}

func nodeOrSkip(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		testserver.Missing(t, "node", err.Error())
	}
	return node
}
