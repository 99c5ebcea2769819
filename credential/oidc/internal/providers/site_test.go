package providers_test

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A site runs on two replicas over one store.
type site struct {
	t        testing.TB
	store    store.Store
	replicas [2]http.Handler

	mu       sync.Mutex
	events   []walkin.Event
	profiles []oidc.Profile
}

func newSite(t testing.TB, providers ...oidc.Provider) *site {
	t.Helper()
	return newSiteAt(t, base, providers...)
}

// base is where the site is for a person who has no real browser.
const base = "https://app.example"

func newSiteAt(t testing.TB, base string, providers ...oidc.Provider) *site {
	t.Helper()
	s := &site{t: t, store: memstore.New()}
	hook := func(ctx context.Context, _ walkin.Change) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p, ok := oidc.ProfileFrom(ctx); ok {
			s.profiles = append(s.profiles, p)
		}
		return nil
	}
	for i := range s.replicas {
		wk, err := walkin.New(walkin.Config{
			Keys:    []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
			Store:   s.store,
			Paths:   walkin.Paths{Credentials: []string{"/auth/"}},
			Cookies: walkin.Cookies{Insecure: strings.HasPrefix(base, "http:")},
			Hooks:   walkin.Hooks{OnUpgrade: hook, OnSignIn: hook},
			OnEvent: func(_ context.Context, e walkin.Event) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.events = append(s.events, e)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		sso, err := oidc.New(wk, oidc.Config{URL: base + "/auth/", Providers: providers})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		who := func(w http.ResponseWriter, r *http.Request) {
			c, _ := walkin.FromContext(r.Context())
			_ = json.NewEncoder(w).Encode(c)
		}
		mux.HandleFunc("/", who)
		mux.HandleFunc("/page", page)
		mux.Handle("/danger", wk.RequireRecent(10*time.Minute)(http.HandlerFunc(who)))
		mux.Handle("/auth/", sso)
		s.replicas[i] = wk.Handler(mux)
	}
	return s
}

// reason returns why the last visitor was refused.
func (s *site) reason() (reason string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Outcome == walkin.Refused {
			reason, err = string(e.Reason), e.Err
		}
	}
	return reason, err
}

// A person has a browser: one jar for the site, and one for the providers.
type person struct {
	*site
	*walkintest.Client
	http *http.Client
	ids  url.Values // what they type
	seen int        // how often they were asked for it

	cancels bool // instead of going on
}

