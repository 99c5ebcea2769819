package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	scsmem "github.com/alexedwards/scs/v2/memstore"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const actingCookie = "__Host-walkin.as"

// An office is a site whose operators see it as its users do.
type office struct {
	t     *testing.T
	store *memstore.Store
	m     *walkin.Middleware
	site  http.Handler
	sm    *scs.SessionManager

	mu        sync.Mutex
	operators map[uuid.UUID]bool
	down      bool
	refuses   *walkin.Refusal // instead of that
	events    []walkin.Event
	written   []uuid.UUID // by whom the app's handler was reached by an unsafe request

	operator, guest *walkintest.Client
	operatorID      uuid.UUID
	guestID         uuid.UUID
}

func newOffice(t *testing.T, more ...func(*walkin.Config)) *office {
	t.Helper()
	o := &office{t: t, store: memstore.New(), operators: make(map[uuid.UUID]bool),
		sm: &scs.SessionManager{Lifetime: time.Hour, Codec: scs.GobCodec{}, Store: scsmem.NewWithCleanupInterval(0)}} // which starts no goroutine
	cfg := walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: o.store, Paths: walkin.Paths{SignOut: "/leave", Upgrade: "/prove"},
		Impersonation: walkin.Impersonation{
			IsOperator: func(_ context.Context, id uuid.UUID) (bool, error) {
				o.mu.Lock()
				defer o.mu.Unlock()
				if o.refuses != nil {
					return false, o.refuses
				}
				if o.down {
					return false, errors.New("the app's table is gone")
				}
				return o.operators[id], nil
			},
			OnlyReads: func(r *http.Request) bool { return r.URL.Path == "/query" },
		},
		OnEvent: func(_ context.Context, e walkin.Event) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.events = append(o.events, e)
		},
	}
	for _, f := range more {
		f(&cfg)
	}
	var err error
	if o.m, err = walkin.New(cfg); err != nil {
		t.Fatal(err)
	}
	o.site = o.m.Handler(o.routes())
	o.operator, o.guest = walkintest.NewClient(t, o.site), walkintest.NewClient(t, o.site)
	o.guest.Visit("/")
	o.guestID = o.id(o.guest.Post("/write", nil))
	o.operator.Post("/prove", url.Values{"name": {"op"}})
	o.operatorID = o.id(o.operator.Fetch("/"))
	o.operators[o.operatorID] = true
	o.events, o.written = nil, nil
	return o
}

