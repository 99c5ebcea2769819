package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/store/storetest"
)

func TestSQLite(t *testing.T)     { testServer(t, sqlite(t)) }
func TestPostgreSQL(t *testing.T) { testServer(t, postgres(t)) }
func TestMariaDB(t *testing.T)    { testServer(t, mariadb(t)) }

func runStore(t *testing.T, server server) {
	storetest.Run(t, func(t *testing.T) func(*testing.T) store.Store {
		d := server(t)
		return func(t *testing.T) store.Store {
			s, _ := d.migrated(t)
			return s
		}
	})
}

// testServer runs the public suite and what is sqlstore's own.
func testServer(t *testing.T, server server) {
	runStore(t, server)
	t.Run("eight replicas migrate together", func(t *testing.T) { migrateTogether(t, server(t)) })
	t.Run("a hook moves its rows in the transaction", func(t *testing.T) { moveNotes(t, server(t)) })
	t.Run("two stores do not mix their transactions", func(t *testing.T) { twoStores(t, server(t), server(t)) })
	t.Run("a row that cannot go keeps no other from the sweep", func(t *testing.T) { sweepStuck(t, server(t)) })
	t.Run("nothing of a deleted user stays but their ID", func(t *testing.T) { forgotten(t, server(t)) })
	t.Run("users who were lost in a restore go on, and are back with the right rows", func(t *testing.T) { restored(t, server(t)) })
	t.Run("the wrong database counts as down until it adopts", func(t *testing.T) { otherDatabase(t, server(t), server(t)) })
	t.Run("who is deleted by SQL does not come back", func(t *testing.T) { buriedBySQL(t, server(t)) })
	t.Run("a database is as old as its oldest user", func(t *testing.T) { oldUsers(t, server(t)) })
	t.Run("session data", func(t *testing.T) { sessionData(t, server) })
	t.Run("limits", func(t *testing.T) { limits(t, server) })
	t.Run("readers write nothing", func(t *testing.T) { readersWriteNothing(t, server(t)) })
	t.Run("settings of the driver change nothing", func(t *testing.T) { driverSettings(t, server) })
	if d := server(t); d.dialect != sqlstore.SQLite { // which has no server
		t.Run("a connection that breaks undoes its transaction", func(t *testing.T) { brokenConnection(t, d) })
		t.Run("a network that stops forwarding keeps nobody waiting", func(t *testing.T) { hangs(t, server(t)) })
	}
	t.Run("a mistake of the app's is its own, and named", func(t *testing.T) { appErrors(t, server(t)) })
	t.Run("an upgrade that races a sign-out loses nothing", func(t *testing.T) { upgradeRacesSignOut(t, server(t)) })
	t.Run("mixed load: no error and no deadlock", func(t *testing.T) { mixedLoad(t, server(t)) })
	t.Run("chaos", func(t *testing.T) { chaos(t, server(t)) })
	t.Run("a process killed at any step leaves nothing half done", func(t *testing.T) { crashes(t, server(t)) })
}

// TestPgxpool has the store over the pools of apps that use pgx itself, down to
// one connection: a call that took a second one, beside that of its transaction,
// would wait for itself.
func TestPgxpool(t *testing.T) {
	server := postgres(t)
	for _, conns := range []int32{1, 2} {
		pooled := func(t testing.TB) database {
			d := server(t)
			d.pgxpool = conns
			return d
		}
		t.Run(fmt.Sprint(conns), func(t *testing.T) {
			if conns == 1 {
				runStore(t, pooled)
			}
			t.Run("a hook moves its rows in the transaction", func(t *testing.T) { moveNotes(t, pooled(t)) })
			t.Run("goes along with an upgrade or not at all", func(t *testing.T) { dataUpgrade(t, pooled(t)) })
			t.Run("goes along with a merge or not at all", func(t *testing.T) { dataMerge(t, pooled(t)) })
			t.Run("goes with a sign-out, here and everywhere", func(t *testing.T) { dataSignOut(t, pooled(t)) })
		})
	}
}

