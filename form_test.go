package walkin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A form of a credential's own: its page is shown, its post is called for the
// site's own posts alone, and what it refuses is shown again and told.
func TestFormHandler(t *testing.T) {
	var reasons []string
	calls := 0
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a test's own thirty-two bytes of it")}}, Store: memstore.New(),
		OnEvent: func(_ context.Context, e walkin.Event) {
			if e.Outcome == walkin.Refused {
				reasons = append(reasons, string(e.Reason))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	page := func(w http.ResponseWriter, _ *http.Request, f walkin.Form) {
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.ReturnTo)
		if f.Refusal != nil {
			_, _ = io.WriteString(w, f.Refusal.Message)
		}
	}
	client := walkintest.NewClient(t, wk.Handler(wk.FormHandler(page, func(_ http.ResponseWriter, r *http.Request) (string, error) {
		calls++
		if r.PostFormValue("no") != "" {
			return "/never", &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: "no", Message: "No."}
		}
		return r.PostFormValue("to"), nil
	})))
	for _, tt := range []struct {
		name     string
		response *http.Response
		status   int
		location string
		body     string
	}{
		{"page", client.Visit("/?return_to=/notes"), 200, "", "/notes"},
		{"page, with a way out", client.Visit("/?return_to=//evil.example"), 200, "", "/"},
		{"where it says", client.Post("/", url.Values{"to": {"/next"}, "return_to": {"/notes"}}), 303, "/next", ""},
		{"where the form says", client.Post("/", url.Values{"return_to": {"/notes"}}), 303, "/notes", ""},
		{"not out of the site", client.Post("/", url.Values{"return_to": {"//evil.example"}}), 303, "/", ""},
		{"refused", client.Post("/", url.Values{"no": {"x"}, "return_to": {"/notes"}}), 422, "", "/notesNo."},
	} {
		body, err := io.ReadAll(tt.response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if tt.response.StatusCode != tt.status || tt.response.Header.Get("Location") != tt.location || tt.status != 303 && string(body) != tt.body {
			t.Errorf("%s: got %d %s %s", tt.name, tt.response.StatusCode, tt.response.Header.Get("Location"), body)
		}
	}
	before := calls
	r := client.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := client.Do(r).StatusCode; got != http.StatusForbidden {
		t.Errorf("got %d for a post from elsewhere", got)
	}
	if got := client.Do(client.NewRequest(http.MethodPut, "/", nil)).StatusCode; got != http.StatusMethodNotAllowed {
		t.Errorf("got %d for a PUT", got)
	}
	if calls != before {
		t.Error("post was called")
	}
	if want := "[no cross_origin method]"; fmt.Sprint(reasons) != want {
		t.Errorf("got %v, want %s", reasons, want)
	}
}

// The cookie of a form that is shown to a visitor without a user stays out of caches,
// whatever the page says: a visitor who got another's cookie would complete their login
// flows.
func TestShownFormIsNotCached(t *testing.T) {
	for _, mint := range []walkin.Mint{walkin.MintOnWrite, walkin.MintOnDemand, walkin.MintOff} {
		t.Run(fmt.Sprint(mint), func(t *testing.T) {
			s := newSite(t, func(c *walkin.Config) { c.NewUsers.Mint = mint })
			page := func(w http.ResponseWriter, _ *http.Request, f walkin.Form) {
				w.Header().Set("Cache-Control", "public, max-age=600")
				w.Header().Set("CDN-Cache-Control", "max-age=600")
				w.WriteHeader(f.Status)
				_, _ = io.WriteString(w, "form")
			}
			form := s.FormHandler(page, func(http.ResponseWriter, *http.Request) (string, error) { return "", nil })
			r := walkintest.NewClient(t, s.Handler(form)).Visit("/sign-in")
			if len(named(r, bindName)) != 1 || body(t, r) != "form" {
				t.Fatalf("got %v and %q, want the flow's cookie and the form", r.Cookies(), body(t, r))
			}
			if got := r.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") || r.Header.Get("CDN-Cache-Control") != "" {
				t.Errorf("a cache may keep it: %v", r.Header)
			}
		})
	}
}
