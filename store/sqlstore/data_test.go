package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// sessionData holds what Store.Sessions promises.
func sessionData(t *testing.T, server server) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, database)
	}{
		{"finds what was committed until it expires", dataContract},
		{"a key that is no session ID is an error that says why", dataKeys},
		{"data goes with its session and its user", dataCascade},
		{"a session that has ended keeps nothing", dataOfTheEnded},
		{"a session that is ending keeps nothing", dataOfTheEnding},
		{"joins the transaction of its context", dataInTx},
		{"goes along with an upgrade or not at all", dataUpgrade},
		{"goes along with a merge or not at all", dataMerge},
		{"goes with a sign-out, here and everywhere", dataSignOut},
		{"hashed keys are refused and nothing is lost", dataHashed},
		{"a database of the version before gets the table", dataMigrate},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, server(t)) })
	}
}

// persisted stores a visitor and returns them and the key of their data.
func persisted(t *testing.T, s *sqlstore.Store) (store.Session, string) {
	t.Helper()
	user, session := visitor(time.Now())
	_, err := s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	return session, session.ID.String()
}

// wantData checks what is found under a key; nil is nothing.
func wantData(t *testing.T, data scs.CtxStore, key string, want []byte) {
	t.Helper()
	got, found, err := data.FindCtx(t.Context(), key)
	if err != nil || found != (want != nil) || !bytes.Equal(got, want) {
		t.Errorf("got %q, %t, %v; want %q", got, found, err, want)
	}
}

// wantRows checks how many rows there are, expired ones too.
func wantRows(t *testing.T, db *sql.DB, table string, want int) {
	t.Helper()
	var n int
	ok(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n))
	if n != want {
		t.Errorf("%s: got %d rows, want %d", table, n, want)
	}
}

const dataTable = "walkin_session_data"

func dataContract(t *testing.T, d database) {
	s, db := d.migrated(t)
	other, _ := d.store(t)
	data, replica := s.Sessions(), other.Sessions()
	_, key := persisted(t, s)
	_, second := persisted(t, s)
	soon := time.Now().Add(time.Hour)

	wantData(t, data, key, nil)
	ok(t, data.DeleteCtx(t.Context(), key)) // what is not there is no error
	for _, text := range [][]byte{[]byte("one"), []byte("two"), []byte("\x00\xff'\\ä"), {}, bytes.Repeat([]byte("long"), 1<<18)} {
		ok(t, data.CommitCtx(t.Context(), key, text, soon))
		wantData(t, data, key, text)
		wantData(t, replica, key, text)
	}
	ok(t, data.CommitCtx(t.Context(), key, nil, soon))
	wantData(t, data, key, []byte{})
	wantData(t, data, second, nil)
	wantRows(t, db, dataTable, 1)

	ok(t, data.CommitCtx(t.Context(), second, []byte("second"), soon))
	ok(t, data.DeleteCtx(t.Context(), key))
	wantData(t, data, key, nil)
	wantData(t, data, second, []byte("second"))

	ok(t, data.CommitCtx(t.Context(), second, []byte("old"), time.Now().Add(-time.Second)))
	wantData(t, data, second, nil)
	ok(t, data.CommitCtx(t.Context(), second, []byte("new"), soon)) // over what has expired
	wantData(t, data, second, []byte("new"))

	// Without a context, as scs's first stores.
	ok(t, data.Commit(key, []byte("plain"), soon))
	if b, found, err := data.Find(key); err != nil || !found || string(b) != "plain" {
		t.Errorf("Find: got %q, %t, %v", b, found, err)
	}
	ok(t, data.Delete(key))
	wantData(t, data, key, nil)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := data.FindCtx(gone, second)
	for name, err := range map[string]error{
		"FindCtx":   err,
		"CommitCtx": data.CommitCtx(gone, second, []byte("late"), soon),
		"DeleteCtx": data.DeleteCtx(gone, second),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: got %v, want context.Canceled", name, err)
		}
	}
	wantData(t, data, second, []byte("new"))

	// What expired goes with the sweep, though its session is alive.
	ok(t, data.CommitCtx(t.Context(), key, []byte("old"), time.Now().Add(-time.Second)))
	n, err := s.DeleteExpired(t.Context(), time.Now(), 10)
	ok(t, err)
	if n != 1 {
		t.Errorf("DeleteExpired: got %d, want the one", n)
	}
	wantRows(t, db, dataTable, 1)
	wantRows(t, db, "walkin_sessions", 2)
}

