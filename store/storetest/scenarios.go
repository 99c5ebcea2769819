package storetest

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
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// The scenarios run two replicas of one small site over two handles of one
// database. Each replica has its own cache; only the store is shared.

const (
	anonCookie = "__Host-walkin-anon"
	permCookie = "__Host-walkin"
)

// runScenarios holds what walkin promises its visitors, over this store.
func runScenarios(t *testing.T, open Opener) {
	scenarios := []struct {
		name string
		run  func(*testing.T, *town)
	}{
		{"fixation: a copied anonymous token dies with the upgrade, on every replica", fixation},
		{"fixation: a provisional token dies with the upgrade too", fixationProvisional},
		{"late renewal: a stalled anonymous renewal does not displace the permanent session", lateRenewal},
		{"late renewal: a slow page does not put back a session that ended meanwhile", slowRenewal},
		{"late mint: a stalled mint does not displace a sign-in", lateMint},
		{"form post from outside: no user, no row", postFromOutside},
		{"twenty visitors, one identity: one wins, the others keep what they have", twentyVisitors},
		{"double click: both answers are good", doubleClick},
		{"same ID: what was written before the upgrade is owned after it", sameID},
		{"what a proof stands on is used up once, and only with its change", redeem},
		{"double click on what is used up once: one session for both halves, and none once it has ended", secondHalf},
		{"what took a session's place is known on the other replica, and not after a sign-out", cameFrom},
		{"a failing hook undoes the upgrade", hookFails},
		{"a panicking hook undoes the upgrade", hookPanics},
		{"a failing merge keeps the guest", mergeFails},
		{"a merge moves the guest's things and ends the guest", merge},
		{"sign-out ends the session, and a late response revives nothing", signOut},
		{"sign-out of a provisional user ends their token", signOutProvisional},
		{"a deleted user's token makes no row again", resurrection},
		{"sign-out everywhere ends permanent tokens", signOutEverywhere},
		{"every session from before a moment ends, and new ones do not", endAll},
		{"a banned user is refused everywhere, loses nothing, and is back when let in", banUser},
		{"a ban ends by itself", banEnds},
		{"app shell: six fetches and a post make one user", appShell},
		{"a write on one replica is known on the other", actThenOther},
		{"readers write nothing", readers},
		{"an upgrade that races a sign-out is whole, or was not", upgradeSignOut},
		{"a late click in another tab opens no second account", lateClick},
		{"an identity that is removed or moved while it is proven is what it is by then", identityMoves},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { s.run(t, newTown(t, open)) })
	}
}

// A town is a site on two replicas, and what its app keeps.
type town struct {
	t        *testing.T
	stores   [2]store.Store
	replicas [2]*walkin.Middleware
	sites    [2]http.Handler

	mu      sync.Mutex
	notes   map[uuid.UUID]int // the app's rows: notes by owner
	rows    int               // Persisted events
	upgrade func(context.Context, walkin.Change) error
	merge   func(context.Context, walkin.Change) error
}