func (o *office) routes() http.Handler {
	limited, err := quota.New(o.m, quota.Config{Name: "q", Limit: 5})
	if err != nil {
		o.t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, r *http.Request, err error) {
		if err != nil {
			o.m.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, "done")
	}
	mux := http.NewServeMux()
	who := func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		if r.Method != http.MethodGet {
			o.mu.Lock()
			o.written = append(o.written, c.UserID)
			o.mu.Unlock()
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
		if !ok {
			fmt.Fprint(w, "nobody")
			return
		}
		fmt.Fprintf(w, "%s %s %s", c.UserID, c.Actor, o.m.ImpersonationBanner(r))
	}
	mux.HandleFunc("/", who)
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		_, err := o.m.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.PostFormValue("name"), Method: "pwd"})
		answer(w, r, err)
	})
	mux.HandleFunc("POST /as", func(w http.ResponseWriter, r *http.Request) {
		id, _ := uuid.Parse(r.PostFormValue("id"))
		answer(w, r, o.m.Impersonate(w, r, id, r.PostFormValue("reason")))
	})
	mux.Handle("/leave", o.m.SignOutHandler())
	// What changes something by a safe method, or by one that was let through.
	for name, do := range map[string]func(http.ResponseWriter, *http.Request) error{
		"continue": func(w http.ResponseWriter, r *http.Request) error {
			_, err := o.m.Continue(w, r, walkin.Proof{Provider: "test", Subject: "x", Method: "fed", StateChecked: true})
			return err
		},
		"join": func(w http.ResponseWriter, r *http.Request) error {
			return o.m.Join(w, r, walkin.Handover{UserID: o.guestID})
		},
		"bind": func(w http.ResponseWriter, r *http.Request) error { _, err := o.m.StartFlow(w, r); return err },
		"token": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := o.m.AccessToken(r.Context(), "elsewhere", 0)
			return err
		},
		"quota":  func(w http.ResponseWriter, r *http.Request) error { _, err := limited.Take(w, r); return err },
		"delete": func(_ http.ResponseWriter, r *http.Request) error { return o.m.DeleteUser(r.Context(), o.guestID) },
		"everywhere": func(_ http.ResponseWriter, r *http.Request) error {
			return o.m.SignOutEverywhere(r.Context(), o.guestID)
		},
		"ban": func(_ http.ResponseWriter, r *http.Request) error {
			return o.m.Ban(r.Context(), o.guestID, store.Ban{})
		},
		"export": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := o.m.Export(r.Context(), o.guestID)
			return err
		},
		"unlink": func(w http.ResponseWriter, r *http.Request) error { return o.m.Unlink(w, r, "test", "op") },
		"check":  func(_ http.ResponseWriter, r *http.Request) error { return walkin.CheckActor(r.Context()) },
	} {
		mux.HandleFunc("GET /do/"+name, func(w http.ResponseWriter, r *http.Request) { answer(w, r, do(w, r)) })
	}
	mux.HandleFunc("GET /do/ensure", func(w http.ResponseWriter, r *http.Request) {
		c, err := o.m.Ensure(w, r)
		if err == nil && c.UserID != o.guestID {
			err = fmt.Errorf("Ensure returned %v", c.UserID)
		}
		answer(w, r, err)
	})
	mux.Handle("/data", o.m.LoadAndSave(o.sm)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := o.sm.GetString(r.Context(), "cart")
		defer func() { fmt.Fprintf(w, "found %q", found) }()
		if put := r.URL.Query().Get("put"); put != "" {
			o.sm.Put(r.Context(), "cart", put)
		}
	})))
	return mux
}

func (o *office) id(r *http.Response) uuid.UUID {
	o.t.Helper()
	var word string
	_, _ = fmt.Fscan(r.Body, &word)
	id, err := uuid.Parse(word)
	if err != nil {
		o.t.Fatalf("got %d %q and no user ID", r.StatusCode, word)
	}
	return id
}

// begin has the operator see the site as the anonymous user.
func (o *office) begin() {
	o.t.Helper()
	r := o.operator.Post("/as", url.Values{"id": {o.guestID.String()}, "reason": {"ticket 7"}})
	o.want("begin", r, http.StatusOK, "done")
	if o.operator.Cookie(actingCookie) == "" {
		o.t.Fatal("there is no third cookie")
	}
}

func (o *office) want(what string, r *http.Response, status int, part string) {
	o.t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if r.StatusCode != status || !strings.Contains(string(b), part) {
		o.t.Errorf("%s: got %d %q, want %d with %q", what, r.StatusCode, b, status, part)
	}
}

// is reports as whom a browser sees the site.
func (o *office) is(what string, c *walkintest.Client, user, actor uuid.UUID) {
	o.t.Helper()
	o.want(what, c.Visit("/"), http.StatusOK, user.String()+" "+actor.String())
}

func (o *office) told(outcome walkin.Outcome) (events []walkin.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if e.Outcome == outcome {
			events = append(events, e)
		}
	}
	return events
}