func dataKeys(t *testing.T, d database) {
	s, _ := d.migrated(t)
	data := s.Sessions()
	session, key := persisted(t, s)
	for _, bad := range []string{"", "x", strings.ToUpper(key), "{" + key + "}", strings.ReplaceAll(key, "-", ""),
		"urn:uuid:" + key, key + " ", "vJ0y0mZ8QFJkq3rYxjvq6mY5zZBvS4mvXnVb8Jt1k3A"} {
		if bad == key {
			continue
		}
		_, _, err := data.FindCtx(t.Context(), bad)
		for name, err := range map[string]error{
			"FindCtx":   err,
			"CommitCtx": data.CommitCtx(t.Context(), bad, []byte("x"), session.ExpiresAt),
			"DeleteCtx": data.DeleteCtx(t.Context(), bad),
		} {
			if err == nil || !strings.Contains(err.Error(), "HashTokenInStore") || len(bad) > 1 && strings.Contains(err.Error(), bad) {
				t.Errorf("%s(%q): got %v, want an error that names HashTokenInStore and not the key", name, bad, err)
			}
		}
	}
}

func dataCascade(t *testing.T, d database) {
	s, db := d.migrated(t)
	data := s.Sessions()
	now := time.Now()
	for _, c := range []struct {
		name string
		end  func(store.Session) error
	}{
		{"DeleteSession", func(session store.Session) error {
			return s.DeleteSession(t.Context(), session.UserID, session.ID)
		}},
		{"DeleteSessions", func(session store.Session) error {
			return s.DeleteSessions(t.Context(), session.UserID, uuid.Nil)
		}},
		{"DeleteUser", func(session store.Session) error {
			return s.DeleteUser(t.Context(), store.Tombstone{UserID: session.UserID, DeletedAt: now, ExpiresAt: now.Add(time.Hour)})
		}},
		{"DeleteInactive", func(session store.Session) error {
			return s.DeleteInactive(t.Context(), []store.User{{ID: session.UserID, Anonymous: true}})
		}},
		{"DeleteExpired", func(session store.Session) error {
			_, err := s.DeleteExpired(t.Context(), session.ExpiresAt.Add(time.Second), 10)
			return err
		}},
		{"DELETE of the user by hand", func(session store.Session) error {
			_, err := db.ExecContext(t.Context(), d.sql("DELETE FROM walkin_users WHERE id = ?"), d.bind(session.UserID))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			session, key := persisted(t, s)
			ok(t, data.CommitCtx(t.Context(), key, []byte("x"), now.Add(24*time.Hour)))
			wantRows(t, db, dataTable, 1)
			ok(t, c.end(session))
			wantRows(t, db, dataTable, 0)
		})
	}
}

func dataOfTheEnded(t *testing.T, d database) {
	s, db := d.migrated(t)
	session, key := persisted(t, s)
	ok(t, s.DeleteSession(t.Context(), session.UserID, session.ID))
	ok(t, s.Sessions().CommitCtx(t.Context(), key, []byte("late"), session.ExpiresAt))
	ok(t, s.Sessions().CommitCtx(t.Context(), uuid.New().String(), []byte("never"), session.ExpiresAt))
	wantRows(t, db, dataTable, 0)
	// Nor does it fail a transaction it is in.
	ok(t, s.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.Sessions().CommitCtx(ctx, key, []byte("late"), session.ExpiresAt); err != nil {
			return err
		}
		return s.SetAnonymous(ctx, session.UserID, false)
	}))
	wantRows(t, db, dataTable, 0)
}

// dataOfTheEnding has a session end in a transaction that has not committed
// while another connection saves its data, with and without some there already.
func dataOfTheEnding(t *testing.T, d database) {
	s, db := d.migrated(t)
	late, lateDB := d.store(t)
	save := func(ctx context.Context, key string, expiry time.Time) error {
		return late.Sessions().CommitCtx(ctx, key, []byte("late"), expiry)
	}
	saveInTx := func(ctx context.Context, key string, expiry time.Time) error { // the isolation is another
		return late.InTx(ctx, func(ctx context.Context) error { return save(ctx, key, expiry) })
	}
	for _, had := range []bool{false, true} {
		for i, undone := range []bool{false, true, false, true} {
			save := save
			if i > 1 {
				save = saveInTx
			}
			t.Run(fmt.Sprintf("had data %t, undone %t, in a transaction %t", had, undone, i > 1), func(t *testing.T) {
				session, key := persisted(t, s)
				if had {
					ok(t, s.Sessions().CommitCtx(t.Context(), key, []byte("early"), session.ExpiresAt))
				}
				errUndo := errors.New("undo")
				saved := make(chan error, 1)
				err := s.InTx(t.Context(), func(ctx context.Context) error {
					if err := s.DeleteSession(ctx, session.UserID, session.ID); err != nil {
						return err
					}
					go func() { saved <- save(t.Context(), key, session.ExpiresAt) }()
					tx, _ := sqlstore.Tx(ctx)
					d.waiting(t, tx, lateDB, saved)
					if undone {
						return errUndo
					}
					return nil
				})
				if undone != errors.Is(err, errUndo) {
					t.Fatal(err)
				}
				if err := <-saved; err != nil {
					t.Errorf("saving: got %v, want none", err)
				}
				if undone {
					wantData(t, s.Sessions(), key, []byte("late"))
					ok(t, s.DeleteSession(t.Context(), session.UserID, session.ID))
				}
				wantRows(t, db, dataTable, 0)
			})
		}
	}
}

