package docs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestAnalyticsPage runs the setting of docs/requests.md: what it names makes no user,
// and everything else does.
func TestAnalyticsPage(t *testing.T) {
	named := walkin.Config{
		NewUsers: walkin.NewUsers{
			IsAutomatic: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/collect/") },
		},
	}
	cfg := defaults()
	cfg.NewUsers = named.NewUsers
	site := newWalkin(t, cfg).Handler(http.HandlerFunc(whoami))
	for path, wants := range map[string]bool{"/collect/hit": false, "/notes": true} {
		if got := body(t, walkintest.NewClient(t, site).Post(path, nil)); (got != "") != wants {
			t.Errorf("%s: got %q", path, got)
		}
	}
}

// TestConsentPage runs docs/consent.md: nothing is stored before "Yes", and from then on
// the visitor is a user.
func TestConsentPage(t *testing.T) {
	cfg := defaults()
	cfg.NewUsers.Mint = walkin.MintOnDemand
	wk := newWalkin(t, cfg)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /consent", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("answer") == "yes" {
			if _, err := wk.Ensure(w, r); err != nil {
				wk.Refuse(w, r, err)
				return
			}
		}
		http.Redirect(w, r, walkin.ReturnTo(r), http.StatusSeeOther)
	})
	mux.HandleFunc("GET /whoami", whoami)
	c := walkintest.NewClient(t, wk.Handler(mux))
	for _, step := range []struct {
		name string
		do   func() *http.Response
		user bool
	}{
		{"reading", func() *http.Response { return c.Visit("/whoami") }, false},
		{"no", func() *http.Response { return c.Post("/consent", map[string][]string{"answer": {"no"}}) }, false},
		{"yes", func() *http.Response { return c.Post("/consent", map[string][]string{"answer": {"yes"}}) }, true},
	} {
		step.do()
		if got := len(c.Cookies()) > 0; got != step.user {
			t.Errorf("%s: got cookies %t, want %t", step.name, got, step.user)
		}
	}
	if _, kind := is(t, c); kind != "anonymous" {
		t.Errorf("got %q", kind)
	}
}

// TestSocketPage runs what docs/bots.md says of an app behind a Unix socket: its peer gets
// an address.
func TestSocketPage(t *testing.T) {
	wk := newWalkin(t, defaults())
	var saw string
	inside := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { saw = wk.ClientAddr(r).String() }))
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "127.0.0.1:0"
		inside.ServeHTTP(w, r)
	})
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "@" // what net/http says of a socket
	site.ServeHTTP(httptest.NewRecorder(), r)
	if saw != "127.0.0.1" {
		t.Errorf("got %q", saw)
	}
}