func TestNew(t *testing.T) {
	db := sqlite(t)(t).pool(t)
	many := sqlite(t)(t).pool(t)
	many.SetMaxOpenConns(2)
	for _, c := range []struct {
		name string
		cfg  sqlstore.Config
		want []string // part of the error, one for each mistake; none for none
	}{
		{"nothing", sqlstore.Config{}, []string{"Config.Dialect", "Config.DB is nil"}},
		{"no such dialect", sqlstore.Config{Dialect: 9, DB: db}, []string{"Config.Dialect"}},
		{"no pool", sqlstore.Config{Dialect: sqlstore.MySQL}, []string{"Config.DB is nil"}},
		{"several writers on SQLite", sqlstore.Config{Dialect: sqlstore.SQLite, DB: many}, nil},
		{"one writer on SQLite", sqlstore.Config{Dialect: sqlstore.SQLite, DB: db, Reader: many}, nil},
		{"several elsewhere", sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: many}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := sqlstore.New(c.cfg)
			if (err == nil) != (len(c.want) == 0) || (s == nil) != (err != nil) {
				t.Fatalf("got %v, %v; want mistakes %q", s, err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func visitor(at time.Time) (store.User, store.Session) {
	user := store.User{ID: uuid.Must(uuid.NewV7()), Anonymous: true, CreatedAt: at, SeenAt: at}
	return user, store.Session{ID: uuid.New(), UserID: user.ID, CreatedAt: at, RenewedAt: at, ExpiresAt: at.Add(time.Hour)}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// twoStores has two stores over two databases: a transaction of the one is none
// of the other, and Tx is the inner one's.
func twoStores(t *testing.T, one, two database) {
	a, _ := one.migrated(t)
	b, _ := two.migrated(t)
	user, session := visitor(time.Now())
	_, err := b.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	errNo := errors.New("no")
	err = a.InTx(t.Context(), func(ctx context.Context) error {
		outer, _ := sqlstore.Tx(ctx)
		ok(t, b.InTx(ctx, func(ctx context.Context) error {
			if inner, is := sqlstore.Tx(ctx); !is || inner == outer {
				t.Error("Tx is not the inner store's transaction")
			}
			if _, err := a.LockUser(ctx, user.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the outer store's user: got %v, want ErrNotFound", err)
			}
			return b.SetAnonymous(ctx, user.ID, false)
		}))
		return errNo
	})
	if !errors.Is(err, errNo) {
		t.Fatalf("got %v, want the error of the outer function", err)
	}
	got, err := b.LockUser(t.Context(), user.ID)
	ok(t, err)
	if got.Anonymous {
		t.Error("the outer transaction undid what the other store had committed")
	}
	if _, is := sqlstore.Tx(t.Context()); is {
		t.Error("there is a transaction outside of one")
	}
}

// driverSettings holds that the app may set up its driver as it likes: times
// and IDs are the same to replicas that do it in different ways.
func driverSettings(t *testing.T, server server) {
	settings := map[sqlstore.Dialect][]string{
		sqlstore.SQLite: {"_time_format=sqlite", "_inttotime=1"},
		sqlstore.PostgreSQL: {"timezone=Asia/Tokyo", "default_query_exec_mode=simple_protocol", "default_query_exec_mode=exec",
			"default_transaction_isolation=serializable",
			"bytea_output=escape", "bytea_output=escape&default_query_exec_mode=simple_protocol",
			"datestyle=German&default_query_exec_mode=simple_protocol", "datestyle=SQL,DMY&timezone=Asia/Tokyo&default_query_exec_mode=exec",
			"intervalstyle=sql_standard&extra_float_digits=0"},
		sqlstore.MySQL: {"parseTime=true", "loc=America%2FNew_York", "parseTime=true&loc=America%2FNew_York",
			"clientFoundRows=true", "interpolateParams=true", "time_zone=%27%2B05%3A00%27"},
	}
	d := server(t)
	plain, _ := d.migrated(t)
	for _, setting := range settings[d.dialect] {
		t.Run(setting, func(t *testing.T) {
			d := d
			if strings.Contains(d.dsn, "?") {
				d.dsn += "&" + setting
			} else {
				d.dsn += "?" + setting
			}
			set, _ := d.store(t)
			for _, hour := range []time.Time{
				time.Date(2026, time.March, 8, 2, 30, 0, 1000, time.UTC),    // New York has no such hour
				time.Date(2026, time.November, 1, 6, 30, 0, 1000, time.UTC), // there, the second half past one
			} {
				user, session := visitor(hour)
				created, err := set.CreateAnonymous(t.Context(), user, session)
				ok(t, err)
				again, err := set.CreateAnonymous(t.Context(), user, session)
				ok(t, err)
				if !created || again {
					t.Errorf("CreateAnonymous twice: got %t and %t, want true and false", created, again)
				}
				ok(t, set.RenewSession(t.Context(), session))
				ok(t, set.SetAnonymous(t.Context(), user.ID, true))
				identity := store.Identity{Provider: "test", Subject: "änn'\\ " + fmt.Sprint(setting, hour), UserID: user.ID,
					Secret: []byte("\x00\xff'\\"), CreatedAt: hour}
				ok(t, set.CreateIdentity(t.Context(), identity))
				if err := set.CreateIdentity(t.Context(), identity); !errors.Is(err, store.ErrIdentityTaken) {
					t.Errorf("again: got %v, want ErrIdentityTaken", err)
				}
				for _, s := range []*sqlstore.Store{set, plain} {
					got, err := s.LookupSession(t.Context(), user.ID, session.ID)
					ok(t, err)
					if got.Anonymous = false; got != session {
						t.Errorf("got %v, want %v", got, session)
					}
					all, err := s.UserSessions(t.Context(), user.ID)
					ok(t, err)
					if len(all) != 1 || all[0] != session {
						t.Errorf("got %v, want %v", all, session)
					}
					found, err := s.Identity(t.Context(), identity.Provider, identity.Subject)
					ok(t, err)
					if string(found.Secret) != string(identity.Secret) || !found.CreatedAt.Equal(hour) || found.UserID != user.ID {
						t.Errorf("got %v, want %v", found, identity)
					}
				}
			}
			bytesAsTheyWere(t, set, plain)
			storedTogether(t, set, plain, false)
			storedTogether(t, set, plain, true)
		})
	}
}

// bytesAsTheyWere holds that tickets and session data are the same bytes, and end
// at the same time, whatever the settings of who wrote and who reads.
func bytesAsTheyWere(t *testing.T, set, plain *sqlstore.Store) {
	t.Helper()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	user, session := visitor(now)
	_, err := set.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	for _, s := range []*sqlstore.Store{set, plain} {
		ticket := store.Ticket{Key: "bytes " + uuid.NewString(), Data: all, Tries: 1, ExpiresAt: now.Add(time.Hour)}
		ok(t, s.PutTicket(t.Context(), ticket))
		ok(t, s.Sessions().CommitCtx(t.Context(), session.ID.String(), all, now.Add(time.Hour)))
		for _, s := range []*sqlstore.Store{set, plain} {
			got, err := s.Ticket(t.Context(), ticket.Key, now)
			ok(t, err)
			if string(got.Data) != string(all) || !got.ExpiresAt.Equal(ticket.ExpiresAt) {
				t.Errorf("ticket: got %v, want %v", got, ticket)
			}
			data, found, err := s.Sessions().FindCtx(t.Context(), session.ID.String())
			ok(t, err)
			if !found || string(data) != string(all) {
				t.Errorf("session data: got %t, %x", found, data)
			}
		}
	}
}

// storedTogether holds that a visitor who is stored with others becomes the same row as
// one who is stored alone. That also holds where some are what walkin never makes.
func storedTogether(t *testing.T, set, plain *sqlstore.Store, odd bool) {
	t.Helper()
	const crowd = 40
	users, sessions := make([]store.User, crowd), make([]store.Session, crowd)
	var wg sync.WaitGroup
	for i := range crowd {
		users[i], sessions[i] = visitor(time.Date(2026, time.November, 1, 6, 30, i, 1000*i, time.UTC))
		if odd && i%3 == 0 {
			users[i].SeenAt = users[i].CreatedAt.Add(time.Minute)
			users[i].Anonymous = false
			sessions[i].RenewedAt = users[i].SeenAt
		}
		wg.Go(func() {
			if created, err := set.CreateAnonymous(t.Context(), users[i], sessions[i]); !created || err != nil {
				t.Errorf("one of many: got %t, %v", created, err)
			}
		})
	}
	wg.Wait()
	for i := range crowd {
		user, err := plain.LockUser(t.Context(), users[i].ID)
		ok(t, err)
		session, err := plain.LookupSession(t.Context(), users[i].ID, sessions[i].ID)
		ok(t, err)
		sessions[i].Anonymous = users[i].Anonymous // LookupSession says so
		if user != users[i] || session != sessions[i] {
			t.Errorf("one of many: got %v and %v, want %v and %v", user, session, users[i], sessions[i])
		}
	}
}

// suicides end the connection that they come by.
var suicides = map[sqlstore.Dialect]string{
	sqlstore.PostgreSQL: "SELECT pg_terminate_backend(pg_backend_pid())",
	sqlstore.MySQL:      "KILL CONNECTION_ID()",
}

// brokenConnection has the server end the connection in the middle, as a
// fail-over does.
func brokenConnection(t *testing.T, d database) {
	suicide := suicides[d.dialect]
	s, _ := d.migrated(t)
	user, session := visitor(time.Now())
	_, err := s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	var broken error
	err = s.InTx(t.Context(), func(ctx context.Context) error {
		ok(t, s.SetAnonymous(ctx, user.ID, false))
		tx, _ := sqlstore.Tx(ctx)
		_, _ = tx.ExecContext(ctx, suicide) // no one is there to answer
		broken = s.DeleteSessions(ctx, user.ID, uuid.Nil)
		return nil // as a hook that looks at no error
	})
	if err == nil || broken == nil {
		t.Errorf("got %v in the transaction and %v from it, want errors", broken, err)
	}
	got, err := s.LockUser(t.Context(), user.ID)
	ok(t, err)
	if !got.Anonymous {
		t.Error("the transaction was not undone")
	}
	_, err = s.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
}

// TestPoolIsTheCallers holds that a closed pool is an error, and that the store
// closes none.
func TestPoolIsTheCallers(t *testing.T) {
	s, db := sqlite(t)(t).migrated(t)
	ok(t, db.PingContext(t.Context()))
	ok(t, db.Close())
	user, session := visitor(time.Now())
	if _, err := s.CreateAnonymous(t.Context(), user, session); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("with a closed pool: got %v, want an error", err)
	}
}