// waiting returns when another connection waits for one of tx's locks, or has
// answered without.
func (d database) waiting(t *testing.T, tx *sql.Tx, other *sql.DB, saved <-chan error) {
	t.Helper()
	query := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "SELECT 'waiting', COUNT(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))",
		sqlstore.MySQL:      "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'",
	}[d.dialect]
	var name string
	for n := 0; n == 0 && len(saved) == 0; {
		if query == "" { // SQLite: the connection is at the file's lock, where it cannot be seen
			n = other.Stats().InUse
			runtime.Gosched()
			continue
		}
		if err := tx.QueryRowContext(t.Context(), query).Scan(&name, &n); err != nil {
			t.Error(err)
			return
		}
	}
}

func dataInTx(t *testing.T, d database) {
	s, db := d.migrated(t)
	data := s.Sessions()
	session, key := persisted(t, s)
	ok(t, data.CommitCtx(t.Context(), key, []byte("before"), session.ExpiresAt))
	errNo := errors.New("no")
	err := s.InTx(t.Context(), func(ctx context.Context) error {
		ok(t, data.CommitCtx(ctx, key, []byte("inside"), session.ExpiresAt))
		b, _, err := data.FindCtx(ctx, key)
		ok(t, err)
		if string(b) != "inside" {
			t.Errorf("inside: got %q", b)
		}
		if d.dialect != sqlstore.SQLite {
			wantData(t, data, key, []byte("before")) // outside
		}
		ok(t, data.DeleteCtx(ctx, key))
		return errNo
	})
	if !errors.Is(err, errNo) {
		t.Fatal(err)
	}
	wantData(t, data, key, []byte("before"))
	wantRows(t, db, dataTable, 1)
}

// A dataSite is a site of two replicas that keeps a word in the session.
type dataSite struct {
	*testing.T
	database
	db       *sql.DB // of the first
	dbs      [2]*sql.DB
	stores   [2]*sqlstore.Store
	replicas [2]*walkin.Middleware
	sites    [2]http.Handler
	who      walkin.Claims // of the last request
	word     string        // in its session
	hook     func() error
}

func newDataSite(t *testing.T, d database, hashed bool, changes ...func(*walkin.Config)) *dataSite {
	t.Helper()
	n := &dataSite{T: t, database: d, hook: func() error { return nil }}
	n.stores[0], n.dbs[0] = d.migrated(t)
	n.stores[1], n.dbs[1] = d.store(t)
	n.db = n.dbs[0]
	hook := func(context.Context, walkin.Change) error { return n.hook() }
	for i, store := range n.stores {
		cfg := walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
			Store: store, Hooks: walkin.Hooks{OnUpgrade: hook, OnMerge: hook}}
		for _, change := range changes {
			change(&cfg)
		}
		wk, err := walkin.New(cfg)
		ok(t, err)
		sm := scs.New()
		sm.Store, sm.HashTokenInStore = store.Sessions(), hashed
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("POST /put", func(_ http.ResponseWriter, r *http.Request) {
			sm.Put(r.Context(), "word", r.PostFormValue("word"))
		})
		mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
			if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.PostFormValue("name"), Method: "pwd"}); err != nil {
				wk.Refuse(w, r, err)
			}
		})
		mux.Handle("POST /out", wk.SignOutHandler())
		n.replicas[i] = wk
		n.sites[i] = wk.Handler(wk.LoadAndSave(sm)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.who, _ = walkin.FromContext(r.Context())
			n.word = sm.GetString(r.Context(), "word")
			mux.ServeHTTP(w, r)
		})))
	}
	return n
}

// visitor returns a browser of the first replica whose session has a word.
func (n *dataSite) visitor(word string) *walkintest.Client {
	n.Helper()
	c := walkintest.NewClient(n, n.sites[0])
	c.Visit("/")
	n.act(c, "/put", "word", word)
	return c
}

// act posts a form that must be taken.
func (n *dataSite) act(c *walkintest.Client, path, key, value string) {
	n.Helper()
	if r := c.Post(path, url.Values{key: {value}}); r.StatusCode >= 400 {
		n.Fatalf("%s: got status %d", path, r.StatusCode)
	}
}

// want checks on both replicas that the browser's session has the word, and
// that the rows are as many.
func (n *dataSite) want(c *walkintest.Client, word string, rows int) {
	n.Helper()
	for i, site := range n.sites {
		if c.On(site).Post("/", nil); n.word != word {
			n.Errorf("replica %d: got %q in the session, want %q", i, n.word, word)
		}
	}
	wantRows(n.T, n.db, dataTable, rows)
}

