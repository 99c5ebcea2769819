package clients_test

import (
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

const (
	annThere = "test-user@127.0.0.1"
	beaThere = "test-user2"
)

// idp starts the example server of zitadel/oidc, for a site that is reached at url, and
// returns its issuer.
func idp(t *testing.T, url string) (issuer string) {
	t.Helper()
	before := slog.Default() // it logs every request there
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(before) })
	l, err := net.Listen("tcp", "127.0.0.1:0") // the site is at localhost: another site
	if err != nil {
		t.Fatal(err)
	}
	issuer = "http://" + l.Addr().String() + "/"
	clients := map[string]*storage.Client{"walkin": storage.WebClient("walkin", "secret", url+"/auth/v1/callback/google")}
	kept := storage.NewStorageWithClients(storage.NewUserStore(issuer), clients)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: exampleop.SetupServer(issuer, kept, nil, false)}}
	server.Start()
	t.Cleanup(server.Close)
	return issuer
}

// signsInAt gives a replica a provider under the name google, which supabase-js knows.
func (r *replica) signsInAt(issuer string) {
	r.t.Helper()
	h, err := oidc.New(r.wk, oidc.Config{URL: r.cfg.URL + "/", Providers: []oidc.Provider{
		{Name: "google", Issuer: issuer, ClientID: "walkin", ClientSecret: "secret", VerifiesEmail: true},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cfg.Providers = map[string]supabasewalkin.Provider{"google": {Issuer: issuer, Handler: h}}
}

// withProvider starts a provider of a replica's own.
func withProvider(r *replica) { r.signsInAt(idp(r.t, r.url)) }

func inMemory() func() share {
	one := share{memstore.New(), supabasewalkin.Memory()}
	return func() share { return one }
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)".*?</form>`)
	inputTag = regexp.MustCompile(`<input[^>]*>`)
	attrName = regexp.MustCompile(`\bname="([^"]*)"`)
	attrVal  = regexp.MustCompile(`\bvalue="([^"]*)"`)
)

// goThrough goes through a provider's pages as who, in a browser of its own, and
// returns where the browser ends at the site.
func (r *replica) goThrough(to, who string) *url.URL {
	r.t.Helper()
	return r.goThroughAs(to, who, nil)
}

// goThroughAs does the same in a browser that sends a header along.
func (r *replica) goThroughAs(to, who string, header http.Header) *url.URL {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: sends(header), Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(to)
	for range 20 {
		if err != nil {
			r.t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if next, none := response.Location(); none == nil {
			if strings.HasPrefix(next.String(), r.url) && !strings.HasPrefix(next.Path, "/auth/v1/callback/") {
				return next
			}
			response, err = client.Get(next.String())
			continue
		}
		form := formTag.FindSubmatch(body)
		if form == nil {
			r.t.Fatalf("%s answered %d: %s", response.Request.URL, response.StatusCode, body)
		}
		next, parseErr := response.Request.URL.Parse(html.UnescapeString(string(form[1])))
		if parseErr != nil {
			r.t.Fatal(parseErr)
		}
		values := url.Values{}
		for _, input := range inputTag.FindAllString(string(form[0]), -1) {
			if name := attrName.FindStringSubmatch(input); name != nil {
				if value := attrVal.FindStringSubmatch(input); value != nil {
					values.Set(name[1], html.UnescapeString(value[1]))
				}
			}
		}
		values.Set("username", who)
		values.Set("password", "verysecure")
		response, err = client.PostForm(next.String(), values)
	}
	r.t.Fatal("the provider has no end of pages")
	return nil
}

// sends is a transport that adds a header.
type sends http.Header

func (s sends) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, s)
	return http.DefaultTransport.RoundTrip(r)
}

// TestProviderInNode goes by supabase-js through a real provider and back: an anonymous
// user links it and keeps their ID, signs out, and signs in with it as the same user.
func TestProviderInNode(t *testing.T) {
	s := newSite(t, inMemory(), withProvider)
	r := s.replicas[0]
	back := r.url + "/back"
	n := r.node("pkce")
	id := n.good("anonymous").User.ID
	to := r.goThrough(n.good("link", "google", back).URL, annThere)
	if to.Path != "/back" || to.Query().Get("code") == "" || to.Fragment != "" {
		t.Fatalf("got %s", to)
	}
	if u := n.good("user").User; !u.Anonymous {
		t.Error("the way to the provider and back has upgraded them, without the client")
	}
	if u := n.good("exchange", to.Query().Get("code")).User; u.ID != id || u.Anonymous || !slices.Equal(u.Providers, []string{"google"}) {
		t.Errorf("linked: got %+v, want the ID %s", u, id)
	}
	for _, call := range []string{"user", "refresh", "claims"} {
		if u := n.good(call).User; u.ID != id || u.Anonymous {
			t.Errorf("%s: got %+v, want the ID %s", call, u, id)
		}
	}
	if got := strings.Join(n.do("events").Events, " "); got != "INITIAL_SESSION SIGNED_IN SIGNED_IN TOKEN_REFRESHED" {
		t.Errorf("got the events %s", got)
	}
	if s := n.do("exchange", to.Query().Get("code")); s.Code == "" {
		t.Errorf("the same code again: got %+v", s)
	}
	if s := n.do("unlink", "google"); s.Code != "single_identity_not_deletable" {
		t.Errorf("unlinking the only one: got %+v", s)
	}
	n.good("email", "ann@example.com")
	n.good("verify", "ann@example.com", s.mail[len(s.mail)-1].Code)
	if got := n.good("identities").Identities; !slices.Equal(slices.Sorted(slices.Values(got)), []string{"email", "google"}) {
		t.Errorf("got the identities %v", got)
	}
	n.good("signOut")

	n = r.node("pkce")
	to = r.goThrough(n.good("oauth", "google", back).URL, annThere)
	if u := n.good("exchange", to.Query().Get("code")).User; u.ID != id {
		t.Errorf("signed in: got %+v, want the ID %s", u, id)
	}

	// Another anonymous user cannot have it; their session goes on.
	other := r.node("pkce")
	anon := other.good("anonymous").User.ID
	to = r.goThrough(other.good("link", "google", back).URL, annThere)
	if s := other.do("exchange", to.Query().Get("code")); s.Code != "identity_already_exists" {
		t.Errorf("linking another's: got %+v", s)
	}
	if u := other.good("user").User; u.ID != anon || !u.Anonymous {
		t.Errorf("got %+v, want the ID %s", u, anon)
	}
	to = r.goThrough(other.good("link", "google", back).URL, beaThere)
	if u := other.good("exchange", to.Query().Get("code")).User; u.ID != anon || u.Anonymous {
		t.Errorf("linking one's own: got %+v, want the ID %s", u, anon)
	}
}

// TestProviderWithPage holds that a handler which shows refusals on a page of the site's
// still leads the browser back with the error: the page is for the site's own forms.
func TestProviderWithPage(t *testing.T) {
	s := newSite(t, inMemory(), func(r *replica) {
		issuer := idp(t, r.url)
		h, err := oidc.New(r.wk, oidc.Config{URL: r.cfg.URL + "/", Providers: []oidc.Provider{{Name: "google", Issuer: issuer, ClientID: "walkin", ClientSecret: "secret"}},
			Page: func(w http.ResponseWriter, _ *http.Request, f walkin.Form) { w.WriteHeader(f.Status) }})
		if err != nil {
			t.Fatal(err)
		}
		r.cfg.NoSignUp = true
		r.cfg.Providers = map[string]supabasewalkin.Provider{"google": {Issuer: issuer, Handler: h}}
	})
	r := s.replicas[0]
	for _, header := range []http.Header{{"Accept": {"text/html,*/*"}}, {"Accept": {"application/json"}}, {"Hx-Request": {"true"}}, {"Turbo-Frame": {"x"}}, {"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}}} {
		to := r.goThroughAs(r.url+"/auth/v1/authorize?provider=google", annThere, header)
		if f, _ := url.ParseQuery(to.Fragment); f.Get("error_code") != "signup_disabled" {
			t.Errorf("%v: got %s", header, to)
		}
	}
}

// TestProviderInBrowsers does the same on a page of the site, by the flow that
// supabase-js takes by itself, whose tokens are in the fragment.
func TestProviderInBrowsers(t *testing.T) {
	browser.Each(t, func(t *testing.T, engine browser.Engine) {
		forum := modules(t)
		s := newSite(t, inMemory(), withProvider, func(r *replica) {
			r.mux.HandleFunc("GET /supabase.js", func(w http.ResponseWriter, req *http.Request) {
				http.ServeFile(w, req, forum+"/node_modules/@supabase/supabase-js/dist/umd/supabase.js")
			})
			r.mux.HandleFunc("GET /back", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Back</title><script src="/supabase.js"></script><script>
					const auth = supabase.createClient(location.origin, %q).auth
					const events = []
					auth.onAuthStateChange((event) => { events.push(event) })
					const who = async () => { const { data } = await auth.getUser(); return data.user ? data.user.id + ' ' + data.user.is_anonymous : 'no one' }
					const link = () => auth.linkIdentity({ provider: 'google', options: { redirectTo: location.origin + '/back' } }).then(({ error }) => error && error.code)
				</script>`, publishable)
			})
		})
		r := s.replicas[0]
		p := browser.NewPage(t, engine)
		p.Open(r.url + "/back")
		id := browser.Eval[string](p, `auth.signInAnonymously().then(({ data, error }) => error ? error.code : data.user.id)`)
		if who := browser.Eval[string](p, `who()`); who != id+" true" {
			t.Fatalf("got %s, want %s true", who, id)
		}
		p.Run(`void link()`)
		p.Wait(`document.querySelector('#username') !== null`)
		p.Type("#username", annThere)
		p.Type("#password", "verysecure")
		p.Click("button[type=submit]")
		p.Wait(`location.pathname === '/back' && typeof who === 'function'`)
		if who := browser.Eval[string](p, `auth.initialize().then(() => who())`); who != id+" false" {
			t.Errorf("got %s, want %s false", who, id)
		}
		if hash := browser.Eval[string](p, `location.hash`); strings.Contains(hash, "access_token") {
			t.Errorf("the tokens stayed in the address: %s", hash)
		}
		if got := browser.Eval[string](p, `events.join(' ')`); strings.Contains(got, "SIGNED_OUT") || !strings.Contains(got, "SIGNED_IN") {
			t.Errorf("got the events %s", got)
		}
	})
}
