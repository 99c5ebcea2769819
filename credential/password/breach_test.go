package password_test

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

func hashOf(text string) string { return fmt.Sprintf("%X", sha1.Sum([]byte(text))) }

const leaked, other = "rosebud in the snow", "another long password"

// A line is a client's connection, which knows whether its answer was closed.
type line struct {
	http.RoundTripper
	used, closed int
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.used++
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = &closing{response.Body, l}
	}
	return response, err
}

type closing struct {
	io.ReadCloser
	line *line
}

func (c *closing) Close() error {
	c.line.closed++
	return c.ReadCloser.Close()
}

// TestPwnedPasswordsClient holds that the app's client is the one that asks, and that
// every answer is closed, which a proxy's connection may hang on.
func TestPwnedPasswordsClient(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		l := &line{RoundTripper: server.Client().Transport}
		_, _ = password.PwnedPasswords{URL: server.URL, Client: &http.Client{Transport: l}}.Breached(t.Context(), leaked)
		if l.used != 1 || l.closed != 1 {
			t.Errorf("%d: the client was used %d times, and %d answers were closed; want one", status, l.used, l.closed)
		}
		server.Close()
	}
}

// TestPwnedPasswordsURL holds where the service is asked for: at its own address unless
// another one is set, with or without a slash at its end.
func TestPwnedPasswordsURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                            "https://api.pwnedpasswords.com/range/",
		"https://mirror.example/pwn":  "https://mirror.example/pwn/range/",
		"https://mirror.example/pwn/": "https://mirror.example/pwn/range/",
	} {
		asked := ""
		client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, errors.New("no network")
		})}
		_, _ = password.PwnedPasswords{URL: url, Client: client}.Breached(t.Context(), leaked)
		if want += hashOf(leaked)[:5]; asked != want {
			t.Errorf("%q: asked %q, want %q", url, asked, want)
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPwnedPasswords holds what the service is told and how its answer is read.
func TestPwnedPasswords(t *testing.T) {
	hash := hashOf(leaked)
	for _, c := range []struct {
		name, answer string
		status       int
		want, fails  bool
	}{
		{"leaked", "0000000000000000000000000000000000A:3\r\n" + hash[5:] + ":17\r\n", 200, true, false},
		{"the last line, without its end", hash[5:] + ":1", 200, true, false},
		{"in small letters", strings.ToLower(hash[5:]) + ":1\n", 200, true, false},
		{"padding", hash[5:] + ":0\r\n", 200, false, false},
		{"not leaked", "0000000000000000000000000000000000A:3\r\n", 200, false, false},
		{"nothing", "", 200, false, false},
		{"a failure", "", 503, false, true},
		{"a line without end", strings.Repeat("x", 2<<20), 200, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Add-Padding")+" "+r.UserAgent())
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.answer)
			}))
			defer server.Close()
			got, err := password.PwnedPasswords{URL: server.URL, Client: server.Client()}.Breached(t.Context(), leaked)
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("got %t, %v", got, err)
			}
			if want := []string{"GET /range/" + hash[:5] + " true walkin"}; !slices.Equal(asked, want) {
				t.Errorf("asked %q, want %q", asked, want)
			}
		})
	}
	t.Run("what is no URL", func(t *testing.T) {
		got, err := password.PwnedPasswords{URL: "http://[::1"}.Breached(t.Context(), leaked)
		if got || err == nil || !strings.Contains(err.Error(), "PwnedPasswords.URL") || strings.Contains(err.Error(), hash[:5]) {
			t.Errorf("got %t, %v", got, err)
		}
	})
	t.Run("an error says nothing of the password", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		_, err := password.PwnedPasswords{URL: server.URL}.Breached(t.Context(), leaked)
		if err == nil || strings.Contains(err.Error(), hash[:5]) {
			t.Errorf("got %v", err)
		}
	})
}

