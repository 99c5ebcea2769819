package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestMeaning holds what a driver's error means, no matter who got it: here a hook did.
func TestMeaning(t *testing.T) {
	const (
		app   = "the app's"
		down  = "down"
		other = "other"
	)
	s, _ := sqlite(t)(t).migrated(t)
	state := func(n uint16, state, text string) error {
		e := &mysql.MySQLError{Number: n, Message: text}
		copy(e.SQLState[:], state)
		return e
	}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"PostgreSQL: foreign key", pgError("23503"), app},
		{"PostgreSQL: not null", pgError("23502"), app},
		{"PostgreSQL: check", fmt.Errorf("app: %w", pgError("23514")), app},
		{"PostgreSQL: exclusion", pgError("23P01"), app},
		{"PostgreSQL: a trigger", pgError("P0001"), app},
		{"PostgreSQL: a value", pgError("22001"), app},
		{"PostgreSQL: a failed statement before", pgError("25P02"), app},
		{"PostgreSQL: no such table", pgError("42P01"), other},
		{"PostgreSQL: connection failure", pgError("08006"), down},
		{"PostgreSQL: shutdown", pgError("57P01"), down},
		{"PostgreSQL: starting up", pgError("57P03"), down},
		{"PostgreSQL: too many connections", pgError("53300"), down},
		{"PostgreSQL: a standby", pgError("25006"), down},
		{"PostgreSQL: a deadlock each time", pgError("40P01"), down},
		{"MySQL: foreign key", state(1451, "23000", "Cannot delete or update a parent row"), app},
		{"MySQL: not null", state(1048, "23000", "Column 'n' cannot be null"), app},
		{"MySQL: no default", state(1364, "HY000", "Field 'n' doesn't have a default value"), app},
		{"MySQL: check", state(3819, "HY000", "Check constraint 'n' is violated."), app},
		{"MariaDB: check", state(4025, "23000", "CONSTRAINT `n` failed for `notes`"), app},
		{"MySQL: a trigger", state(1644, "45000", "no"), app},
		{"MySQL: no such table", state(1146, "42S02", "Table 'notes' doesn't exist"), other},
		{"MySQL: gone away", state(2006, "HY000", "MySQL server has gone away"), down},
		{"MySQL: lost connection", state(2013, "HY000", "Lost connection to MySQL server during query"), down},
		{"MySQL: shutdown", state(1053, "08S01", "Server shutdown in progress"), down},
		{"MySQL: it only reads", state(1290, "HY000", "The MySQL server is running with the --read-only option"), down},
		{"MySQL: a deadlock each time", state(1213, "40001", "Deadlock found when trying to get lock"), down},
		{"MySQL: the driver's own", mysql.ErrInvalidConn, down},
		{"SQLite: constraint", errors.New("constraint failed: FOREIGN KEY constraint failed (787)"), app},
		{"SQLite: disk", errors.New("disk I/O error (10)"), down},
		{"database/sql: bad connection", driver.ErrBadConn, down},
		{"database/sql: connection done", sql.ErrConnDone, down},
		{"MariaDB: a deadlock for the next number", state(1467, "HY000", "Failed to read auto-increment value from storage engine"), down},
		{"a mail server's network", &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}, other},
		{"a mail server's name", &net.DNSError{Err: "no such host", Name: "mail.example", IsNotFound: true}, other},
		{"a mail server's network, cut off", fmt.Errorf("app: %w", io.ErrUnexpectedEOF), other},
		{"another site's network", &url.Error{Op: "Get", URL: "https://mail.example", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, other},
		{"another site's network, cut off", &url.Error{Op: "Post", URL: "https://mail.example", Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, other},
		{"another site's words", fmt.Errorf("app: %w", &url.Error{Op: "Get", URL: "https://mail.example", Err: errors.New("database is locked")}), other},
		{"the app's own time-out", context.DeadlineExceeded, other},
		{"the app's", errors.New("out of paper"), other},
		{"nothing there", sql.ErrNoRows, other},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := s.InTx(t.Context(), func(context.Context) error { return c.err })
			got := other
			switch {
			case errors.Is(err, store.ErrConstraint):
				got = app
			case errors.Is(err, store.ErrUnavailable):
				got = down
			}
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
	t.Run("a duplicate's value is not repeated", func(t *testing.T) {
		err := s.InTx(t.Context(), func(context.Context) error {
			return state(1062, "23000", "Duplicate entry 'ann@example.com' for key 'walkin_notes.name'")
		})
		if !errors.Is(err, store.ErrConstraint) || strings.Contains(err.Error(), "ann@") || !strings.Contains(err.Error(), "walkin_notes.name") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the app ended the transaction", func(t *testing.T) {
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			tx, _ := sqlstore.Tx(ctx)
			return tx.Commit()
		})
		if !errors.Is(err, store.ErrConstraint) {
			t.Errorf("got %v, want ErrConstraint", err)
		}
	})
	t.Run("the context ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.InTx(ctx, func(ctx context.Context) error {
			cancel()
			return ctx.Err()
		})
		if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want ErrUnavailable and context.Canceled", err)
		}
	})
}

