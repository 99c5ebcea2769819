package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/walkin-go/walkin"
)

// A durable write costs a database about the same for one visitor as for many,
// so visitors who act at the same moment become rows together: whoever comes
// while others are being written waits for those, and then all who wait go in
// one transaction. Who comes alone waits for nobody, and nobody waits for a slow
// write where another can be made beside it, see dialect.patience. Nobody gets an
// answer before the commit, and when a transaction does not go through whole, each
// of its visitors goes alone and gets the answer that is theirs.

const (
	maxTogether  = 64
	togetherTime = time.Second // in the transaction: one who is stuck must not hold up all others
)

// An arrival is one call of Persist that waits.
type arrival struct {
	user    walkin.User
	session walkin.Session
	stored  chan bool     // false: go alone
	wait    time.Duration // before it begins another lane
}

// A queue is where calls of Persist wait for those before them.
type queue struct {
	mu      sync.Mutex
	lanes   int // transactions that run
	waiting []*arrival
}

// Persist implements walkin.Store.
func (s *Store) Persist(ctx context.Context, user walkin.User, session walkin.Session) (created bool, err error) {
	if s.tx(ctx) != nil {
		return s.persist(ctx, user, session)
	}
	a := s.arrivals.enter(user, session, s.dialect.patience)
	if a == nil {
		defer s.next()
		return s.persist(ctx, user, session)
	}
	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	for {
		select {
		case stored := <-a.stored:
			if stored {
				return true, nil
			}
			return s.persist(ctx, user, session)
		case <-timer.C:
			if batch := s.arrivals.overtake(a); batch != nil {
				go s.storeAll(batch)
			}
		case <-ctx.Done():
			// They may become a row all the same, as with a commit whose
			// answer is lost on the way.
			return false, fmt.Errorf("sqlstore: %w", ctx.Err())
		}
	}
}

// enter returns nil when nobody is being written, and otherwise a place to wait.
// The more lanes there are the longer it waits for one more: a database that
// hangs is not asked for a connection every millisecond.
func (q *queue) enter(user walkin.User, session walkin.Session, patience time.Duration) *arrival {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lanes == 0 {
		q.lanes++
		return nil
	}
	a := &arrival{user, session, make(chan bool, 1), time.Duration(q.lanes) * patience}
	q.waiting = append(q.waiting, a)
	return a
}

// overtake begins another lane for those who wait, if a is still among them.
func (q *queue) overtake(a *arrival) []*arrival {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.waiting, a) {
		return nil
	}
	q.lanes++
	return q.take()
}

// leave ends a lane, or returns those it goes on with.
func (q *queue) leave() []*arrival {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.lanes--
		return nil
	}
	return q.take()
}

func (q *queue) take() []*arrival {
	n := min(len(q.waiting), maxTogether)
	batch := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	return batch
}

// next goes on with those who waited.
func (s *Store) next() {
	if batch := s.arrivals.leave(); batch != nil {
		go s.storeAll(batch)
	}
}

// storeAll stores a batch, and then those who came meanwhile.
func (s *Store) storeAll(batch []*arrival) {
	defer func() {
		runtime.Gosched() // whoever got an answer just now may bring the next visitor
		s.next()
	}()
	// In the order of their IDs, so that two replicas with the same visitors
	// do not lock each other out; and a visitor who is there twice goes alone.
	slices.SortFunc(batch, func(a, b *arrival) int { return bytes.Compare(a.user.ID[:], b.user.ID[:]) })
	var some []*arrival
	for i, a := range batch {
		if i > 0 && a.user.ID == batch[i-1].user.ID {
			a.stored <- false
			continue
		}
		some = append(some, a)
	}
	stored := false
	defer func() {
		for _, a := range some {
			a.stored <- stored
		}
	}()
	// No visitor's context: nobody who leaves may take the others along.
	ctx, cancel := context.WithTimeout(context.Background(), togetherTime)
	defer cancel()
	stored = len(some) > 1 && s.persistAll(ctx, some) == nil
}

// errNotAll undoes a batch in which somebody needs another answer.
var errNotAll = errors.New("sqlstore: not all of them are new")