// TestHashList looks for each of many lines, and for what is between them.
func TestHashList(t *testing.T) {
	for _, end := range []string{"\n", "\r\n"} {
		for _, n := range []int{1, 2, 3, 1000} {
			var lines []string
			for i := range n {
				lines = append(lines, fmt.Sprintf("%s:%d", hashOf(fmt.Sprint("password", i)), i*i*i))
			}
			slices.Sort(lines)
			for _, last := range []string{"", end} {
				path := filepath.Join(t.TempDir(), "hashes.txt")
				if err := os.WriteFile(path, []byte(strings.Join(lines, end)+last), 0o600); err != nil {
					t.Fatal(err)
				}
				list, err := password.OpenHashList(path)
				if err != nil {
					t.Fatal(err)
				}
				defer list.Close()
				for i := range n + 200 {
					got, err := list.Breached(t.Context(), fmt.Sprint("password", i))
					if err != nil || got != (i < n) {
						t.Errorf("%d lines, %q, %q: password %d: got %t, %v", n, end, last, i, got, err)
					}
				}
			}
		}
	}
	for name, text := range map[string]string{"an empty file": "", "words": "123456\npassword\n", "a long line": strings.Repeat("A", 500) + "\n",
		"a hash with more behind it": hashOf(leaked) + "zz\n", "a hash without its end": hashOf(leaked)[:38] + "\n"} {
		path := filepath.Join(t.TempDir(), "hashes.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := password.OpenHashList(path); err == nil || strings.Contains(err.Error(), "123456") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	if _, err := password.OpenHashList(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	if _, err := password.OpenHashList(t.TempDir()); err == nil || strings.Contains(err.Error(), "not a list") {
		t.Errorf("a directory: got %v", err)
	}
	path := filepath.Join(t.TempDir(), "hashes.txt")
	if err := os.WriteFile(path, []byte(hashOf(leaked)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := password.OpenHashList(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Close(); err != nil {
		t.Error(err)
	}
	if got, err := list.Breached(t.Context(), leaked); got || !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed list: got %t, %v", got, err)
	}
	if err := list.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closing it again: got %v", err)
	}
}

type breaches func(context.Context, string) (bool, error)

func (b breaches) Breached(ctx context.Context, text string) (bool, error) { return b(ctx, text) }

// TestBreached holds that a new password which has leaked is refused, that a stored one
// still signs in, and that sign-ups go on while the list cannot be read.
func TestBreached(t *testing.T) {
	down := errors.New("no answer")
	known := map[string]bool{}
	var fails error
	var events []walkin.Event
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New(),
		OnEvent: func(_ context.Context, e walkin.Event) { events = append(events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := password.New(wk, password.Config{Breaches: breaches(func(ctx context.Context, text string) (bool, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the context has no end")
		}
		return known[text], fails
	})})
	if err != nil {
		t.Fatal(err)
	}
	try := func(what func(*http.Request) (walkin.Proof, error), text string) (walkin.Proof, error) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("email=ann&password="+strings.ReplaceAll(text, " ", "+")))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return what(r)
	}
	proof, err := try(p.SignUp, leaked)
	if err != nil {
		t.Fatalf("not leaked yet: got %v", err)
	}
	user := store.User{ID: uuid.Must(uuid.NewV7()), CreatedAt: time.Now(), SeenAt: time.Now()}
	if err := errors.Join(wk.Store().CreateUser(t.Context(), user), wk.Store().CreateIdentity(t.Context(), store.Identity{
		Provider: proof.Provider, Subject: proof.Subject, UserID: user.ID, Secret: proof.Secret})); err != nil {
		t.Fatal(err)
	}
	known[leaked] = true
	if _, err := try(p.SignIn, leaked); err != nil {
		t.Errorf("signing in with what leaked since: got %v", err)
	}
	refused := func(what string, err error) {
		t.Helper()
		refusal, ok := errors.AsType[*walkin.Refusal](err)
		if !ok || refusal.Status != http.StatusUnprocessableEntity || refusal.Reason != "password_breached" {
			t.Errorf("%s: got %v, want 422", what, err)
		}
	}
	_, err = try(p.SignUp, leaked)
	refused("signing up", err)
	known[other] = true
	refused("changing it", p.Change(httptest.NewRequest(http.MethodPost, "/", nil), "ann", leaked, other))
	fails, events = down, nil
	if _, err := try(p.SignUp, other); err != nil {
		t.Errorf("while the list is down: got %v", err)
	}
	if len(events) != 1 || events[0].Outcome != walkin.Failed || events[0].Reason != "breaches" || !errors.Is(events[0].Err, down) {
		t.Errorf("then got events %v", events)
	}
}