func newTown(t *testing.T, open Opener) *town {
	t.Helper()
	n := &town{t: t, notes: make(map[uuid.UUID]int)}
	handle := open(t)
	for i := range n.replicas {
		n.stores[i] = handle(t)
		m, err := walkin.New(walkin.Config{
			Keys:  []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
			Store: n.stores[i],
			NewUsers: walkin.NewUsers{
				// Many visitors come from few addresses here.
				Limit: limit.Limit{Count: -1},
			},
			Hooks: walkin.Hooks{
				OnUpgrade: func(ctx context.Context, c walkin.Change) error {
					if n.upgrade != nil {
						return n.upgrade(ctx, c)
					}
					return nil
				},
				OnMerge: func(ctx context.Context, c walkin.Change) error {
					if n.merge != nil {
						return n.merge(ctx, c)
					}
					n.mu.Lock()
					defer n.mu.Unlock()
					n.notes[c.UserID] += n.notes[c.AnonymousID]
					delete(n.notes, c.AnonymousID)
					return nil
				},
			},
			OnEvent: func(_ context.Context, e walkin.Event) {
				if e.Outcome == walkin.Persisted {
					n.mu.Lock()
					n.rows++
					n.mu.Unlock()
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := n.stores[i].(store.FeedStore); ok && i == 0 { // the other one does without
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			var wg sync.WaitGroup
			wg.Go(func() { _ = m.RunFeed(ctx) })
			t.Cleanup(func() { cancel(); wg.Wait() })
		}
		n.replicas[i] = m
		n.sites[i] = m.Handler(n.routes(m, n.stores[i]))
	}
	return n
}

func (n *town) routes(m *walkin.Middleware, st store.Store) http.Handler {
	who := func(w http.ResponseWriter, r *http.Request) {
		if c, ok := walkin.FromContext(r.Context()); ok {
			fmt.Fprintf(w, "%s anonymous=%t", c.UserID, c.Anonymous)
			return
		}
		fmt.Fprint(w, "nobody")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", who)
	mux.Handle("POST /note", m.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		n.mu.Lock()
		n.notes[c.UserID]++
		n.mu.Unlock()
		who(w, r)
	})))
	mux.Handle("GET /members", m.RequirePermanent()(http.HandlerFunc(who)))
	mux.Handle("POST /members", m.RequirePermanent()(http.HandlerFunc(who)))
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		p := walkin.Proof{Provider: "test", Subject: r.PostFormValue("name"), Method: "pwd"}
		if r.PostFormValue("conflict") == "reject" {
			p.Conflict = walkin.ConflictReject
		}
		if key := r.PostFormValue("ticket"); key != "" {
			p.Redeem = func(ctx context.Context) error {
				_, err := st.TakeTicket(ctx, key, time.Now())
				if errors.Is(err, store.ErrNotFound) {
					const reasonUsed walkin.Reason = "used"
					return &walkin.Refusal{Status: http.StatusGone, Reason: reasonUsed, Err: walkin.ErrRedeemed}
				}
				return err
			}
			p.FlowID = r.PostFormValue("flow")
		}
		outcome, err := m.Continue(w, r, p)
		if err != nil {
			m.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, outcome)
	})
	mux.Handle("POST /out", m.SignOutHandler())
	mux.HandleFunc("POST /bind", func(w http.ResponseWriter, r *http.Request) {
		flow, err := m.StartFlow(w, r)
		if err != nil {
			m.Refuse(w, r, err)
		}
		fmt.Fprint(w, flow)
	})
	mux.HandleFunc("GET /session", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, c.SessionID)
	})
	mux.HandleFunc("GET /from/{session}", func(w http.ResponseWriter, r *http.Request) {
		from, err := m.CameFrom(r, uuid.MustParse(r.PathValue("session")))
		fmt.Fprint(w, from, err)
	})
	return mux
}

// browser returns a new visitor in front of the first replica.
func (n *town) browser() *walkintest.Client { return walkintest.NewClient(n.t, n.sites[0]) }

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// want checks a response's status and the beginning of its text.
func (n *town) want(r *http.Response, status int, prefix string) string {
	n.t.Helper()
	got := text(n.t, r)
	if r.StatusCode != status || !strings.HasPrefix(got, prefix) {
		n.t.Fatalf("got %d %q, want %d %q…", r.StatusCode, got, status, prefix)
	}
	return got
}

func name(s string) url.Values { return url.Values{"name": {s}} }

// act writes as the visitor, who is then stored, and returns their ID.
func (n *town) act(c *walkintest.Client) uuid.UUID {
	n.t.Helper()
	got := n.want(c.Post("/note", nil), http.StatusOK, "")
	id, rest, _ := strings.Cut(got, " ")
	if rest != "anonymous=true" && rest != "anonymous=false" {
		n.t.Fatalf("got %q, want a user", got)
	}
	return uuid.MustParse(id)
}

func (n *town) notesOf(id uuid.UUID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notes[id]
}

// isNobody presents a token in the cookie of that name, everywhere.
func (n *town) isNobody(cookie, token string) {
	n.t.Helper()
	for i, site := range n.sites {
		c := walkintest.NewClient(n.t, site)
		c.SetCookie(cookie, token)
		r := c.Post("/note", nil)
		if r.StatusCode != http.StatusUnauthorized {
			n.t.Errorf("replica %d: acting with the old token: got %d %q, want 401", i, r.StatusCode, text(n.t, r))
		}
		if len(r.Header["Set-Cookie"]) > 0 {
			n.t.Errorf("replica %d: acting with the old token set a cookie: %q", i, r.Header["Set-Cookie"])
		}
		// The visitor wrote, so this replica has looked; from now on it does not even
		// read.
		if got := text(n.t, c.Fetch("/")); got != "nobody" {
			n.t.Errorf("replica %d: reading with the old token: got %q, want no user", i, got)
		}
		if r := c.Fetch("/members"); r.StatusCode != http.StatusUnauthorized {
			n.t.Errorf("replica %d: the guard with the old token: got %d, want 401", i, r.StatusCode)
		}
	}
}