// TestImpersonate walks the whole of it: start, look, refused write, stop, the operator.
func TestImpersonate(t *testing.T) {
	o := newOffice(t)
	own := o.operator.Cookie("__Host-walkin")
	before, err := o.store.LockUser(t.Context(), o.guestID)
	if err != nil {
		t.Fatal(err)
	}
	o.begin()
	o.is("begun", o.operator, o.guestID, o.operatorID)
	o.is("the guest's own browser", o.guest, o.guestID, uuid.Nil)
	r := o.operator.Visit("/")
	if got := r.Header.Get("Walkin-Impersonation"); got != o.guestID.String() {
		t.Errorf("got the header %q", got)
	}
	if got := r.Header.Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("got Cache-Control %q, whatever the handler said", got)
	}
	o.want("the banner", r, http.StatusOK, `action="/.walkin/stop"`)
	if r := o.guest.Visit("/"); r.Header.Get("Walkin-Impersonation") != "" {
		t.Error("the guest's own answer has the header")
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PURGE"} {
		o.want(method, o.operator.Do(o.operator.NewRequest(method, "/write", nil)), http.StatusForbidden, "impersonation")
	}
	if len(o.written) != 0 {
		t.Errorf("the app was reached by %d writes", len(o.written))
	}
	o.want("what only reads", o.operator.Post("/query", nil), http.StatusOK, o.guestID.String())
	after, err := o.store.LockUser(t.Context(), o.guestID)
	if err != nil || after != before {
		t.Errorf("got the user %+v, %v; want them untouched %+v", after, err, before)
	}
	if sessions, err := o.store.UserSessions(t.Context(), o.guestID); err != nil || len(sessions) != 1 {
		t.Errorf("got %d sessions of the user, %v; want their own", len(sessions), err)
	}
	kept := o.operator.Cookie(actingCookie)
	if r := o.operator.Post("/.walkin/stop", nil); r.StatusCode != http.StatusSeeOther {
		t.Errorf("stop: got %d", r.StatusCode)
	}
	if o.operator.Cookie(actingCookie) != "" {
		t.Error("the answer left the cookie there")
	}
	again := walkintest.NewClient(t, o.site) // in the same browser, from a copy
	again.SetCookie("__Host-walkin", o.operator.Cookie("__Host-walkin"))
	again.SetCookie(actingCookie, kept)
	o.is("the cookie of before", again, o.operatorID, uuid.Nil)
	o.is("stopped", o.operator, o.operatorID, uuid.Nil)
	if o.operator.Cookie("__Host-walkin") != own || o.operator.Cookie(actingCookie) != "" {
		t.Error("the operator's own cookie changed, or the third is still there")
	}
	for _, outcome := range []walkin.Outcome{walkin.Impersonated, walkin.ImpersonationEnded} {
		events := o.told(outcome)
		if len(events) != 1 || events[0].UserID != o.guestID || events[0].ActorID != o.operatorID || events[0].Note != "ticket 7" {
			t.Errorf("got %+v, want one %s with both IDs and the reason", events, outcome)
		}
	}
	if refused := o.told(walkin.Refused); len(refused) == 0 || refused[0].ActorID != o.operatorID || refused[0].UserID != o.guestID {
		t.Errorf("got refusals %+v, want them to name both", refused)
	}
}