// persistAll stores visitors who are all new, or fails.
func (s *Store) persistAll(ctx context.Context, all []*arrival) error {
	if s.dialect.arrays {
		return s.InTx(ctx, func(ctx context.Context) error { return s.persistArrays(ctx, all) })
	}
	q := &s.together[0]
	for i := range s.together {
		if q = &s.together[i]; q.rows >= len(all) {
			break
		}
	}
	for _, one := range []*prepared{&q.insertUsers, &q.insertSessions, &q.countTombstones} {
		if _, err := one.on(ctx, s, s.db); err != nil {
			return wrap(ctx, err)
		}
	}
	return s.InTx(ctx, func(ctx context.Context) error { return s.persistRows(ctx, q, all) })
}

// persistArrays is one statement with an array for each column, and one for the
// tombstones: last, see persist.
func (s *Store) persistArrays(ctx context.Context, all []*arrival) error {
	column := func(of func(*arrival) string) any {
		return array(len(all), func(i int) string { return of(all[i]) })
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }
	users := column(func(a *arrival) string { return a.user.ID.String() })
	var inserted, deleted int
	err := s.tx(ctx).QueryRowContext(ctx, s.q.insertTogether, users,
		column(func(a *arrival) string { return strconv.FormatBool(a.user.Anonymous) }),
		column(func(a *arrival) string { return at(a.user.CreatedAt) }),
		column(func(a *arrival) string { return at(a.user.SeenAt) }),
		column(func(a *arrival) string { return a.session.ID.String() }),
		column(func(a *arrival) string { return at(a.session.CreatedAt) }),
		column(func(a *arrival) string { return at(a.session.RenewedAt) }),
		column(func(a *arrival) string { return at(a.session.ExpiresAt) }),
	).Scan(&inserted)
	if err == nil {
		err = s.tx(ctx).QueryRowContext(ctx, s.q.countTombstones, users).Scan(&deleted)
	}
	if err != nil {
		return wrap(ctx, err)
	}
	if inserted != 2*len(all) || deleted > 0 {
		return errNotAll
	}
	return nil
}

// array is a PostgreSQL array as text, which every driver can send, of values
// that need no quotes.
func array(n int, value func(i int) string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(value(i))
	}
	b.WriteByte('}')
	return b.String()
}

// persistRows is one statement for each table, with a list of rows.
func (s *Store) persistRows(ctx context.Context, q *multitude, all []*arrival) error {
	var users, sessions, ids []any
	for i := range q.rows {
		a := all[min(i, len(all)-1)] // the last one fills up: an INSERT passes over what is there
		user := s.dialect.id(a.user.ID)
		users = append(users, user, a.user.Anonymous, s.dialect.time(a.user.CreatedAt), s.dialect.time(a.user.SeenAt))
		sessions = append(sessions, s.dialect.id(a.session.ID), s.dialect.id(a.session.UserID),
			s.dialect.time(a.session.CreatedAt), s.dialect.time(a.session.RenewedAt), s.dialect.time(a.session.ExpiresAt))
		ids = append(ids, user)
	}
	tx := s.tx(ctx)
	for _, insert := range []struct {
		*prepared
		args []any
	}{{&q.insertUsers, users}, {&q.insertSessions, sessions}} {
		result, err := insert.exec(ctx, tx, insert.args)
		if err != nil {
			return wrap(ctx, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return wrap(ctx, err)
		} else if n != int64(len(all)) {
			return errNotAll
		}
	}
	// Of the tombstones, last, see persist.
	var deleted int
	if err := q.countTombstones.queryRow(ctx, tx, ids).Scan(&deleted); err != nil {
		return wrap(ctx, err)
	}
	if deleted > 0 {
		return errNotAll
	}
	return nil
}

// A multitude is the statements for a number of rows. There are few such numbers,
// so that the database has few texts to prepare.
type multitude struct {
	rows                                         int
	insertUsers, insertSessions, countTombstones prepared
}

func (s *Store) newMultitudes() (all []multitude) {
	all = make([]multitude, bits.Len(maxTogether)-1)
	for i := range all {
		m := &all[i]
		m.rows = 2 << i
		values := func(row string) string { return row + strings.Repeat(", "+row, m.rows-1) }
		m.insertUsers.text = s.dialect.sql(`{{insert}} INTO walkin_users (id, anonymous, created_at, seen_at) VALUES ` +
			values("(?, ?, ?, ?)") + ` {{skip}}`)
		m.insertSessions.text = s.dialect.sql(`{{insert}} INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES ` +
			values("(?, ?, ?, ?, ?)") + ` {{skip}}`)
		m.countTombstones.text = s.dialect.sql(`SELECT COUNT(*) FROM walkin_tombstones WHERE user_id IN (` + values("?") + `)`)
	}
	return all
}
