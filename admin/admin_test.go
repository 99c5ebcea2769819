package admin_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/admin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// An office is a site with the screen.
type office struct {
	t        *testing.T
	store    *memstore.Store
	wk       *walkin.Middleware
	site     http.Handler
	counters admin.Counters
	operator *walkintest.Client
	id       uuid.UUID
	may      map[uuid.UUID]bool
	broken   error
	query    func(ctx context.Context, c walkin.Claims, query string) (admin.Table, error)
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, store: memstore.New(), may: make(map[uuid.UUID]bool)}
	is := func(_ context.Context, id uuid.UUID) (bool, error) { return o.may[id], o.broken }
	var err error
	o.wk, err = walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: o.store,
		Impersonation: walkin.Impersonation{IsOperator: is}, OnEvent: o.counters.OnEvent, Paths: walkin.Paths{Upgrade: "/prove"}})
	must(t, err)
	screen, err := admin.New(o.wk, admin.Config{Counters: &o.counters, Impersonate: true,
		Query: func(ctx context.Context, c walkin.Claims, query string) (admin.Table, error) {
			return o.query(ctx, c, query)
		},
		May: func(ctx context.Context, c walkin.Claims) (bool, error) { return is(ctx, c.UserID) },
		Events: func(_ context.Context, id uuid.UUID) ([]admin.Event, error) {
			return []admin.Event{{At: time.Now(), Text: "bought <i>apples</i>"}}, nil
		}})
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/admin/", screen)
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		_, err := o.wk.Continue(w, r, walkin.Proof{Provider: "email", Subject: r.PostFormValue("name"), Method: "otp"})
		if err != nil {
			o.wk.Refuse(w, r, err)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, c.UserID, " ", c.Actor)
	})
	o.site = o.wk.Handler(mux)
	o.operator, o.id = o.member("op@example.com")
	o.may[o.id] = true
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (o *office) member(name string) (*walkintest.Client, uuid.UUID) {
	o.t.Helper()
	c := walkintest.NewClient(o.t, o.site)
	c.Post("/prove", url.Values{"name": {name}})
	identity, err := o.store.Identity(o.t.Context(), "email", name)
	must(o.t, err)
	return c, identity.UserID
}

func (o *office) guest() (*walkintest.Client, uuid.UUID) {
	o.t.Helper()
	c := walkintest.NewClient(o.t, o.site)
	c.Visit("/")
	word, _, _ := strings.Cut(text(o.t, c.Post("/", nil)), " ")
	id, err := uuid.Parse(word)
	must(o.t, err)
	return c, id
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return string(b)
}

// TestWho holds that the screen opens for users whom the app lets in and for no one
// else.
func TestWho(t *testing.T) {
	o := newOffice(t)
	member, memberID := o.member("ann@example.com")
	guest, guestID := o.guest()
	o.may[guestID] = true // an app that mixes IDs up
	paths := []string{"/admin/", "/admin/users", "/admin/users.csv", "/admin/users/" + memberID.String(), "/admin/users/" + memberID.String() + "/export.json", "/admin/style.css", "/admin/query"}
	refused := func(name string, c *walkintest.Client) {
		t.Helper()
		for _, path := range paths {
			r := c.Fetch(path)
			if body := text(t, r); r.StatusCode != 401 && r.StatusCode != 403 || strings.Contains(body, "example.com") {
				t.Errorf("%s: %s: got %d %q", name, path, r.StatusCode, body)
			}
		}
		for _, action := range []string{"sign-out", "ban", "unban", "delete", "impersonate"} {
			r := c.Post("/admin/users/"+memberID.String()+"/"+action, url.Values{"sure": {"yes"}, "reason": {"x"}})
			if r.StatusCode != 401 && r.StatusCode != 403 {
				t.Errorf("%s: %s: got %d", name, action, r.StatusCode)
			}
		}
	}
	refused("a request without a user", walkintest.NewClient(t, o.site))
	refused("a guest", guest)
	refused("a member", member)
	o.broken = errors.New("the app's table is gone")
	refused("an operator, where the app does not know", o.operator)
	o.broken = nil
	for _, path := range paths {
		r := o.operator.Fetch(path)
		if r.StatusCode != http.StatusOK {
			t.Errorf("an operator: %s: got %d", path, r.StatusCode)
		}
		if csp := r.Header.Get("Content-Security-Policy"); csp == "" || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: got the policy %q", path, csp)
		}
		if cache := r.Header.Get("Cache-Control"); !strings.Contains(cache, "private") {
			t.Errorf("%s: got Cache-Control %q", path, cache)
		}
	}
	cross := o.operator.NewRequest(http.MethodPost, "/admin/users/"+memberID.String()+"/sign-out", nil)
	cross.Header.Set("Sec-Fetch-Site", "cross-site")
	cross.Header.Set("Origin", "https://evil.example")
	if r := o.operator.Do(cross); r.StatusCode != http.StatusForbidden {
		t.Errorf("another site's form: got %d", r.StatusCode)
	}
	if sessions, err := o.store.UserSessions(t.Context(), memberID); err != nil || len(sessions) != 1 {
		t.Errorf("got %d sessions of the member, %v; want theirs", len(sessions), err)
	}
}

