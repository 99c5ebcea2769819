package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

var (
	loadFor = flag.Duration("load", 2*time.Second, "how long a database is under mixed load")
	rounds  = flag.Int("rounds", 20, "how often an upgrade and a sign-out race")
)

// A pair is one site on two replicas, each with a pool of its own.
type pair struct {
	stores [2]*sqlstore.Store
	sites  [2]http.Handler
	db     *sql.DB

	mu     sync.Mutex
	events map[string]int
	errs   []error // of what was answered with 500 or 503
}

// newPair has the app's notes refer to the users, and move with a merge.
func newPair(t *testing.T, d database) *pair {
	t.Helper()
	p := &pair{events: make(map[string]int)}
	for i := range p.sites {
		s, db := d.migrated(t)
		if i == 0 {
			createNotes(t, d, db)
			p.db = db
		}
		cfg := loadConfig(d, s)
		cfg.OnEvent = func(_ context.Context, e walkin.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events[strings.TrimSuffix(string(e.Outcome)+":"+string(e.Reason), ":")]++
			if e.Err != nil && (e.Reason == "store_down" || e.Reason == "internal" || e.Reason == "constraint") {
				p.errs = append(p.errs, e.Err)
			}
		}
		wk, err := walkin.New(cfg)
		ok(t, err)
		if i == 0 && d.dialect != sqlstore.SQLite { // the other one does without; this test asks SQLite by pools that wait for no writer
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			var wg sync.WaitGroup
			wg.Go(func() { _ = wk.RunFeed(ctx) })
			t.Cleanup(func() { cancel(); wg.Wait() })
		}
		p.stores[i], p.sites[i] = s, wk.Handler(loadSite(wk, d, db))
	}
	return p
}

// loadConfig is that of a site whose notes refer to the users, and move with a merge.
func loadConfig(d database, s *sqlstore.Store) walkin.Config {
	return walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}}, Paths: walkin.Paths{Credentials: []string{"/prove", "/out"}},
		Hooks: walkin.Hooks{
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				tx, _ := sqlstore.Tx(ctx)
				_, err := tx.ExecContext(ctx, d.sql("UPDATE notes SET user_id = ? WHERE user_id = ?"), d.bind(c.UserID), d.bind(c.AnonymousID))
				return err
			},
		},
	}
}