func fixation(t *testing.T, n *town) {
	victim := n.browser()
	victim.Visit("/")
	n.act(victim)
	stolen := victim.Cookie(anonCookie)
	for _, site := range n.sites { // the attacker has used it everywhere
		attacker := walkintest.NewClient(t, site)
		attacker.SetCookie(anonCookie, stolen)
		n.want(attacker.Post("/note", nil), http.StatusOK, "")
	}
	n.want(victim.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	n.isNobody(anonCookie, stolen)
	n.want(victim.Post("/members", nil), http.StatusOK, "")
}

func fixationProvisional(t *testing.T, n *town) {
	victim := n.browser()
	victim.Visit("/")
	planted := victim.Cookie(anonCookie) // no visitor has written yet
	n.want(victim.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	n.isNobody(anonCookie, planted)
}

// due makes the visitor's token old enough for a renewal, by presenting it to
// a replica that renews at once.
func (n *town) impatient(store store.Store) http.Handler {
	n.t.Helper()
	m, err := walkin.New(walkin.Config{
		Keys:   []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
		Store:  store,
		Tokens: walkin.Tokens{RenewAfter: time.Nanosecond},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return m.Handler(n.routes(m, store))
}

// stall serves a request and keeps the response back.
func stall(t *testing.T, c *walkintest.Client, r *http.Request) *http.Response {
	t.Helper()
	c.Carry(r)
	response, err := c.Serve(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func navigation(c *walkintest.Client, path string) *http.Request {
	r := c.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html")
	return r
}

func lateRenewal(t *testing.T, n *town) {
	c := n.browser()
	c.Visit("/")
	id := n.act(c)
	slow := c.On(n.impatient(n.stores[1]))
	late := stall(t, slow, navigation(slow, "/"))
	if len(late.Cookies()) != 1 {
		t.Fatalf("the stalled response renews nothing: %v", late.Cookies())
	}
	n.want(c.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	c.Keep(late)
	n.want(c.Fetch("/"), http.StatusOK, id.String()+" anonymous=false")
	n.want(c.On(n.sites[1]).Post("/members", nil), http.StatusOK, id.String())
}

// slowRenewal is lateRenewal for a permanent user, whose cookie has one name before
// and after: a page that takes long, while its visitor proves who they are in
// another tab or signs out there. The two tabs talk to different replicas.
func slowRenewal(t *testing.T, n *town) {
	for i, path := range []string{"/prove", "/out"} {
		c := n.browser()
		c.Visit("/")
		id := n.act(c)
		subject := name(fmt.Sprint("ann", i))
		n.want(c.Post("/prove", subject), http.StatusOK, "upgraded")
		begun, goOn := make(chan struct{}), make(chan struct{})
		m, err := walkin.New(walkin.Config{
			Keys:  []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
			Store: n.stores[1], Tokens: walkin.Tokens{RenewAfter: time.Nanosecond}})
		ok(t, err)
		page := c.On(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-goOn
			fmt.Fprint(w, "at last")
		})))
		answer := make(chan *http.Response)
		go func() {
			r := navigation(page, "/")
			page.Carry(r)
			late, err := page.Serve(r)
			if err != nil {
				t.Error(err)
			}
			answer <- late
		}()
		<-begun
		r := c.Post(path, subject)
		if r.StatusCode >= http.StatusBadRequest {
			t.Errorf("%s: got %d", path, r.StatusCode)
		}
		close(goOn)
		late := <-answer
		if set := late.Cookies(); len(set) > 0 {
			t.Errorf("%s: the slow page set %d cookies of a session that has ended", path, len(set))
		}
		c.Keep(late)
		got := text(t, c.Visit("/"))
		if member := id.String() + " anonymous=false"; (got == member) != (path == "/prove") {
			t.Errorf("after %s: got %q", path, got)
		}
	}
}

func lateMint(t *testing.T, n *town) {
	owner := n.browser()
	n.want(owner.Post("/prove", name("ann")), http.StatusOK, "")

	c := n.browser()
	late := stall(t, c, navigation(c, "/"))
	n.want(c.Post("/prove", name("ann")), http.StatusOK, "")
	c.Keep(late)
	if c.Cookie(anonCookie) == "" {
		t.Fatal("the stalled response minted nothing")
	}
	n.want(c.Fetch("/"), http.StatusOK, text(t, owner.Fetch("/")))
	n.want(c.Post("/members", nil), http.StatusOK, "")
}

func postFromOutside(t *testing.T, n *town) {
	for _, site := range []string{"cross-site", "same-site"} {
		c := n.browser()
		r := c.NewRequest(http.MethodPost, "/note", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Origin", "https://evil.example")
		response := c.Do(r)
		if response.StatusCode != http.StatusUnauthorized || len(response.Cookies()) > 0 {
			t.Errorf("%s: got %d and %v, want 401 and no cookie", site, response.StatusCode, response.Cookies())
		}
	}
	if n.rows != 0 {
		t.Errorf("got %d rows, want none", n.rows)
	}
}

func twentyVisitors(t *testing.T, n *town) {
	const visitors = 20
	var (
		wg      sync.WaitGroup
		clients [visitors]*walkintest.Client
		ids     [visitors]uuid.UUID
		status  [visitors]int
	)
	for i := range clients {
		clients[i] = n.browser().On(n.sites[i%2])
		clients[i].Visit("/")
		ids[i] = n.act(clients[i])
	}
	for i, c := range clients {
		wg.Go(func() {
			status[i] = c.Post("/prove", url.Values{"name": {"ann"}, "conflict": {"reject"}}).StatusCode
		})
	}
	wg.Wait()
	won := 0
	for i, c := range clients {
		kind := "anonymous=true"
		switch status[i] {
		case http.StatusOK:
			won++
			kind = "anonymous=false"
		case http.StatusConflict:
		default:
			t.Errorf("visitor %d: got status %d, want 200 or 409", i, status[i])
		}
		n.want(c.Fetch("/"), http.StatusOK, ids[i].String()+" "+kind)
		if n.notesOf(ids[i]) != 1 {
			t.Errorf("visitor %d: got %d notes, want 1", i, n.notesOf(ids[i]))
		}
	}
	if won != 1 {
		t.Errorf("got %d winners, want 1", won)
	}
}

func doubleClick(t *testing.T, n *town) {
	for round := range 5 {
		c := n.browser()
		c.Visit("/")
		id := n.act(c)
		subject := name(fmt.Sprint("ann", round))
		var wg sync.WaitGroup
		var answers [2]*http.Response
		for i := range answers {
			wg.Go(func() { answers[i] = c.On(n.sites[i]).Post("/prove", subject) })
		}
		wg.Wait()
		for _, a := range answers {
			if a.StatusCode != http.StatusOK {
				t.Errorf("got %d %q, want 200", a.StatusCode, text(t, a))
			}
		}
		n.want(c.Post("/members", nil), http.StatusOK, id.String())
		identities, err := n.stores[0].Identities(t.Context(), id)
		if err != nil || len(identities) != 1 {
			t.Errorf("got identities %v, %v; want one", identities, err)
		}
	}
}

func sameID(t *testing.T, n *town) {
	c := n.browser()
	c.Visit("/")
	id := n.act(c)
	old := c.Cookie(anonCookie)
	if r := c.Post("/members", nil); r.StatusCode != http.StatusForbidden {
		t.Errorf("anonymous at the guard: got %d, want 403", r.StatusCode)
	}
	n.want(c.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	n.want(c.Post("/members", nil), http.StatusOK, id.String()+" anonymous=false")
	if n.notesOf(id) != 1 {
		t.Errorf("got %d notes under the ID, want 1", n.notesOf(id))
	}
	n.isNobody(anonCookie, old)
}

func (n *town) stillAnonymous(c *walkintest.Client, id uuid.UUID) {
	n.t.Helper()
	for _, site := range n.sites {
		n.want(c.On(site).Fetch("/"), http.StatusOK, id.String()+" anonymous=true")
		n.want(c.On(site).Post("/note", nil), http.StatusOK, id.String()+" anonymous=true")
	}
	if _, err := n.stores[1].Identity(n.t.Context(), "test", "ann"); !errors.Is(err, store.ErrNotFound) {
		n.t.Errorf("the identity: got %v, want ErrNotFound", err)
	}
}

func redeem(t *testing.T, n *town) {
	const visitors = 20
	for _, kind := range []string{"guests", "nobodies"} {
		ok(t, n.stores[0].PutTicket(t.Context(), store.Ticket{Key: kind, ExpiresAt: time.Now().Add(time.Hour)}))
		try := func(i int) (*walkintest.Client, url.Values) {
			c := n.browser().On(n.sites[i%2])
			if kind == "guests" {
				n.act(c)
			}
			return c, url.Values{"name": {fmt.Sprint(kind, i)}, "ticket": {kind}}
		}
		n.upgrade = func(context.Context, walkin.Change) error { return errors.New("the app says no") }
		c, form := try(visitors)
		n.want(c.Post("/prove", form), http.StatusInternalServerError, "")
		n.upgrade = nil
		var wg sync.WaitGroup
		var answers [visitors]*http.Response
		for i := range answers {
			c, form := try(i)
			wg.Go(func() { answers[i] = c.Post("/prove", form) })
		}
		wg.Wait()
		got := map[int]int{}
		for _, a := range answers {
			got[a.StatusCode]++
		}
		if got[http.StatusOK] != 1 || got[http.StatusGone] != visitors-1 {
			t.Errorf("%s: got %v, want one 200 and else 410", kind, got)
		}
	}
}

func secondHalf(t *testing.T, n *town) {
	for i, end := range []func(c *walkintest.Client, id uuid.UUID) error{
		func(c *walkintest.Client, _ uuid.UUID) error {
			n.want(c.Post("/out", nil), http.StatusSeeOther, "")
			return nil
		},
		func(_ *walkintest.Client, id uuid.UUID) error {
			return n.replicas[0].SignOutEverywhere(t.Context(), id)
		},
		func(_ *walkintest.Client, id uuid.UUID) error { return n.replicas[0].DeleteUser(t.Context(), id) },
	} {
		for _, start := range []string{"nobody", "a guest"} {
			c := n.browser()
			if start == "a guest" {
				c.Visit("/")
				n.act(c)
			}
			flow := text(t, c.Post("/bind", nil))
			key := "once:" + uuid.NewString()
			if err := n.stores[0].PutTicket(t.Context(), store.Ticket{Key: key, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			form := url.Values{"name": {fmt.Sprintf("half %d of %s", i, start)}, "ticket": {key}, "flow": {flow}}
			halves := [2]*walkintest.Client{c, copyOf(t, c, n.sites[1])}
			late := copyOf(t, c, n.sites[1])
			var wg sync.WaitGroup
			var answers [2]*http.Response
			for j, half := range halves {
				wg.Go(func() { answers[j] = half.On(n.sites[j]).Post("/prove", form) })
			}
			wg.Wait()
			var sessions [2]string
			for j, half := range halves {
				n.want(answers[j], http.StatusOK, "")
				sessions[j] = text(t, half.On(n.sites[j]).Fetch("/session"))
			}
			if sessions[0] != sessions[1] || sessions[0] == uuid.Nil.String() {
				t.Fatalf("%s: the halves got the sessions %v, want one", start, sessions)
			}
			id, _, _ := strings.Cut(text(t, c.Fetch("/")), " ")
			if err := end(c, uuid.MustParse(id)); err != nil {
				t.Fatal(err)
			}
			for _, again := range []*walkintest.Client{late, halves[1], c} {
				for _, site := range n.sites {
					n.want(again.On(site).Post("/prove", form), http.StatusGone, "")
				}
			}
			n.want(late.Post("/members", nil), http.StatusUnauthorized, "")
		}
	}
}

// copyOf returns another browser with the same cookies.
func copyOf(t *testing.T, c *walkintest.Client, site http.Handler) *walkintest.Client {
	t.Helper()
	other := walkintest.NewClient(t, site)
	for _, cookie := range c.Cookies() {
		other.SetCookie(cookie.Name, cookie.Value)
	}
	return other
}

func cameFrom(t *testing.T, n *town) {
	n.want(n.browser().Post("/prove", name("cora")), http.StatusOK, "")
	for _, way := range []string{"new to it", "cora"} { // an upgrade, and a merge
		c := n.browser()
		c.Visit("/")
		n.act(c)
		path := "/from/" + text(t, c.Fetch("/session"))
		elsewhere := c.On(n.sites[1])
		n.want(elsewhere.Fetch(path), http.StatusOK, "true")
		n.want(n.browser().Fetch(path), http.StatusOK, "false")
		for range 2 { // the second is a fresh proof
			n.want(c.Post("/prove", name(way)), http.StatusOK, "")
			n.want(elsewhere.Fetch(path), http.StatusOK, "true")
		}
		n.want(c.Post("/out", nil), http.StatusSeeOther, "")
		n.want(elsewhere.Fetch(path), http.StatusOK, "false")
		n.want(c.Post("/prove", name(way)), http.StatusOK, "")
		n.want(elsewhere.Fetch(path), http.StatusOK, "false")
	}
}

func hookFails(t *testing.T, n *town) {
	n.upgrade = func(context.Context, walkin.Change) error { return errors.New("the app says no") }
	c := n.browser()
	c.Visit("/")
	id := n.act(c)
	n.want(c.Post("/prove", name("ann")), http.StatusInternalServerError, "")
	n.stillAnonymous(c, id)
	n.upgrade = nil
	n.want(c.Post("/prove", name("ann")), http.StatusOK, "upgraded")
}

func hookPanics(t *testing.T, n *town) {
	n.upgrade = func(context.Context, walkin.Change) error { panic("the app has a bug") }
	c := n.browser()
	c.Visit("/")
	id := n.act(c)
	r := c.NewRequest(http.MethodPost, "/prove", strings.NewReader("name=ann"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.Carry(r)
	if _, err := c.Serve(r); err == nil || !strings.Contains(err.Error(), "the app has a bug") {
		t.Fatalf("got %v, want the panic", err)
	}
	n.stillAnonymous(c, id)
}

func mergeFails(t *testing.T, n *town) {
	owner := n.browser()
	n.want(owner.Post("/prove", name("ann")), http.StatusOK, "")
	guest := n.browser()
	guest.Visit("/")
	id := n.act(guest)
	n.merge = func(context.Context, walkin.Change) error { return errors.New("the app could not move it") }
	n.want(guest.Post("/prove", name("ann")), http.StatusInternalServerError, "")
	for _, site := range n.sites {
		n.want(guest.On(site).Post("/note", nil), http.StatusOK, id.String()+" anonymous=true")
	}
	if n.notesOf(id) != 3 {
		t.Errorf("got %d notes of the guest, want 3", n.notesOf(id))
	}
}

func merge(t *testing.T, n *town) {
	owner := n.browser()
	owner.Visit("/")
	id := n.act(owner)
	n.want(owner.Post("/prove", name("ann")), http.StatusOK, "upgraded")

	guest := n.browser()
	guest.Visit("/")
	guestID := n.act(guest)
	old := guest.Cookie(anonCookie)
	n.want(guest.On(n.sites[1]).Post("/prove", name("ann")), http.StatusOK, "merged")
	n.want(guest.Post("/members", nil), http.StatusOK, id.String())
	if n.notesOf(id) != 2 || n.notesOf(guestID) != 0 {
		t.Errorf("got %d and %d notes, want 2 of the owner and none of the guest", n.notesOf(id), n.notesOf(guestID))
	}
	n.isNobody(anonCookie, old)
	n.want(owner.Post("/members", nil), http.StatusOK, id.String()) // the owner's other session lives on
}

func signOut(t *testing.T, n *town) {
	c := n.browser()
	c.Visit("/")
	n.act(c)
	n.want(c.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	old := c.Cookie(permCookie)
	slow := c.On(n.impatient(n.stores[1]))
	late := stall(t, slow, navigation(slow, "/"))
	if len(late.Cookies()) != 1 {
		t.Fatalf("the stalled response renews nothing: %v", late.Cookies())
	}

	out := c.Post("/out", nil)
	n.want(out, http.StatusSeeOther, "")
	cleared := map[string]bool{}
	for _, cookie := range out.Cookies() {
		if cookie.MaxAge < 0 && cookie.Path == "/" && cookie.Secure && cookie.HttpOnly && cookie.SameSite == http.SameSiteLaxMode {
			cleared[cookie.Name] = true
		}
	}
	if !cleared[anonCookie] || !cleared[permCookie] {
		t.Errorf("got cookies %v, want both cleared with the attributes they were set with", out.Cookies())
	}
	c.Keep(late)
	n.isNobody(permCookie, old)
	n.isNobody(permCookie, c.Cookie(permCookie)) // the one of the late response
}

func signOutProvisional(t *testing.T, n *town) {
	c := n.browser()
	c.Visit("/")
	old := c.Cookie(anonCookie)
	r := c.NewRequest(http.MethodPost, "/out", nil)
	n.want(c.Do(r), http.StatusSeeOther, "")
	if len(c.Cookies()) > 0 {
		t.Errorf("the jar still holds %v", c.Cookies())
	}
	n.isNobody(anonCookie, old)
}

func resurrection(t *testing.T, n *town) {
	provisional := n.browser()
	provisional.Visit("/")
	before := provisional.Cookie(anonCookie)
	id := n.act(provisional)
	after := provisional.Cookie(anonCookie)
	if err := n.replicas[1].DeleteUser(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{before, after} {
		n.isNobody(anonCookie, token)
	}
	if _, err := n.stores[0].LockUser(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the deleted user: got %v, want ErrNotFound", err)
	}
}

func signOutEverywhere(t *testing.T, n *town) {
	c := n.browser()
	c.Visit("/")
	id := n.act(c)
	n.want(c.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	if err := n.replicas[1].SignOutEverywhere(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	n.isNobody(permCookie, c.Cookie(permCookie))
}

func appShell(t *testing.T, n *town) {
	c := n.browser()
	for range 6 {
		if r := c.Fetch("/"); len(r.Cookies()) > 0 {
			t.Fatalf("a fetch minted: %v", r.Cookies())
		}
	}
	id := n.act(c)
	for i := range 4 {
		n.want(c.On(n.sites[i%2]).Fetch("/"), http.StatusOK, id.String())
		n.want(c.On(n.sites[i%2]).Post("/note", nil), http.StatusOK, id.String())
	}
	if n.rows != 1 {
		t.Errorf("got %d rows, want 1", n.rows)
	}
}

func actThenOther(t *testing.T, n *town) {
	c := n.browser()
	c.Visit("/")
	n.want(c.On(n.sites[1]).Fetch("/"), http.StatusOK, "") // replica 1 learns: not stored yet
	id := n.act(c)
	n.want(c.On(n.sites[1]).Fetch("/"), http.StatusOK, id.String())
	n.want(c.On(n.sites[1]).Post("/note", nil), http.StatusOK, id.String())
}

// both sends requests of one browser to the two replicas at once.
func (n *town) both(c *walkintest.Client, requests [2]*http.Request) (answers [2]*http.Response) {
	var wg sync.WaitGroup
	for i, r := range requests {
		c.Carry(r)
		wg.Go(func() { answers[i], _ = c.On(n.sites[i]).Serve(r) })
	}
	wg.Wait()
	return answers
}

func post(c *walkintest.Client, path string, form url.Values) *http.Request {
	r := c.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// upgradeSignOut has a visitor who is not stored do both on two replicas.
func upgradeSignOut(t *testing.T, n *town) {
	for round := range 10 {
		c := n.browser()
		c.Visit("/")
		subject := fmt.Sprint("ann", round)
		answers := n.both(c, [2]*http.Request{post(c, "/prove", name(subject)), post(c, "/out", nil)})
		if got := text(t, answers[0]); answers[0].StatusCode == http.StatusOK {
			identity, err := n.stores[1].Identity(t.Context(), "test", subject)
			ok(t, err)
			user, err := n.stores[0].LockUser(t.Context(), identity.UserID)
			if err != nil || user.Anonymous {
				t.Errorf("round %d: %s, and then: got %+v, %v", round, got, user, err)
			}
			c.Keep(answers[0])
			n.want(c.Post("/members", nil), http.StatusOK, identity.UserID.String())
		} else if answers[0].StatusCode != http.StatusConflict {
			t.Errorf("round %d: got %d", round, answers[0].StatusCode)
		}
	}
}

// lateClick has two tabs prove two identities, at once and one after the other.
func lateClick(t *testing.T, n *town) {
	for round, kind := range []string{"provisional", "anonymous", "provisional", "anonymous"} {
		c := n.browser()
		c.Visit("/")
		if kind == "anonymous" {
			n.act(c)
		}
		old := c.Cookie(anonCookie)
		names := [2]url.Values{name(fmt.Sprint("ann", round)), name(fmt.Sprint("bea", round))}
		if round < 2 {
			status := [2]int{}
			for i, r := range n.both(c, [2]*http.Request{post(c, "/prove", names[0]), post(c, "/prove", names[1])}) {
				status[i] = r.StatusCode
			}
			if status != [2]int{http.StatusOK, http.StatusConflict} && status != [2]int{http.StatusConflict, http.StatusOK} {
				t.Errorf("%s, at once: got %v, want 200 and 409", kind, status)
			}
		} else {
			n.want(c.Post("/prove", names[0]), http.StatusOK, "upgraded")
		}
		for i, site := range n.sites {
			late := walkintest.NewClient(t, site)
			late.SetCookie(anonCookie, old)
			subject := fmt.Sprint("free", round, i)
			if r := late.Post("/prove", name(subject)); r.StatusCode != http.StatusConflict || len(r.Cookies()) > 0 {
				t.Errorf("%s, replica %d: got %d and %v, want 409 and no cookie", kind, i, r.StatusCode, r.Cookies())
			}
			_, err := n.stores[i].Identity(t.Context(), "test", subject)
			is(t, err, store.ErrNotFound)
		}
	}
}

// A meddledStore has something happen between the first look at an identity and what
// follows from it.
type meddledStore struct {
	store.Store
	meddle func()
}

func (s *meddledStore) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	identity, err := s.Store.Identity(ctx, provider, subject)
	if meddle := s.meddle; meddle != nil {
		s.meddle = nil
		meddle()
	}
	return identity, err
}

// identityMoves has Ann's identity be taken from her, on another replica, while it is
// being proven: she must not be signed in to by it any more.
func identityMoves(t *testing.T, n *town) {
	ann, bea := n.browser(), n.browser()
	n.want(bea.Post("/prove", name("bea")), http.StatusOK, "")
	n.want(ann.Post("/prove", name("ann")), http.StatusOK, "")
	id := func(c *walkintest.Client) uuid.UUID { return n.act(c) }
	annID, beaID := id(ann), id(bea)
	st := &meddledStore{Store: n.stores[0]}
	m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: st})
	ok(t, err)
	site := m.Handler(n.routes(m, st))
	for _, moved := range []bool{false, true} {
		for _, kind := range []string{"nobody", "provisional", "anonymous"} {
			subject := fmt.Sprint(kind, moved)
			ok(t, n.stores[1].CreateIdentity(t.Context(), store.Identity{Provider: "test", Subject: subject, UserID: annID, CreatedAt: time.Now()}))
			c := n.browser()
			if kind != "nobody" {
				c.Visit("/")
			}
			if kind == "anonymous" {
				n.act(c)
			}
			c = c.On(site)
			var meddled error
			st.meddle = func() {
				// A store with one writer makes this one wait until the proof is
				// through, and so there is nothing between.
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				if meddled = n.stores[1].DeleteIdentity(ctx, annID, "test", subject); meddled == nil && moved {
					meddled = n.stores[1].CreateIdentity(ctx, store.Identity{Provider: "test", Subject: subject, UserID: beaID, CreatedAt: time.Now()})
				}
			}
			n.want(c.Post("/prove", name(subject)), http.StatusOK, "")
			switch who := n.act(c); {
			case errors.Is(meddled, context.DeadlineExceeded):
				if who != annID {
					t.Errorf("%s: got %v, want Ann", subject, who)
				}
			case meddled != nil:
				t.Fatal(meddled)
			case who == annID:
				t.Errorf("%s: signed in to the account that the identity was taken from", subject)
			case moved && who != beaID:
				t.Errorf("%s: got %v, want Bea", subject, who)
			}
		}
	}
}

func readers(t *testing.T, n *town) {
	for range 50 {
		c := n.browser()
		c.Visit("/")
		c.Visit("/")
		c.On(n.sites[1]).Fetch("/")
		c.On(n.impatient(n.stores[0])).Visit("/") // a renewal of a provisional token
		id, _, _ := strings.Cut(text(t, c.Fetch("/")), " ")
		if _, err := n.stores[1].LockUser(t.Context(), uuid.MustParse(id)); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a reader's row: got %v, want ErrNotFound", err)
		}
	}
	if n.rows != 0 {
		t.Errorf("got %d rows, want none", n.rows)
	}
}