// TestActions holds what the buttons do, and that none is for oneself.
func TestActions(t *testing.T) {
	o := newOffice(t)
	_, id := o.member("ann@example.com")
	do := func(id uuid.UUID, action string, form url.Values, status int) {
		t.Helper()
		if r := o.operator.Post("/admin/users/"+id.String()+"/"+action, form); r.StatusCode != status {
			t.Errorf("%s: got %d, want %d", action, r.StatusCode, status)
		}
	}
	do(id, "ban", url.Values{"reason": {"spam"}, "until": {"2999-01-01"}}, 303)
	u, err := o.store.LockUser(t.Context(), id)
	if err != nil || u.Ban.Reason != "spam" || u.Ban.Until.Year() != 2999 {
		t.Errorf("got %+v, %v", u.Ban, err)
	}
	if page := text(t, o.operator.Fetch("/admin/users/"+id.String())); !strings.Contains(page, "Lift the ban") || !strings.Contains(page, "spam") {
		t.Error("the page does not show the ban")
	}
	do(id, "ban", url.Values{"until": {"tomorrow"}}, 422)
	do(id, "unban", nil, 303)
	do(id, "sign-out", nil, 303)
	if sessions, _ := o.store.UserSessions(t.Context(), id); len(sessions) != 0 {
		t.Errorf("got %d sessions", len(sessions))
	}
	do(id, "delete", nil, 422)
	do(id, "delete", url.Values{"sure": {"yes"}}, 303)
	if page := text(t, o.operator.Fetch("/admin/users/"+id.String())); !strings.Contains(page, "Deleted on") {
		t.Error("the page does not say that the user is gone")
	}
	do(id, "nonsense", nil, 404)
	do(uuid.New(), "ban", nil, 404)
	for _, action := range []string{"ban", "sign-out", "delete", "unban"} {
		do(o.id, action, url.Values{"sure": {"yes"}}, 409)
	}
	_, guestID := o.guest()
	do(guestID, "impersonate", url.Values{"reason": {"ticket 7"}}, 303)
	if got := text(t, o.operator.Fetch("/")); got != guestID.String()+" "+o.id.String() {
		t.Errorf("got %q, want the guest and who looks", got)
	}
	if r := o.operator.Fetch("/admin/"); r.StatusCode != http.StatusForbidden {
		t.Errorf("the screen as the guest: got %d", r.StatusCode)
	}
	o.operator.Post("/.walkin/stop", nil)
	if r := o.operator.Fetch("/admin/"); r.StatusCode != http.StatusOK {
		t.Errorf("the screen afterwards: got %d", r.StatusCode)
	}
}