// loadSite is what its visitors can do.
func loadSite(wk *walkin.Middleware, d database, db *sql.DB) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, c.UserID)
	})
	mux.Handle("POST /note", wk.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		n, _ := strconv.Atoi(r.FormValue("n"))
		if _, err := db.ExecContext(r.Context(), d.sql("INSERT INTO notes VALUES (?, ?)"), n, d.bind(c.UserID)); err != nil {
			http.Error(w, "merged or deleted at this moment", http.StatusGone)
			return
		}
		fmt.Fprint(w, c.UserID)
	})))
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		outcome, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"})
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, outcome, " ", c.UserID)
	})
	mux.HandleFunc("POST /unlink", func(w http.ResponseWriter, r *http.Request) {
		if err := wk.Unlink(w, r, "test", r.FormValue("name")); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.HandleFunc("POST /delete", func(w http.ResponseWriter, r *http.Request) {
		c, is := walkin.FromContext(r.Context())
		if !is {
			return
		}
		if err := errors.Join(wk.DeleteUser(r.Context(), c.UserID), wk.SignOut(w, r)); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.HandleFunc("POST /everywhere", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		if err := wk.SignOutEverywhere(r.Context(), c.UserID); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.Handle("POST /out", wk.SignOutHandler())
	return mux
}

// both sends requests of one browser to the two replicas at the same moment, and
// returns the answers; the browser keeps neither.
func (p *pair) both(c *walkintest.Client, requests ...*http.Request) []*http.Response {
	answers := make([]*http.Response, len(requests))
	for _, r := range requests {
		c.Carry(r)
	}
	first := rand.IntN(2)
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() { answers[i], _ = c.On(p.sites[(first+i)%2]).Serve(r) })
	}
	wg.Wait()
	return answers
}

func post(c *walkintest.Client, path string, form url.Values) *http.Request {
	r := c.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// upgradeRacesSignOut has a visitor without a row upgrade on one replica and sign
// out on the other. Whatever comes first, what was answered with success is there.
func upgradeRacesSignOut(t *testing.T, d database) {
	p := newPair(t, d)
	upgraded := 0
	for round := range *rounds {
		c := walkintest.NewClient(t, p.sites[0])
		page := c.Do(navigation(c, "/"))
		page.Body.Close()
		subject := fmt.Sprint("ann", round)
		answers := p.both(c, post(c, "/prove", url.Values{"name": {subject}}), post(c, "/out", nil))
		text, err := io.ReadAll(answers[0].Body)
		ok(t, err)
		if answers[1].StatusCode != http.StatusSeeOther {
			t.Errorf("round %d: the sign-out: got %d", round, answers[1].StatusCode)
		}
		id, found := strings.CutPrefix(string(text), "upgraded ")
		switch {
		case answers[0].StatusCode == http.StatusConflict || answers[0].StatusCode == http.StatusUnauthorized:
			continue
		case answers[0].StatusCode != http.StatusOK:
			t.Fatalf("round %d: got %d %q", round, answers[0].StatusCode, text)
		case !found: // the sign-out came before, and they have a new account
			_, id, _ = strings.Cut(string(text), " ")
		default:
			upgraded++
		}
		user, err := p.stores[1].LockUser(t.Context(), uuid.MustParse(id))
		if err != nil || user.Anonymous {
			t.Errorf("round %d: %q: the account: got %+v, %v", round, text, user, err)
		}
		identity, err := p.stores[0].Identity(t.Context(), "test", subject)
		if err != nil || identity.UserID != user.ID {
			t.Errorf("round %d: %q: the identity: got %+v, %v", round, text, identity, err)
		}
		c.Keep(answers[0])
		if r := c.Post("/note", nil); r.StatusCode != http.StatusOK {
			t.Errorf("round %d: %q: the new token: got %d", round, text, r.StatusCode)
		}
	}
	t.Logf("%d of %d upgraded", upgraded, *rounds)
	if upgraded == 0 {
		t.Error("the sign-out was first each time")
	}
}

func navigation(c *walkintest.Client, path string) *http.Request {
	r := c.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html")
	return r
}

// deadlocks returns how many the server has counted.
func (d database) deadlocks(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	ok(t, db.QueryRowContext(t.Context(), map[sqlstore.Dialect]string{
		sqlstore.SQLite:     "SELECT 0",
		sqlstore.PostgreSQL: "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
		sqlstore.MySQL:      "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'",
	}[d.dialect]).Scan(&n))
	return n
}

// mixedLoad has eight browsers do everything at once, each of them often twice at the
// same moment. No request is answered with an error of ours, and no two of our
// transactions lock each other out. InnoDB leaves one case: three requests store one
// visitor in the same millisecond, one of them is rolled back, and the other two
// deadlock. So there it may happen once in a thousand of these requests.
func mixedLoad(t *testing.T, d database) {
	p := newPair(t, d)
	before := d.deadlocks(t, p.db)
	until := time.Now().Add(*loadFor)
	var mu sync.Mutex
	var worst time.Duration
	status := make(map[int]int)
	total := 0
	took := func(what string, since time.Time, answers ...*http.Response) {
		mu.Lock()
		defer mu.Unlock()
		worst = max(worst, time.Since(since))
		for _, r := range answers {
			total++
			status[r.StatusCode]++
			if r.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s: got %d", what, r.StatusCode)
			}
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(until) {
				c := walkintest.NewClient(t, p.sites[rand.IntN(2)])
				c.Keep(c.Do(navigation(c, "/")))
				for range 1 + rand.IntN(6) {
					path := []string{"/note", "/note", "/prove", "/prove", "/out", "/delete", "/unlink", "/everywhere"}[rand.IntN(8)]
					form := url.Values{"name": {fmt.Sprint("name", rand.IntN(30))}}
					requests := []*http.Request{post(c, path, form)}
					for range rand.IntN(3) {
						other := []string{path, "/note", "/prove", "/out"}[rand.IntN(4)]
						requests = append(requests, post(c, other, form))
					}
					start := time.Now()
					answers := p.both(c, requests...)
					took(path, start, answers...)
					for _, r := range answers {
						c.Keep(r)
					}
				}
			}
		})
	}
	wg.Wait()
	n := d.deadlocks(t, p.db) - before
	if n > 0 {
		t.Log(d.lastDeadlock(t, p.db))
	}
	t.Logf("%d requests, the slowest %v, statuses %v, events %v, %d deadlocks", total, worst, status, p.events, n)
	most := 0
	if d.dialect == sqlstore.MySQL {
		most = 1 + total/1000
	}
	if n > most {
		t.Errorf("got %d deadlocks, want at most %d; the last one: %s", n, most, d.lastDeadlock(t, p.db))
	}
	for _, err := range p.errs {
		t.Error(err)
	}
}

// lastDeadlock returns what the server says of the last one.
func (d database) lastDeadlock(t *testing.T, db *sql.DB) (text string) {
	t.Helper()
	if d.dialect == sqlstore.MySQL {
		var kind, name string
		ok(t, db.QueryRowContext(t.Context(), "SHOW ENGINE INNODB STATUS").Scan(&kind, &name, &text))
		if _, rest, found := strings.Cut(text, "LATEST DETECTED DEADLOCK"); found {
			text, _, _ = strings.Cut(rest, "WE ROLL BACK")
		}
	}
	return text
}
