package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// A durable write costs a database about the same for one visitor as for many. So
// visitors who write at the same moment are stored together. Those who come while
// others are being written wait for those, and then all waiters go in one transaction.
// A visitor who comes alone does not wait, and no one waits for a slow write where
// another can be made beside it, see dialect.patience. No one gets an answer before the
// commit. A visitor who was not stored with the others goes alone and gets the answer
// that is theirs. That is each of them where a transaction does not go through, and
// only those who are not new where the database has a function for it.

const togetherTime = time.Second // in the transaction: one who is stuck must not hold up all others

// An arrival is a waiter: one call of CreateAnonymous.
type arrival struct {
	user    store.User
	session store.Session
	made    bool // it is stored now; set by the one that stores it, before the answer
	unsure  bool // it may be one, see madeHere; likewise
}

// CreateAnonymous implements store.Store.
func (s *Store) CreateAnonymous(ctx context.Context, user store.User, session store.Session) (created bool, err error) {
	if s.tx(ctx) != nil {
		return s.persist(ctx, user, session)
	}
	a := &arrival{user: user, session: session}
	waits := newCall(a)
	if !s.arrivals.enter(waits) {
		defer s.arrivals.leave()
		return s.persistOne(ctx, a)
	}
	// A visitor who leaves may be stored all the same, as with a commit whose answer is
	// lost on the way.
	stored, err := s.arrivals.wait(ctx, waits)
	if stored || err != nil {
		return stored, err
	}
	created, err = s.persist(ctx, user, session)
	if err == nil && !created && a.unsure {
		return s.madeHere(ctx, session)
	}
	return created, err
}

// madeHere tells which process stored the user where the answer to a batch was lost,
// perhaps after the commit. It is the process that made the session as it was to be
// made here: a replica that does the same made it at another microsecond. Without this
// check a database that is slow for a second would take every user that it stores for
// one that was there. Such users count for no limit.
func (s *Store) madeHere(ctx context.Context, want store.Session) (bool, error) {
	got, err := s.LookupSession(ctx, want.UserID, want.ID)
	return err == nil && got.CreatedAt.Equal(want.CreatedAt.Truncate(time.Microsecond)), err
}

// storeAll stores a batch.
func (s *Store) storeAll(all []*call[*arrival]) {
	// In the order of their IDs, so that two replicas with the same visitors do not
	// deadlock. A visitor who is there twice goes alone.
	slices.SortFunc(all, func(a, b *call[*arrival]) int { return bytes.Compare(a.of.user.ID[:], b.of.user.ID[:]) })
	var some []*arrival
	for i, a := range all {
		if i == 0 || a.of.user.ID != all[i-1].of.user.ID {
			some = append(some, a.of)
		}
	}
	// No visitor's context: a visitor who leaves must not take the others along.
	ctx, cancel := context.WithTimeout(context.Background(), togetherTime)
	defer cancel()
	// Who goes alone gets an error of their own.
	if err := s.persistAll(ctx, some); err != nil && !errors.Is(err, errNotAll) {
		for _, a := range some {
			a.unsure = true
		}
	}
	for _, a := range all {
		a.answer <- a.of.made
	}
}

// persistOne stores a visitor who comes alone.
func (s *Store) persistOne(ctx context.Context, a *arrival) (created bool, err error) {
	switch {
	case !plain(a):
	case s.dialect.function:
		switch err := s.callPersist(ctx, []*arrival{a}); {
		case a.made:
			return true, nil
		case err != nil && !isNoFunction(err):
			return false, err
		}
	default:
		// An error that is not the database's own trouble says that they are not new, or
		// that there is no such view or procedure. Then they go the long way.
		if err := s.persistNew(ctx, a); err == nil || errors.Is(err, store.ErrUnavailable) {
			return err == nil, err
		}
	}
	return s.persist(ctx, a.user, a.session)
}

// persistNew stores a visitor who is new in one statement, with a commit of its own:
// through a view on SQLite, by a procedure on MySQL. For all others it changes nothing
// and fails.
func (s *Store) persistNew(ctx context.Context, a *arrival) error {
	return s.again(ctx, func() error {
		stmt, err := s.persistOnly.on(ctx, s, s.db)
		if err != nil {
			return wrap(ctx, err)
		}
		_, err = stmt.ExecContext(ctx, s.dialect.id(a.user.ID), s.dialect.id(a.session.ID),
			s.dialect.time(a.user.CreatedAt), s.dialect.time(a.session.ExpiresAt))
		if err != nil {
			return wrap(ctx, err)
		}
		return nil
	})
}

// errNotAll undoes a batch in which a visitor needs another answer.
var errNotAll = errors.New("sqlstore: not all of them are new")

// persistAll stores visitors who are new: all of them, or, without a function, none.
func (s *Store) persistAll(ctx context.Context, all []*arrival) error {
	if s.dialect.function {
		all = slices.DeleteFunc(slices.Clone(all), func(a *arrival) bool { return !plain(a) })
		return s.callPersist(ctx, all)
	}
	if len(all) == 1 {
		return errNotAll // goes alone
	}
	q := &s.together[0]
	for i := range s.together {
		if q = &s.together[i]; q.rows >= len(all) {
			break
		}
	}
	texts := []*prepared{&q.insertUsers, &q.insertSessions, &q.countTombstones}
	if s.dialect.lockFirst {
		texts = append(texts, &q.lockUsers)
	}
	for _, one := range texts {
		if _, err := one.on(ctx, s, s.db); err != nil {
			return wrap(ctx, err)
		}
	}
	if err := s.InTx(ctx, func(ctx context.Context) error { return s.persistRows(ctx, q, all) }); err != nil {
		return err
	}
	for _, a := range all {
		a.made = true
	}
	return nil
}