// appErrors has an app forget one of its tables, in a hook, for the commit and for
// DeleteUser: it is told which, and no caller is told to try again.
func appErrors(t *testing.T, d database) {
	s, db := d.migrated(t)
	column := map[sqlstore.Dialect]string{
		sqlstore.SQLite: "blob", sqlstore.PostgreSQL: "uuid", sqlstore.MySQL: "binary(16)"}[d.dialect]
	later := " DEFERRABLE INITIALLY DEFERRED"
	if d.dialect == sqlstore.MySQL { // which looks at once
		later = ""
	}
	for _, table := range []string{
		"CREATE TABLE orders (user_id " + column + " NOT NULL, FOREIGN KEY (user_id) REFERENCES walkin_users (id))",
		"CREATE TABLE parents (n integer PRIMARY KEY)",
		"CREATE TABLE children (n integer NOT NULL, FOREIGN KEY (n) REFERENCES parents (n)" + later + ")",
	} {
		_, err := db.ExecContext(t.Context(), table)
		ok(t, err)
	}
	var hook func(ctx context.Context, tx *sql.Tx) error
	var told []walkin.Event
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s, Paths: walkin.Paths{Credentials: []string{"/prove"}},
		Hooks: walkin.Hooks{
			OnUpgrade: func(ctx context.Context, _ walkin.Change) error {
				tx, _ := sqlstore.Tx(ctx)
				if hook == nil {
					return nil
				}
				return hook(ctx, tx)
			},
		},
		OnEvent: func(_ context.Context, e walkin.Event) { told = append(told, e) },
	})
	ok(t, err)
	var who uuid.UUID
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		who = c.UserID
		var err error
		switch r.URL.Path {
		case "/prove":
			_, err = wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"})
		case "/delete":
			err = wk.DeleteUser(r.Context(), c.UserID)
		}
		if err != nil {
			wk.Refuse(w, r, err)
		}
	}))
	refused := func(what string, r *http.Response, status int, reason, names string) {
		t.Helper()
		last := told[len(told)-1]
		if r.StatusCode != status || (r.Header.Get("Retry-After") != "") != (status == 503) ||
			string(last.Reason) != reason || !strings.Contains(last.Err.Error(), names) {
			t.Errorf("%s: got %d, Retry-After %q and event %+v; want %d for %s that names %q",
				what, r.StatusCode, r.Header.Get("Retry-After"), last, status, reason, names)
		}
	}
	c := walkintest.NewClient(t, site)
	c.Post("/", nil)
	hook = func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, d.sql("INSERT INTO children VALUES (?)"), 7)
		return err
	}
	names := "children"
	if d.dialect == sqlstore.SQLite {
		names = "FOREIGN KEY" // it says no more
	}
	refused("a hook, or the commit", c.Post("/prove?name=ann", nil), 500, "constraint", names)
	hook = func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
		return err
	}
	refused("a hook's SQL", c.Post("/prove?name=ann", nil), 500, "internal", "nowhere")
	if suicide := suicides[d.dialect]; suicide != "" {
		hook = func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, suicide); err != nil {
				return fmt.Errorf("the app: %w", err)
			}
			_, err := tx.ExecContext(ctx, "SELECT 1")
			return err
		}
		refused("a hook whose connection is cut", c.Post("/prove?name=ann", nil), 503, "store_down", "")
	}
	hook = nil
	if r := c.Post("/prove?name=ann", nil); r.StatusCode != http.StatusOK {
		t.Fatalf("at last: got %d", r.StatusCode)
	}
	c.Post("/", nil)
	_, err = db.ExecContext(t.Context(), d.sql("INSERT INTO orders VALUES (?)"), d.bind(who))
	ok(t, err)
	if names == "children" {
		names = "orders"
	}
	refused("DeleteUser", c.Post("/delete", nil), 500, "constraint", names)
}

// A proxy is one in front of a database that can stop forwarding.
type proxy struct {
	addr string
	mu   sync.Mutex
	cond *sync.Cond
	stop bool
	open map[net.Conn]bool // to clients
}