// TestImpersonateWho holds who may begin.
func TestImpersonateWho(t *testing.T) {
	o := newOffice(t)
	member := walkintest.NewClient(t, o.site)
	member.Post("/prove", url.Values{"name": {"ann"}})
	memberID := o.id(member.Fetch("/"))
	second := walkintest.NewClient(t, o.site)
	second.Post("/prove", url.Values{"name": {"op2"}})
	secondID := o.id(second.Fetch("/"))
	o.operators[secondID] = true
	form := func(id uuid.UUID, reason string) url.Values {
		return url.Values{"id": {id.String()}, "reason": {reason}}
	}
	for _, c := range []struct {
		name   string
		client *walkintest.Client
		form   url.Values
		status int
	}{
		{"a request without a user", walkintest.NewClient(t, o.m.Handler(o.routes())), form(memberID, "x"), 403}, // minted by the post
		{"an anonymous user", o.guest, form(memberID, "x"), 403},
		{"a member", member, form(o.guestID, "x"), 403},
		{"an operator: another operator", o.operator, form(secondID, "x"), 403},
		{"an operator: themselves", o.operator, form(o.operatorID, "x"), 403},
		{"an operator: without a reason", o.operator, form(o.guestID, " "), 422},
		{"an operator: too long a reason", o.operator, form(o.guestID, strings.Repeat("x", 501)), 422},
		{"an operator: no such user", o.operator, form(uuid.New(), "x"), 404},
	} {
		r := c.client.Do(withForm(c.client.NewRequest(http.MethodPost, "/as", strings.NewReader(c.form.Encode()))))
		if r.StatusCode != c.status && !(r.StatusCode == 303 && c.status == 403) || c.client.Cookie(actingCookie) != "" {
			t.Errorf("%s: got %d and a cookie %t, want %d", c.name, r.StatusCode, c.client.Cookie(actingCookie) != "", c.status)
		}
	}
	bearer := withForm(walkintest.NewClient(t, o.site).NewRequest(http.MethodPost, "/as", strings.NewReader(form(o.guestID, "x").Encode())))
	bearer.Header.Set("Authorization", "Bearer "+o.operator.Cookie("__Host-walkin"))
	if r := walkintest.NewClient(t, o.site).Do(bearer); r.StatusCode != 403 || len(r.Cookies()) > 0 {
		t.Errorf("by a bearer: got %d and %v", r.StatusCode, r.Cookies())
	}
	cross := withForm(o.operator.NewRequest(http.MethodPost, "/as", strings.NewReader(form(o.guestID, "x").Encode())))
	cross.Header.Set("Sec-Fetch-Site", "cross-site")
	cross.Header.Set("Origin", "https://evil.example")
	if r := o.operator.Do(cross); r.StatusCode != 403 {
		t.Errorf("another site's form: got %d", r.StatusCode)
	}
	o.down = true
	o.want("the app does not know", o.operator.Post("/as", form(o.guestID, "x")), 500, "")
	o.down = false
	o.begin()
	o.want("of one begun already", o.operator.Post("/as", form(memberID, "x")), 403, "")
	if n := len(o.told(walkin.Impersonated)); n != 1 {
		t.Errorf("got %d events of a start, want the one", n)
	}
}

func withForm(r *http.Request) *http.Request {
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// navigated makes a request one of a page, whose answer a person reads.
func navigated(r *http.Request) *http.Request {
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	return r
}

// TestImpersonateRecent holds that an old proof is not enough, and that a form leads to
// the page for a new one.
func TestImpersonateRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		time.Sleep(11 * time.Minute)
		o.want("an old proof", o.operator.Post("/as", url.Values{"id": {o.guestID.String()}, "reason": {"x"}}), http.StatusForbidden, "sign in again")
		o = newOffice(t, func(c *walkin.Config) { c.Paths.SignIn = "/sign-in" })
		time.Sleep(11 * time.Minute)
		if r := o.operator.Do(navigated(withForm(o.operator.NewRequest(http.MethodPost, "/as", strings.NewReader("reason=x&id="+o.guestID.String()))))); r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(r.Header.Get("Location"), "/sign-in") {
			t.Errorf("an old proof, by a form: got %d to %q, want the page to sign in", r.StatusCode, r.Header.Get("Location"))
		}
	})
}