func dataUpgrade(t *testing.T, d database) {
	n := newDataSite(t, d, false)
	for i, site := range n.sites {
		word := fmt.Sprint("word ", i)
		c := n.visitor(word)
		n.want(c, word, i+1)
		old := n.who
		for _, hook := range []func() error{
			func() error { return errors.New("the app has second thoughts") },
			func() error { panic("the app is lost") },
		} {
			n.hook = hook
			r := c.On(site).NewRequest(http.MethodPost, "/prove?", strings.NewReader("name=x"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			c.Carry(r)
			if r, err := c.On(site).Serve(r); err == nil && r.StatusCode < 400 {
				t.Errorf("an upgrade that fails: got %d", r.StatusCode)
			}
			n.want(c, word, i+1)
			if n.who.SessionID != old.SessionID || !n.who.Anonymous {
				t.Errorf("after an upgrade that failed: got %v, want %v", n.who, old)
			}
		}
		n.hook = func() error { return nil }
		n.act(c.On(site), "/prove", "name", word)
		n.want(c, word, i+1)
		if n.who.SessionID == old.SessionID || n.who.UserID != old.UserID || n.who.Anonymous {
			t.Errorf("after the upgrade: got %v, was %v", n.who, old)
		}
		wantData(t, n.stores[0].Sessions(), old.SessionID.String(), nil)
	}
}

func dataMerge(t *testing.T, d database) {
	n := newDataSite(t, d, false)
	owner := n.visitor("the owner's")
	n.act(owner, "/prove", "name", "ann")
	guest := n.visitor("the guest's")
	n.want(owner, "the owner's", 2)
	ownerID := n.who.UserID

	n.hook = func() error { return errors.New("no") }
	if r := guest.Post("/prove", url.Values{"name": {"ann"}}); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("a merge that fails: got %d", r.StatusCode)
	}
	n.want(guest, "the guest's", 2)
	n.hook = func() error { return nil }
	n.act(guest.On(n.sites[1]), "/prove", "name", "ann")
	n.want(guest, "the guest's", 2)
	if n.who.UserID != ownerID {
		t.Errorf("got user %v, want the owner %v", n.who.UserID, ownerID)
	}
	n.want(owner, "the owner's", 2) // in their other browser
}

func dataSignOut(t *testing.T, d database) {
	n := newDataSite(t, d, false)
	stays := n.visitor("stays")
	one := n.visitor("one")
	n.act(one, "/prove", "name", "ann")
	n.want(one, "one", 2)
	id := n.who.UserID
	var others []*walkintest.Client
	for i := range 3 {
		c := walkintest.NewClient(t, n.sites[i%2])
		n.act(c, "/prove", "name", "ann")
		n.act(c, "/put", "word", fmt.Sprint("other ", i))
		others = append(others, c)
	}
	wantRows(t, n.db, dataTable, 5)

	n.act(one.On(n.sites[1]), "/out", "", "")
	wantRows(t, n.db, dataTable, 4)
	ok(t, n.replicas[0].SignOutEverywhere(t.Context(), id))
	wantRows(t, n.db, dataTable, 1)
	for _, c := range others {
		c.Post("/", nil)
		if n.word != "" || n.who.UserID != uuid.Nil {
			t.Errorf("after signing out everywhere: got %v with %q, want nobody", n.who.UserID, n.word)
		}
	}
	n.want(stays, "stays", 1)
	ok(t, n.replicas[0].DeleteUser(t.Context(), n.who.UserID))
	wantRows(t, n.db, dataTable, 0)
}

// dataHashed holds that a manager which is set up wrongly gets an error on the first
// request.
func dataHashed(t *testing.T, d database) {
	n := newDataSite(t, d, true)
	c := walkintest.NewClient(t, n.sites[0])
	if r := c.Post("/put", url.Values{"word": {"x"}}); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("got status %d, want 500", r.StatusCode)
	}
	wantRows(t, n.db, dataTable, 0)
}

func dataMigrate(t *testing.T, d database) {
	s, db := d.migrated(t)
	session, key := persisted(t, s)
	// As the version before left it.
	d.forgetsItself(t, db)
	for _, statement := range []string{"DROP TABLE walkin_session_data", "DROP TABLE walkin_limits", "DELETE FROM walkin_migrations WHERE version > 2"} {
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
	ok(t, s.Migrate(t.Context()))
	_, err := s.LookupSession(t.Context(), session.UserID, session.ID)
	ok(t, err)
	ok(t, s.Sessions().CommitCtx(t.Context(), key, []byte("x"), session.ExpiresAt))
	wantData(t, s.Sessions(), key, []byte("x"))
}