// plain reports whether a is what walkin makes: the function in the database accepts no
// others.
func plain(a *arrival) bool {
	at := a.user.CreatedAt
	return a.user.Anonymous && a.session.UserID == a.user.ID &&
		a.user.SeenAt.Equal(at) && a.session.CreatedAt.Equal(at) && a.session.RenewedAt.Equal(at)
}

// callPersist stores those who are new by the function in the database, in one call.
func (s *Store) callPersist(ctx context.Context, all []*arrival) error {
	if len(all) == 0 {
		return nil
	}
	users := array(all, func(text []byte, a *arrival) []byte { return appendID(text, a.user.ID) })
	sessions := array(all, func(text []byte, a *arrival) []byte { return appendID(text, a.session.ID) })
	times := array(all, func(text []byte, a *arrival) []byte { return appendTime(text, a.user.CreatedAt) })
	ends := array(all, func(text []byte, a *arrival) []byte { return appendTime(text, a.session.ExpiresAt) })
	made := make(map[uuid.UUID]bool, len(all))
	err := again(ctx, func() error {
		clear(made)
		rows, err := s.db.QueryContext(ctx, s.q.persist, users, sessions, times, ends)
		if err != nil {
			return wrap(ctx, err)
		}
		defer rows.Close()
		for rows.Next() {
			var id uuid.UUID
			if err := rows.Scan(&id); err != nil {
				return wrap(ctx, err)
			}
			made[id] = true
		}
		// To the end: the commit comes after the last row.
		if err := rows.Err(); err != nil {
			return wrap(ctx, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		a.made = made[a.user.ID]
	}
	return nil
}

// array is a PostgreSQL array as text, which every driver can send, of values
// that need no quotes.
func array[T any](all []T, appendValue func([]byte, T) []byte) string {
	text := make([]byte, 0, 2+40*len(all))
	text = append(text, '{')
	for i, one := range all {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendValue(text, one)
	}
	return string(append(text, '}'))
}

func appendID(text []byte, id uuid.UUID) []byte {
	return hex.AppendEncode(text, id[:]) // PostgreSQL takes them without hyphens
}

func appendTime(text []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(text, "2006-01-02T15:04:05.999999Z")
}

// persistRows is one statement for each table, with a list of rows.
func (s *Store) persistRows(ctx context.Context, q *multitude, all []*arrival) error {
	var users, sessions, ids []any
	for i := range q.rows {
		a := all[min(i, len(all)-1)] // the last one fills up: an INSERT passes over what is there
		user, seen := s.dialect.id(a.user.ID), a.user.SeenAt
		if i >= len(all) {
			seen = filler
		}
		users = append(users, user, a.user.Anonymous, s.dialect.time(a.user.CreatedAt), s.dialect.time(seen))
		sessions = append(sessions, s.dialect.id(a.session.ID), s.dialect.id(a.session.UserID),
			s.dialect.time(a.session.CreatedAt), s.dialect.time(a.session.RenewedAt), s.dialect.time(a.session.ExpiresAt))
		ids = append(ids, user)
	}
	tx := s.tx(ctx)
	if s.dialect.lockFirst { // see insertUser
		var there int
		if err := q.lockUsers.queryRow(ctx, tx, ids).Scan(&there); err != nil {
			return wrap(ctx, err)
		}
		if there > 0 {
			return errNotAll
		}
	}
	made, answer := int64(len(all)), sql.Result.RowsAffected
	if s.dialect.name == "mysql" {
		made, answer = 0, sql.Result.LastInsertId // see insert
	}
	for _, insert := range []struct {
		*prepared
		args   []any
		answer func(sql.Result) (int64, error)
		want   int64
	}{{&q.insertUsers, users, answer, made}, {&q.insertSessions, sessions, sql.Result.RowsAffected, int64(len(all))}} {
		result, err := insert.exec(ctx, tx, insert.args)
		if err != nil {
			return wrap(ctx, err)
		}
		if n, err := insert.answer(result); err != nil {
			return wrap(ctx, err)
		} else if n != insert.want {
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

// A multitude holds the statements for a number of rows. There are few such numbers, so
// that the database has few texts to prepare.
type multitude struct {
	rows                                                    int
	lockUsers, insertUsers, insertSessions, countTombstones prepared
}

func (s *Store) newMultitudes() (all []multitude) {
	all = make([]multitude, bits.Len(maxTogether)-1)
	for i := range all {
		m := &all[i]
		m.rows = 2 << i
		values := func(row string) string { return row + strings.Repeat(", "+row, m.rows-1) }
		// created_at is in no index but the primary one. MySQL would take the other one for
		// a small table, and lock in another order than an UPDATE does.
		m.lockUsers.text = s.dialect.sql(`SELECT COUNT(created_at) FROM walkin_users WHERE id IN (` + values("?") + `) {{for update}}`)
		m.insertUsers.text = s.dialect.sql(`INSERT INTO walkin_users (id, anonymous, created_at, seen_at) VALUES ` +
			values("(?, ?, ?, ?)") + ` {{unless any}}`)
		m.insertSessions.text = s.dialect.sql(`{{insert}} INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES ` +
			values("(?, ?, ?, ?, ?)") + ` {{skip}}`)
		m.countTombstones.text = s.dialect.sql(`SELECT COUNT(*) FROM walkin_tombstones WHERE user_id IN (` + values("?") + `)`)
	}
	return all
}