func newProxy(t *testing.T, network, backend string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	p := &proxy{addr: l.Addr().String(), open: make(map[net.Conn]bool)}
	p.cond = sync.NewCond(&p.mu)
	t.Cleanup(func() { l.Close(); p.forward(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial(network, backend)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.open[in] = true
			p.mu.Unlock()
			go p.copy(in, out)
			go p.copy(out, in)
		}
	}()
	return p
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	defer p.forget(from)
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		for p.stop {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// cut breaks all connections to the database. New ones get through.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *proxy) forward(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = !yes
	p.cond.Broadcast()
}

// behind returns the database behind a proxy.
func (d database) behind(t *testing.T) (database, *proxy) {
	t.Helper()
	if d.dialect == sqlstore.MySQL {
		cfg, err := mysql.ParseDSN(d.dsn)
		ok(t, err)
		p := newProxy(t, cfg.Net, cfg.Addr)
		cfg.Net, cfg.Addr = "tcp", p.addr
		d.dsn = cfg.FormatDSN()
		return d, p
	}
	u, err := url.Parse(d.dsn)
	ok(t, err)
	network, backend := "tcp", u.Host
	q := u.Query()
	if dir := q.Get("host"); dir != "" { // a socket
		port := q.Get("port")
		if port == "" {
			port = "5432"
		}
		network, backend = "unix", dir+"/.s.PGSQL."+port
		q.Del("host")
		q.Del("port")
	}
	p := newProxy(t, network, backend)
	u.Host, u.RawQuery = p.addr, q.Encode()
	d.dsn = u.String()
	return d, p
}

// hangs has a network stop forwarding between the app and its database. Whatever
// is asked, it is answered, and when the network is back all goes on.
func hangs(t *testing.T, d database) {
	direct, _ := d.migrated(t)
	d, p := d.behind(t)
	s, _ := d.store(t)
	var inHook func()
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s, Paths: walkin.Paths{Credentials: []string{"/prove"}},
		NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}},
		Hooks: walkin.Hooks{
			OnUpgrade: func(context.Context, walkin.Change) error {
				if inHook != nil {
					inHook()
				}
				return nil
			},
		},
	})
	ok(t, err)
	sm := scs.New()
	sm.Store = s.Sessions()
	mux := http.NewServeMux()
	mux.Handle("GET /data", wk.LoadAndSave(sm)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		var err error
		switch r.URL.Path {
		case "/stop":
			p.forward(false)
			return
		case "/prove":
			_, err = wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"})
		case "/out":
			err = wk.SignOut(w, r)
		case "/ensure":
			_, err = wk.Ensure(w, r)
		case "/unlink":
			err = wk.Unlink(w, r, "test", "ann")
		case "/delete":
			err = wk.DeleteUser(r.Context(), c.UserID)
		case "/identities":
			_, err = wk.Identities(r.Context(), c.UserID)
		}
		if err != nil {
			wk.Refuse(w, r, err)
		}
	})
	site := wk.Handler(mux)
	member, reader := walkintest.NewClient(t, site), walkintest.NewClient(t, site)
	member.Post("/prove?name=ann", nil)
	reader.Post("/", nil)
	reader.Fetch("/data")

	var wg sync.WaitGroup
	answered := func(what string, c *walkintest.Client, r *http.Request, status int) {
		wg.Go(func() {
			c.Carry(r)
			answer := make(chan *http.Response, 1)
			go func() {
				a, _ := c.Serve(r)
				answer <- a
			}()
			select {
			case a := <-answer:
				if a.StatusCode != status {
					t.Errorf("%s: got %d, want %d", what, a.StatusCode, status)
				}
			case <-time.After(30 * time.Second): // the machine may be slow; the network is silent for ever
				t.Errorf("%s: got no answer", what)
			}
		})
	}
	p.forward(false)
	nobody := walkintest.NewClient(t, site)
	answered("Continue without a user", nobody, post(nobody, "/prove", url.Values{"name": {"new"}}), 503)
	answered("a page with session data", reader, reader.NewRequest(http.MethodGet, "/data", nil), 503)
	for _, path := range []string{"/out", "/ensure", "/unlink", "/delete", "/identities"} {
		answered(path, member, post(member, path, nil), 503)
	}
	wg.Wait()
	p.forward(true)
	// In the middle of a change, after which it is undone or done, and then works.
	inHook = func() { p.forward(false) }
	guest := walkintest.NewClient(t, site)
	answered("a change in the middle", guest, post(guest, "/prove", url.Values{"name": {"bea"}}), 503)
	wg.Wait()
	inHook = nil
	p.forward(true)
	if r := member.Post("/ensure", nil); r.StatusCode != http.StatusOK {
		t.Errorf("when the network is back: got %d", r.StatusCode)
	}
	if r := guest.Post("/prove?name=bea", nil); r.StatusCode != http.StatusOK {
		t.Errorf("the change again: got %d", r.StatusCode)
	}
	_, err = direct.Identity(t.Context(), "test", "bea")
	ok(t, err)
}