// TestImpersonationAndOtherSites holds that a page of another site ends no impersonation,
// and reaches nothing that an operator may call.
func TestImpersonationAndOtherSites(t *testing.T) {
	o := newOffice(t)
	o.begin()
	for _, path := range []string{"/.walkin/stop", "/query"} {
		r := o.operator.NewRequest(http.MethodPost, path, nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
		o.want(path, o.operator.Do(r), http.StatusForbidden, "")
		o.is("after "+path, o.operator, o.guestID, o.operatorID)
	}
}

// TestImpersonateChangesNothing holds that what changes something refuses by itself,
// whatever the method.
func TestImpersonateChangesNothing(t *testing.T) {
	o := newOffice(t)
	o.want("the guest's cart", o.guest.Fetch("/data?put=apples"), http.StatusOK, "")
	o.want("the guest's cart", o.guest.Fetch("/data"), http.StatusOK, "apples")
	o.begin()
	for _, name := range []string{"continue", "join", "bind", "token", "quota", "delete", "everywhere", "ban", "export", "unlink", "check"} {
		r := o.operator.Fetch("/do/" + name)
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", name, r.StatusCode)
		}
		if set := r.Header["Set-Cookie"]; len(set) > 0 {
			t.Errorf("%s: it set %q", name, set)
		}
	}
	o.want("Ensure gives the user that is there", o.operator.Fetch("/do/ensure"), http.StatusOK, "done")
	o.want("scs data is an empty set", o.operator.Fetch("/data?put=pears"), http.StatusOK, `found ""`)
	o.want("and never saved", o.operator.Fetch("/data"), http.StatusOK, `found ""`)
	o.want("nor for the guest", o.guest.Fetch("/data"), http.StatusOK, "apples")
	upgrade := o.operator.NewRequest(http.MethodGet, "/", nil)
	upgrade.Header.Set("Connection", "Upgrade")
	upgrade.Header.Set("Upgrade", "websocket")
	o.want("a WebSocket", o.operator.Do(upgrade), http.StatusForbidden, "")
	o.want("CONNECT", o.operator.Do(o.operator.NewRequest(http.MethodConnect, "/", nil)), http.StatusForbidden, "")
	for _, header := range []string{"Bearer x", "Basic eDp5"} {
		r := o.operator.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		o.want("beside "+header, o.operator.Do(r), http.StatusForbidden, "")
	}
	o.is("the guest is still there", o.guest, o.guestID, uuid.Nil)
	o.want("with the same session", o.guest.Post("/write", nil), http.StatusOK, o.guestID.String())
	// A sign-out is a stop: the anonymous user's session and the operator's go on.
	if r := o.operator.Post("/leave", nil); r.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-out: got %d", r.StatusCode)
	}
	o.is("stopped", o.operator, o.operatorID, uuid.Nil)
	o.want("the guest writes", o.guest.Post("/write", nil), http.StatusOK, o.guestID.String())
}

// TestImpersonationEnds holds what ends one, and that forms from before are refused
// then, as neither user's.
func TestImpersonationEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, o *office){
		"after half an hour": func(*testing.T, *office) { time.Sleep(30 * time.Minute) },
		"when the operator signs out elsewhere": func(t *testing.T, o *office) {
			if err := o.m.SignOutEverywhere(t.Context(), o.operatorID); err != nil {
				t.Fatal(err)
			}
		},
		"when the operator is demoted":        func(_ *testing.T, o *office) { delete(o.operators, o.operatorID) },
		"when the operator is banned":         func(t *testing.T, o *office) { _ = o.m.Ban(t.Context(), o.operatorID, store.Ban{}) },
		"when the user becomes an operator":   func(_ *testing.T, o *office) { o.operators[o.guestID] = true },
		"when the user is deleted":            func(t *testing.T, o *office) { _ = o.m.DeleteUser(t.Context(), o.guestID) },
		"when the operator's own cookie goes": func(_ *testing.T, o *office) { o.operator.SetCookie("__Host-walkin", "") },
		"when the cookie is another token": func(_ *testing.T, o *office) {
			o.operator.SetCookie(actingCookie, o.operator.Cookie("__Host-walkin"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t)
				o.begin()
				o.is("begun", o.operator, o.guestID, o.operatorID)
				end(t, o)
				for range 2 { // also where the first answer said so
					o.want("a late form", o.operator.Post("/write", nil), http.StatusForbidden, "reload")
				}
				if len(o.written) != 0 {
					t.Error("a late form reached the app")
				}
				kept := o.operator.Cookie(actingCookie)
				if o.operator.Fetch("/"); o.operator.Cookie(actingCookie) != kept {
					t.Error("a piece of a page took the cookie: a form of the user's would be taken for the operator's")
				}
				o.operator.Visit("/")
				if o.operator.Cookie(actingCookie) != "" {
					t.Error("the page left the cookie there")
				}
				r := o.operator.Visit("/")
				if b, _ := io.ReadAll(r.Body); strings.Contains(string(b), o.guestID.String()) || r.Header.Get("Walkin-Impersonation") != "" {
					t.Errorf("it goes on: %q", b)
				}
				if n := len(o.told(walkin.ImpersonationEnded)); n != 1 && !strings.Contains(name, "cookie") {
					t.Errorf("got %d events of an end, want one", n)
				}
			})
		})
	}
}