// TestHostile holds that what users wrote is text, in pages and in spreadsheets.
func TestHostile(t *testing.T) {
	o := newOffice(t)
	const name = `=cmd|'/c calc'!A1"><script>alert(1)</script>`
	_, id := o.member(name)
	must(t, o.wk.Ban(t.Context(), id, store.Ban{Reason: `<img src=x onerror=alert(2)>`}))
	for _, path := range []string{"/admin/users", "/admin/users?q=" + url.QueryEscape(name), "/admin/users/" + id.String(), "/admin/users?q=" + url.QueryEscape(`"><script>`)} {
		page := text(t, o.operator.Fetch(path))
		for _, bad := range []string{"<script", "<img", "<i>apples"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", path, bad)
			}
		}
	}
	rows, err := csv.NewReader(o.operator.Fetch("/admin/users.csv").Body).ReadAll()
	must(t, err)
	found := false
	for _, row := range rows {
		if row[0] == id.String() {
			found = strings.HasSuffix(row[5], name)
		}
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") {
				t.Errorf("a formula: %q", cell)
			}
		}
	}
	if !found || len(rows) != 3 {
		t.Errorf("got %d rows and found the user %t", len(rows), found)
	}
	for _, path := range []string{"/admin/users/x", "/admin/users/" + uuid.NewString(), "/admin/nothing"} {
		if r := o.operator.Fetch(path); r.StatusCode < 300 || r.StatusCode >= 500 {
			t.Errorf("%s: got %d", path, r.StatusCode)
		}
	}
}

// TestPages holds what the pages show, their size, and that a list goes on.
func TestPages(t *testing.T) {
	o := newOffice(t)
	now := time.Now()
	for i := range 130 {
		at := now.Add(-time.Duration(i) * 3 * time.Hour)
		id := store.FirstUserID(at)
		id[6], id[15] = 0x70, 1
		must(t, o.store.CreateUser(t.Context(), store.User{ID: id, Anonymous: true, CreatedAt: at, SeenAt: at}))
	}
	overview := text(t, o.operator.Fetch("/admin/"))
	for _, part := range []string{"130", "<svg", "<table>", "email", "got an account", "no_such", "in this process"} {
		if part != "no_such" && !strings.Contains(overview, part) {
			t.Errorf("the overview lacks %q", part)
		}
	}
	seen, next := 0, "/admin/users?kind=anonymous"
	for next != "" && seen < 200 {
		page := text(t, o.operator.Fetch(next))
		if len(page) > 40<<10 {
			t.Errorf("a page of %d bytes", len(page))
		}
		seen += strings.Count(page, `<th scope="row">`)
		_, rest, more := strings.Cut(page, `class="more" href="`)
		next, _, _ = strings.Cut(rest, `"`)
		if next = strings.ReplaceAll(next, "&amp;", "&"); !more {
			next = ""
		}
	}
	if seen != 130 {
		t.Errorf("got %d users on all pages, want 130", seen)
	}
	if r := o.operator.Fetch("/admin/users?q=" + o.id.String()); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/admin/users/"+o.id.String() {
		t.Errorf("an ID: got %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	if page := text(t, o.operator.Fetch("/admin/users?q=OP@example")); !strings.Contains(page, o.id.String()) {
		t.Error("an address in other letters is not found")
	}
	if n := len(overview) + len(text(t, o.operator.Fetch("/admin/style.css"))); n > 40<<10 {
		t.Errorf("the overview and its style have %d bytes", n)
	}
}

func TestNew(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New()})
	must(t, err)
	may := func(context.Context, walkin.Claims) (bool, error) { return true, nil }
	for name, c := range map[string]struct {
		wk  *walkin.Middleware
		cfg admin.Config
	}{
		"no middleware": {nil, admin.Config{May: may}}, "no May": {wk, admin.Config{}}, "no path": {wk, admin.Config{May: may, Path: "admin"}},
		"a pattern": {wk, admin.Config{May: may, Path: "/{x}"}},
	} {
		if s, err := admin.New(c.wk, c.cfg); err == nil || s != nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
