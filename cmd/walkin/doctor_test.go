package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
)

// mint returns a token of a visitor's first page.
func mint(t *testing.T, keys []walkin.Key) string {
	t.Helper()
	wk, err := walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
	must(t, err)
	r := httptest.NewRequest("GET", "https://app.example/", nil)
	r.Header.Set("User-Agent", browserAgent)
	for name, value := range pageView {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	wk.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("got %d cookies", len(cookies))
	}
	return cookies[0].Value
}

// TestDoctor plants one fault after the other in a site that is right.
func TestDoctor(t *testing.T) {
	keys := []walkin.Key{{Secret: []byte("a secret that is only of this test")}}
	wk, err := walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
	must(t, err)
	right := http.NewServeMux()
	right.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	right.Handle("/.well-known/jwks.json", wk.JWKSHandler())
	site := wk.Handler(right)

	change := func(edit func(h http.Header)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner := httptest.NewRecorder()
			site.ServeHTTP(inner, r)
			edit(inner.Header())
			maps.Copy(w.Header(), inner.Header())
			w.WriteHeader(inner.Code)
			_, _ = w.Write(inner.Body.Bytes())
		})
	}
	cookie := func(from, to string) http.Handler {
		return change(func(h http.Header) {
			for i, line := range h["Set-Cookie"] {
				h["Set-Cookie"][i] = strings.ReplaceAll(line, from, to)
			}
		})
	}
	everyone := func(r *http.Request) *http.Request {
		r = r.Clone(r.Context())
		r.Method = http.MethodGet
		r.Header = http.Header{"User-Agent": {browserAgent}}
		for name, value := range pageView {
			r.Header.Set(name, value)
		}
		return r
	}
	mintFor := func(is func(*http.Request) bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if is(r) {
				r = everyone(r)
			}
			site.ServeHTTP(w, r)
		})
	}
	echo := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if value := r.Header.Get(name); value != "" {
				fmt.Fprintf(w, "you are %s", value)
				return
			}
			site.ServeHTTP(w, r)
		})
	}
	for _, c := range []struct {
		name  string
		site  http.Handler
		finds string
	}{
		{"nothing", site, ""},
		{"no Secure", cookie("; Secure", ""), "cookie-secure"},
		{"no HttpOnly", cookie("; HttpOnly", ""), "cookie-httponly"},
		{"SameSite=None", cookie("SameSite=Lax", "SameSite=None"), "cookie-samesite"},
		{"a domain", cookie("; Path=/", "; Path=/; Domain=example.com"), "cookie-domain"},
		{"no prefix", cookie("__Host-", "site-"), "cookie-prefix"},
		{"a page that mints is cached", change(func(h http.Header) { h.Set("Cache-Control", "public, max-age=60") }), "caching"},
		{"robots are visitors", mintFor(func(r *http.Request) bool { return strings.Contains(r.UserAgent(), "Googlebot") }), "robots"},
		{"prefetches are visits", mintFor(func(r *http.Request) bool { return r.Header.Get("Sec-Purpose") != "" }), "prefetch"},
		{"the host that anybody forwards", echo("X-Forwarded-Host"), "proxy"},
		{"the address that anybody forwards", echo("X-Forwarded-For"), "proxy"},
		{"a clock that is wrong", change(func(h http.Header) { h.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)) }), "clock"},
		{"a secret in the JWKS", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/.well-known/") {
				fmt.Fprint(w, `{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}`)
				return
			}
			site.ServeHTTP(w, r)
		}), "jwks-secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.site)
			defer server.Close()
			out, talk, code := call(t, "", "doctor", "--json", server.URL+"/")
			var faults []fault
			if err := json.Unmarshal([]byte(out), &faults); err != nil {
				t.Fatalf("%v in %q, %q", err, out, talk)
			}
			if c.finds == "" {
				if code != 0 || len(faults) != 0 {
					t.Errorf("got %d and %+v, want nothing", code, faults)
				}
				return
			}
			if code != 1 || len(faults) != 1 || faults[0].Check != c.finds {
				t.Errorf("got %d and %+v, want 1 and %s alone", code, faults, c.finds)
			}
		})
	}
	for name, arg := range map[string]string{"no URL": "example", "no site": "http://127.0.0.1:1/", "another protocol": "ftp://example.com/"} {
		if _, talk, code := call(t, "", "doctor", arg); code != 2 || talk == "" {
			t.Errorf("%s: got %d %q, want 2 and why", name, code, talk)
		}
	}
}
