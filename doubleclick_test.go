package walkin_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestDoubleClick holds which browsers get the session of the first half of a double
// click with its second half: those that have what the flow was bound to, and no other
// user by now; for the same identity, and while that session is alive.
func TestDoubleClick(t *testing.T) {
	const flowBound, sessionBound = "nobody", "anonymous"
	for _, tt := range []struct {
		name, began string
		then        func(s *site, first, second *walkintest.Client) // between the halves
		proof       walkin.Proof
		want        string
	}{
		{"at once", flowBound, nil, walkin.Proof{}, "200 signed_up"},
		{"at once, in a session", sessionBound, nil, walkin.Proof{}, "200 upgraded"},
		{"with the answer of the first half", flowBound, func(_ *site, first, second *walkintest.Client) {
			second.SetCookie(permName, first.Cookie(permName))
		}, walkin.Proof{}, "200 signed_up"},
		{"a page view in between", flowBound, func(_ *site, _, second *walkintest.Client) { second.Visit("/") }, walkin.Proof{}, "200 signed_up"},
		{"a write in between", flowBound, func(_ *site, _, second *walkintest.Client) {
			second.Visit("/")
			second.Post("/note", nil)
		}, walkin.Proof{}, "401"},
		{"another user in between", flowBound, func(s *site, _, second *walkintest.Client) { s.prove(second, "bea") }, walkin.Proof{}, "401"},
		{"another subject", flowBound, nil, walkin.Proof{Subject: "bea"}, "401"},
		{"another provider", flowBound, nil, walkin.Proof{Provider: "other"}, "401"},
		{"another flow", flowBound, nil, walkin.Proof{FlowID: "cookie:other"}, "401"},
		{"without the flow's cookie", flowBound, func(s *site, _, second *walkintest.Client) {
			for _, c := range second.Cookies() {
				second.SetCookie(c.Name, "")
			}
		}, walkin.Proof{}, "401"},
		{"signed out", flowBound, func(_ *site, first, _ *walkintest.Client) { first.Post("/out", nil) }, walkin.Proof{}, "401"},
		{"signed out, in a session", sessionBound, func(_ *site, first, _ *walkintest.Client) { first.Post("/out", nil) }, walkin.Proof{}, "401"},
		{"signed out with the answer", flowBound, func(_ *site, first, second *walkintest.Client) {
			second.SetCookie(permName, first.Cookie(permName))
			first.Post("/out", nil)
		}, walkin.Proof{}, "401"},
		{"much later", flowBound, func(*site, *walkintest.Client, *walkintest.Client) { time.Sleep(16 * time.Minute) }, walkin.Proof{}, "401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, func(c *walkin.Config) { c.Paths.Credentials = []string{"/begin", "/first", "/second"} })
				s.prove(resident(s, "nobody"), "bea")
				flow, used := "", false
				mux := s.routes()
				mux.HandleFunc("POST /begin", func(w http.ResponseWriter, r *http.Request) {
					var err error
					if flow, err = s.StartFlow(w, r); err != nil {
						t.Error(err)
					}
				})
				click := func(p walkin.Proof) http.HandlerFunc {
					return func(w http.ResponseWriter, r *http.Request) {
						p := p
						for at, or := range map[*string]string{&p.Provider: "test", &p.Subject: "new", &p.FlowID: flow} {
							if *at == "" {
								*at = or
							}
						}
						p.Redeem = func(context.Context) error {
							if used {
								return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
							}
							used = true
							return nil
						}
						outcome, err := s.Continue(w, r, p)
						if err != nil {
							s.Refuse(w, r, err)
							return
						}
						fmt.Fprint(w, outcome)
					}
				}
				mux.HandleFunc("POST /first", click(walkin.Proof{}))
				mux.HandleFunc("POST /second", click(tt.proof))
				first := resident(s, tt.began).On(s.Handler(mux))
				first.Post("/begin", nil)
				second := walkintest.NewClient(t, s.Handler(mux))
				for _, c := range first.Cookies() {
					second.SetCookie(c.Name, c.Value)
				}
				if r := first.Post("/first", nil); r.StatusCode != http.StatusOK {
					t.Fatalf("the first half: got %d %s", r.StatusCode, body(t, r))
				}
				session := s.claims(first).SessionID
				if tt.then != nil {
					tt.then(s, first, second)
				}
				r := second.Post("/second", nil)
				got := fmt.Sprint(r.StatusCode)
				if r.StatusCode == http.StatusOK {
					got += " " + body(t, r)
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if has := s.claims(second).SessionID == session; has != (r.StatusCode == http.StatusOK) {
					t.Errorf("got the session of the first half: %t", has)
				}
			})
		})
	}
}