// TestImpersonationIsBound holds that the third cookie is worth nothing by itself, and
// its token nothing elsewhere.
func TestImpersonationIsBound(t *testing.T) {
	o := newOffice(t)
	o.begin()
	stolen := o.operator.Cookie(actingCookie)
	thief := walkintest.NewClient(t, o.site)
	thief.SetCookie(actingCookie, stolen)
	o.want("in another browser", thief.Fetch("/"), http.StatusOK, "nobody")
	for _, name := range []string{"__Host-walkin", "__Host-walkin-anon"} {
		thief := walkintest.NewClient(t, o.site)
		thief.SetCookie(name, stolen)
		o.want("as "+name, thief.Fetch("/"), http.StatusOK, "nobody")
	}
	bearer := walkintest.NewClient(t, o.site)
	r := bearer.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+stolen)
	o.want("as a bearer", bearer.Do(r), http.StatusOK, "nobody")
	second := walkintest.NewClient(t, o.site)
	second.Post("/prove", url.Values{"name": {"op"}})
	second.SetCookie(actingCookie, stolen)
	o.is("in the operator's other browser", second, o.operatorID, uuid.Nil)
	member := walkintest.NewClient(t, o.site)
	member.Post("/prove", url.Values{"name": {"ann"}})
	memberID := o.id(member.Fetch("/"))
	member.SetCookie(actingCookie, stolen)
	o.is("beside another user's own cookie", member, memberID, uuid.Nil)

	o.down = true
	o.want("the app does not know", o.operator.Visit("/"), http.StatusInternalServerError, "")
	o.down = false
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
		o.refuses = &walkin.Refusal{Status: status, Reason: "mine"}
		o.want("the app refuses to say", o.operator.Visit("/"), status, "")
	}
	o.refuses = nil
	o.is("and knows again", o.operator, o.guestID, o.operatorID)

	off := newOffice(t, func(c *walkin.Config) { c.Impersonation = walkin.Impersonation{} })
	off.operator.SetCookie(actingCookie, stolen)
	off.is("a site without impersonation", off.operator, off.operatorID, uuid.Nil)
	off.want("does not begin one", off.operator.Post("/as", url.Values{"id": {off.guestID.String()}, "reason": {"x"}}), http.StatusInternalServerError, "")

	// Outside of Handler nothing holds the rules, so that nothing is done.
	bare := o.operator.On(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := o.m.Continue(w, r, walkin.Proof{Provider: "test", Subject: "bare", Method: "pwd"})
		if err == nil {
			t.Error("Continue went on")
		}
	}))
	bare.Post("/", nil)
}

// TestImpersonationEndFails holds that an end which the store did not take is not reported
// as one, and that each that it took is: rather twice than never.
func TestImpersonationEndFails(t *testing.T) {
	for _, tt := range []struct {
		fails string
		ends  [2]int // events after the stop that fails, and after the next one
	}{{"TakeTicket", [2]int{0, 1}}, {"AddTicket", [2]int{1, 2}}} {
		t.Run(tt.fails, func(t *testing.T) {
			var faulty *faultyStore
			o := newOffice(t, func(c *walkin.Config) {
				faulty = &faultyStore{Store: c.Store}
				c.Store = faulty
			})
			o.begin()
			kept := o.operator.Cookie(actingCookie)
			for i, fault := range []error{errors.New("cut off"), nil} {
				faulty.failAt(tt.fails, fault)
				o.operator.Post("/.walkin/stop", nil)
				faulty.failAt("", nil)
				if got := len(o.told(walkin.ImpersonationEnded)); got != tt.ends[i] {
					t.Errorf("stop %d: got %d events of an end, want %d", i, got, tt.ends[i])
				}
				if got := len(o.told(walkin.Failed)); got == 0 {
					t.Errorf("stop %d: the operator hears of no failure", i)
				}
				o.operator.SetCookie(actingCookie, kept)
			}
			o.want("after the end", o.operator.Fetch("/"), http.StatusOK, o.operatorID.String())
		})
	}
}
