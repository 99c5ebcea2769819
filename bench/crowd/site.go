package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/challenge"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	_ "modernc.org/sqlite"
)

// A site is a small one behind a proxy, as an operator would set it up: all limits are
// walkin's defaults. Notes belong to user IDs.
type site struct {
	db       *sql.DB
	reader   *sql.DB
	server   *http.Server
	handler  http.Handler
	base     string
	client   *http.Client // from the address of the proxy that the site trusts
	stranger *http.Client // from another one
	began    time.Time
	until    time.Time // when robots go home
	pushy    int       // requests that each crowd of them has under way

	crowds []*crowd
	byName sync.Map // of name to *crowd: a request that its client gave up may be late

	mu    sync.Mutex
	rowOf map[uuid.UUID]*crowd // who made a user's row
	gone  map[uuid.UUID]bool   // anonymous users who were merged into members
}

const (
	exports   = 3  // an anonymous user's
	downloads = 10 // a network's
)

// crowdHeader says which crowd a request is of, for the tally alone.
const crowdHeader = "X-Crowd"

type crowdKey struct{}

func crowdOf(ctx context.Context) *crowd {
	c, _ := ctx.Value(crowdKey{}).(*crowd)
	return c
}

func newSite(ctx context.Context, dir string) (*site, error) {
	s := &site{rowOf: map[uuid.UUID]*crowd{}, gone: map[uuid.UUID]bool{}, began: time.Now(),
		client: newClient("127.0.0.1"), stranger: newClient("127.0.0.2")}
	dsn := "file:" + filepath.Join(dir, "crowd.db") +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(NORMAL)&_txlock=immediate"
	var err error
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	s.db.SetMaxOpenConns(1)
	if s.reader, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: s.db, Reader: s.reader})
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	if _, err := s.db.ExecContext(ctx, `CREATE TABLE notes (user_id BLOB NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE, text TEXT NOT NULL)`); err != nil {
		return nil, err
	}
	if err := s.build(ledger{store}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.base = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func newClient(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DialContext: dialer.DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *site) close() {
	s.client.CloseIdleConnections()
	s.stranger.CloseIdleConnections()
	_ = s.server.Close()
	_, _ = s.db.Close(), s.reader.Close()
}

// A ledger counts the tickets that a crowd makes.
type ledger struct{ *sqlstore.Store }

func (l ledger) PutTicket(ctx context.Context, t store.Ticket) error {
	err := l.Store.PutTicket(ctx, t)
	if c := crowdOf(ctx); c != nil && err == nil {
		c.ticket()
	}
	return err
}

func (l ledger) AddTicket(ctx context.Context, t store.Ticket, now time.Time) (bool, error) {
	added, err := l.Store.AddTicket(ctx, t, now)
	if c := crowdOf(ctx); c != nil && added {
		c.ticket()
	}
	return added, err
}

func (s *site) build(store store.Store) error {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	wk, err := walkin.New(walkin.Config{
		Keys:    []walkin.Key{{Secret: secret}},
		Store:   store,
		Cookies: walkin.Cookies{Insecure: true},
		Proxies: walkin.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Paths:   walkin.Paths{Upgrade: "/signup", SignIn: "/signin"},
		Hooks: walkin.Hooks{
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				tx, ok := sqlstore.Tx(ctx)
				if !ok {
					return errors.New("a merge without a transaction")
				}
				_, err := tx.ExecContext(ctx, `UPDATE notes SET user_id = ? WHERE user_id = ?`, c.UserID[:], c.AnonymousID[:])
				return err
			},
		},
		OnEvent: s.event,
	})
	if err != nil {
		return err
	}
	gate, err := challenge.New(wk, challenge.Config{})
	if err != nil {
		return err
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		return err
	}
	export, err := quota.New(wk, quota.Config{Name: "export", Limit: exports, UpgradeURL: "/signup"})
	if err != nil {
		return err
	}
	download, err := quota.New(wk, quota.Config{Name: "download", Limit: 3,
		By: quota.PerUser | quota.PerNetwork, NetworkLimit: downloads, UpgradeURL: "/signup"})
	if err != nil {
		return err
	}

	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintln(w, "<!doctype html><title>Notes</title><h1>Notes</h1>")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", page)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=600") })
	mux.HandleFunc("GET /notes", s.showNotes)
	mux.HandleFunc("POST /notes", s.addNote)
	mux.Handle("POST /export", export.Require()(http.HandlerFunc(page)))
	mux.Handle("POST /download", download.Require()(http.HandlerFunc(page)))
	mux.Handle("GET /members", wk.RequirePermanent()(http.HandlerFunc(page)))
	mux.Handle("/signup", wk.UpgradeHandler(passwords, nil))
	mux.Handle("/signin", wk.SignInHandler(passwords, nil))
	mux.Handle("POST /signout", wk.SignOutHandler())

	outside := http.NewServeMux()
	outside.Handle("/challenge/", gate)
	outside.Handle("/", wk.Handler(http.NewCrossOriginProtection().Handler(mux)))
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := s.byName.Load(r.Header.Get(crowdHeader))
		who, _ := c.(*crowd) // nil for a request of no crowd
		outside.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), crowdKey{}, who)))
	})
	return nil
}

// kept is what the site knows of a visitor.
type kept struct {
	ID        uuid.UUID
	Anonymous bool
	Notes     []string
}

func (s *site) showNotes(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	notes, err := s.notesOf(r.Context(), c.UserID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(kept{c.UserID, c.Anonymous, notes})
}

func (s *site) notesOf(ctx context.Context, id uuid.UUID) ([]string, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT text FROM notes WHERE user_id = ? ORDER BY text`, id[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var notes []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		notes = append(notes, text)
	}
	return notes, rows.Err()
}

// stored returns what the database has of a user, and whose a name is.
func (s *site) stored(ctx context.Context, id uuid.UUID, name string) (k kept, owner uuid.UUID, err error) {
	k.ID = id
	if err := s.reader.QueryRowContext(ctx, `SELECT anonymous FROM walkin_users WHERE id = ?`, id[:]).Scan(&k.Anonymous); errors.Is(err, sql.ErrNoRows) {
		return kept{}, uuid.Nil, nil
	} else if err != nil {
		return kept{}, uuid.Nil, err
	}
	if k.Notes, err = s.notesOf(ctx, id); err != nil {
		return kept{}, uuid.Nil, err
	}
	var b []byte
	err = s.reader.QueryRowContext(ctx, `SELECT user_id FROM walkin_identities WHERE provider = ? AND subject = ?`, password.Provider, name).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return k, uuid.Nil, nil
	} else if err != nil {
		return k, uuid.Nil, err
	}
	owner, err = uuid.FromBytes(b)
	return k, owner, err
}

func (s *site) addNote(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		http.Error(w, "a note of no user", http.StatusUnauthorized)
		return
	}
	if _, err := s.db.ExecContext(r.Context(), `INSERT INTO notes (user_id, text) VALUES (?, ?)`, c.UserID[:], r.PostFormValue("text")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
