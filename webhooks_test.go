package walkin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
)

// TestAPIClients holds that webhooks and API clients pass a site that has walkin in
// front and says nothing about them: 9 kinds by 4 ways to say who they are, 50 posts
// each from one address. All of them get the answer they had before, and none of them
// a user, a stored one, or a cookie. A live cookie beside the app's own
// credentials counts as ever.
func TestAPIClients(t *testing.T) {
	kinds := []struct {
		name   string
		header []string
	}{
		{"Stripe", []string{"User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)", "Content-Type", "application/json; charset=utf-8", "Stripe-Signature", "t=1,v1=00"}},
		{"GitHub", []string{"User-Agent", "GitHub-Hookshot/044aadd", "Content-Type", "application/json", "X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256=00"}},
		{"Twilio", []string{"User-Agent", "TwilioProxy/1.1", "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", "AA=="}},
		{"curl", []string{"User-Agent", "curl/8.5.0", "Accept", "*/*", "Content-Type", "application/x-www-form-urlencoded"}},
		{"Go", []string{"User-Agent", "Go-http-client/1.1", "Content-Type", "application/json"}},
		{"Python", []string{"User-Agent", "python-requests/2.32.3", "Accept", "*/*", "Content-Type", "application/json"}},
		{"Node", []string{"User-Agent", "node", "Accept", "*/*", "Accept-Language", "*", "Sec-Fetch-Mode", "cors", "Content-Type", "text/plain;charset=UTF-8"}}, // fetch
		{"Java", []string{"User-Agent", "okhttp/4.12.0", "Content-Type", "application/json; charset=utf-8"}},
		{"a mobile app", []string{"User-Agent", "Shop/7 CFNetwork/1494.0.7 Darwin/23.4.0", "Accept", "application/json", "Content-Type", "application/json", "Accept-Language", "de-DE"}},
	}
	// What a key, an old token of a single-page app and a password look like.
	const oldToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImFwcCJ9.eyJzdWIiOiI0MiJ9.AAAA"
	schemes := []struct{ name, header, value string }{
		{"Bearer", "Authorization", "Bearer " + oldToken},
		{"Token", "Authorization", "Token 9f8e7d6c5b4a"},
		{"Basic", "Authorization", "Basic YXBwOnNlY3JldA=="},
		{"X-Api-Key", "X-Api-Key", "sk_live_51H"},
	}
	through := 0
	for _, kind := range kinds {
		for _, scheme := range schemes {
			t.Run(kind.name+" "+scheme.name, func(t *testing.T) {
				s := newSite(t)
				handled := 0
				h := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					handled++
					who(w, r)
				}))
				for i := range 50 {
					r := with(httptest.NewRequest(http.MethodPost, "https://app.example/api/things", strings.NewReader(fmt.Sprint(i))), kind.header...)
					r.RemoteAddr = "203.0.113.7:1"
					r.Header.Set(scheme.header, scheme.value)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if w.Code != http.StatusOK || w.Body.String() != "nobody" || len(w.Header()["Set-Cookie"]) > 0 {
						t.Fatalf("post %d: got %d, %q and cookies %q", i, w.Code, w.Body, w.Header()["Set-Cookie"])
					}
				}
				if handled != 50 {
					t.Errorf("%d of 50 posts reached the handler", handled)
				}
				s.wantRows(0)
				through++

				// The same beside a live cookie: of a page of the app's that has both.
				c := resident(s, "anonymous")
				id := s.claims(c).UserID
				r := with(c.NewRequest(http.MethodPost, "/api/things", nil), scheme.header, scheme.value)
				c.On(s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if got, _ := walkin.FromContext(r.Context()); id == uuid.Nil || got.UserID != id {
						t.Errorf("beside a live cookie: got %v, want %v", got.UserID, id)
					}
				}))).Do(r)
				if r := c.On(s.Handler(s.routes())).Post("/prove", words("name", "new")); r.StatusCode != http.StatusOK {
					t.Errorf("and signing in: got %d, want 200", r.StatusCode)
				}
			})
		}
	}
	if through != 36 {
		t.Errorf("%d of 36 get through", through)
	}
}

// TestSeveralAuthorizations holds that a request with several Authorization fields, which
// no browser sends, makes no new user, whatever the first one is.
func TestSeveralAuthorizations(t *testing.T) {
	for _, values := range [][]string{{"Basic dTpw", "Bearer app-token"}, {"", "Bearer app-token"}, {"Token a", "Basic dTpw"}, {"Bearer app-token", "Basic dTpw"}} {
		s := newSite(t)
		r := s.form("/", nil)
		r.Header["Authorization"] = values
		if got := s.tries(t, r); got != "skipped:authorization" {
			t.Errorf("%q: got %q", values, got)
		}
	}
}