func (s *site) person(ids url.Values) *person {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &person{site: s, Client: walkintest.NewClient(s.t, s.replicas[0]), ids: ids, http: &http.Client{
		Jar:           jar,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// anonymous makes the person an anonymous user of the site.
func (p *person) anonymous() walkin.Claims {
	p.t.Helper()
	p.Visit("/")
	p.Post("/", nil)
	c := p.who()
	if !c.Anonymous || c.Provisional {
		p.t.Fatalf("got %+v", c)
	}
	return c
}

func (p *person) who() (c walkin.Claims) {
	p.t.Helper()
	if err := json.NewDecoder(p.Do(p.NewRequest(http.MethodPatch, "/", nil)).Body).Decode(&c); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// press presses a button and returns where the browser is sent.
func (p *person) press(name string, more ...string) *url.URL {
	p.t.Helper()
	form := url.Values{"provider": {name}, "return_to": {"/done"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	r := p.Post("/auth/start", form)
	to, err := r.Location()
	if r.StatusCode != http.StatusSeeOther || err != nil {
		reason, cause := p.reason()
		p.t.Fatalf("starting: got %d for %q, %v", r.StatusCode, reason, cause)
	}
	return to
}

var (
	formTag   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)".*?</form>`)
	abortLink = regexp.MustCompile(`href="([^"]*/abort)"`)
	inputTag  = regexp.MustCompile(`<input[^>]*>`)
	attrName  = regexp.MustCompile(`\bname="([^"]*)"`)
	attrVal   = regexp.MustCompile(`\bvalue="([^"]*)"`)
)

// goThrough goes through a provider's pages, and returns the request that comes
// back to the site: a GET with the answer in its URL, or a post with a form.
func (p *person) goThrough(to *url.URL) (back *url.URL, posted url.Values) {
	p.t.Helper()
	r, err := p.http.Get(to.String())
	for range 20 {
		if err != nil {
			p.t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		at := r.Request.URL
		if next, none := r.Location(); none == nil {
			if next.Host == "app.example" {
				return next, nil
			}
			r, err = p.http.Get(next.String())
			continue
		}
		if abort := abortLink.FindSubmatch(body); abort != nil && p.cancels {
			next, parseErr := at.Parse(html.UnescapeString(string(abort[1])))
			if parseErr != nil {
				p.t.Fatal(parseErr)
			}
			r, err = p.http.Get(next.String())
			continue
		}
		form := formTag.FindSubmatch(body)
		if form == nil {
			p.t.Fatalf("%s answered %d: %s", at.Path, r.StatusCode, body)
		}
		next, parseErr := at.Parse(html.UnescapeString(string(form[1])))
		if parseErr != nil {
			p.t.Fatal(parseErr)
		}
		values := url.Values{}
		asked := false
		for _, input := range inputTag.FindAllString(string(form[0]), -1) {
			name := attrName.FindStringSubmatch(input)
			if name == nil {
				continue
			}
			if typed := p.ids.Get(name[1]); typed != "" {
				values.Set(name[1], typed)
				asked = true
			} else if value := attrVal.FindStringSubmatch(input); value != nil {
				values.Set(name[1], html.UnescapeString(value[1]))
			}
		}
		if next.Host == "app.example" {
			return next, values
		}
		if asked {
			p.seen++
		}
		r, err = p.http.PostForm(next.String(), values)
	}
	p.t.Fatal("the provider has no end of pages")
	return nil, nil
}

// comeBack brings the browser back to the site.
func (p *person) comeBack(to *url.URL, posted url.Values) *http.Response {
	p.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if posted != nil {
		method, body = http.MethodPost, strings.NewReader(posted.Encode())
	}
	r := p.NewRequest(method, to.RequestURI(), body)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html")
	if posted == nil {
		return p.Do(r)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.Serve(r) // without cookies
	if err != nil {
		p.t.Fatal(err)
	}
	next, err := response.Location()
	if err != nil || response.StatusCode != http.StatusSeeOther || len(response.Cookies()) != 0 {
		p.t.Fatalf("the post: got %d, %v", response.StatusCode, response.Cookies())
	}
	return p.comeBack(next, nil)
}

// prove goes all the way, and holds that it ends well.
func (p *person) prove(name string, more ...string) {
	p.t.Helper()
	r := p.comeBack(p.goThrough(p.press(name, more...)))
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/done" {
		reason, err := p.reason()
		p.t.Fatalf("got %d for %q, %v", r.StatusCode, reason, err)
	}
}

// wantRefused holds that a person was refused and is who they were.
func (p *person) wantRefused(r *http.Response, before walkin.Claims, want string) {
	p.t.Helper()
	reason, err := p.reason()
	if r.StatusCode < 400 || r.StatusCode >= 500 || reason != want {
		p.t.Errorf("got %d for %q, %v, want %q", r.StatusCode, reason, err, want)
	}
	if after := p.who(); after.UserID != before.UserID || after.SessionID != before.SessionID || after.Anonymous != before.Anonymous {
		p.t.Errorf("got %+v, want %+v as before", after, before)
	}
}

// walk is what holds at every provider: an anonymous user keeps their ID and is found
// again from elsewhere, an answer counts once and in its own browser, and a code counts
// in its own login flow.
func (s *site) walk(name string, posts bool, ann, bea url.Values) {
	s.t.Helper()
	one := s.person(ann)
	before := one.anonymous()
	to, posted := one.goThrough(one.press(name))
	if (posted != nil) != posts {
		s.t.Fatalf("posted: %t, want %t", posted != nil, posts)
	}
	stranger := s.person(bea)
	strange := stranger.anonymous()
	if posted == nil { // a posted one would be gone
		if r := stranger.comeBack(to, nil); r.StatusCode != http.StatusForbidden || stranger.who().UserID != strange.UserID {
			s.t.Errorf("another browser: got %d", r.StatusCode)
		}
		to, posted = one.goThrough(one.press(name))
	}
	one.Client = one.On(s.replicas[1])
	if r := one.comeBack(to, posted); r.StatusCode != http.StatusSeeOther {
		reason, err := s.reason()
		s.t.Fatalf("got %d for %q, %v", r.StatusCode, reason, err)
	}
	after := one.who()
	if after.UserID != before.UserID || after.Anonymous || after.Method != "fed" {
		s.t.Errorf("got %+v after %+v", after, before)
	}
	if posted == nil {
		one.wantRefused(one.comeBack(to, nil), after, "oidc_state")
	}

	elsewhere := s.person(ann)
	elsewhere.prove(name)
	if got := elsewhere.who(); got.UserID != before.UserID {
		s.t.Errorf("elsewhere: got %v, want %v", got.UserID, before.UserID)
	}
	stranger.prove(name)
	if got := stranger.who(); got.UserID != strange.UserID {
		s.t.Errorf("another person: got %v, want %v", got.UserID, strange.UserID)
	}

	// Ann's code in another visitor's login flow.
	to, posted = one.goThrough(one.press(name))
	answer := posted
	if posted == nil {
		answer = to.Query()
	}
	thief := s.person(bea)
	thiefBefore := thief.anonymous()
	answer.Set("state", thief.press(name).Query().Get("state"))
	if posted == nil {
		to.RawQuery = answer.Encode()
	}
	thief.wantRefused(thief.comeBack(to, posted), thiefBefore, "oidc_not_believed")
	if got := thief.who().UserID; got == before.UserID || got == uuid.Nil {
		s.t.Errorf("the thief is %v", got)
	}
}
