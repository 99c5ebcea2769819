package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// A lookup is one call of LookupSession that may wait, and what the database says.
type lookup struct {
	user, session uuid.UUID

	found                        store.Session
	alive, ended, known, deleted bool
}

// columns returns what a row of lookupQuery goes into.
func (l *lookup) columns() []any {
	s := &l.found
	return []any{&l.alive, moment{&s.CreatedAt}, moment{&s.RenewedAt}, moment{&s.ExpiresAt},
		&l.known, &s.Anonymous, &l.deleted, &l.ended, moment{&s.BannedUntil}}
}

// answer is what LookupSession returns.
func (l *lookup) answer() (store.Session, error) {
	switch {
	case l.alive && !l.ended:
		l.found.ID, l.found.UserID = l.session, l.user
		return l.found, nil
	case l.known, l.deleted:
		return store.Session{}, store.ErrSessionEnded
	}
	return store.Session{}, store.ErrNotFound
}

// LookupSession implements store.Store. Look-ups that come together are one statement, since
// a server spends most of a statement on what is the same for all. A call that waits
// starts its statement after it came, so its answer is as new as its own would be.
// SQLite is part of the process, and its readers do not wait.
func (s *Store) LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	if s.dialect.name == "sqlite" || s.tx(ctx) != nil {
		return s.lookupOne(ctx, userID, sessionID)
	}
	l := &lookup{user: userID, session: sessionID}
	waits := newCall(l)
	if !s.lookups.enter(waits) {
		defer s.lookups.leave()
		return s.lookupOne(ctx, userID, sessionID)
	}
	switch answered, err := s.lookups.wait(ctx, waits); {
	case err != nil:
		return store.Session{}, wrap(ctx, err)
	case answered:
		return l.answer()
	}
	return s.lookupOne(ctx, userID, sessionID)
}

func (s *Store) lookupOne(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	l := lookup{user: userID, session: sessionID}
	user, id := s.dialect.id(userID), s.dialect.id(sessionID)
	row, err := s.queryPrepared(ctx, &s.lookup, user, user, user, id)
	if err == nil {
		err = row.Scan(l.columns()...)
	}
	if err != nil {
		return store.Session{}, wrap(ctx, err)
	}
	return l.answer()
}

// answerLookups answers a batch. Where the statement fails, each call asks alone and
// gets an error of its own, so that one visitor's error is not another's.
func (s *Store) answerLookups(all []*call[*lookup]) {
	// No visitor's context: a visitor who leaves must not take the others along.
	ctx, cancel := context.WithTimeout(context.Background(), togetherTime)
	defer cancel()
	err := s.lookUpAll(ctx, all)
	for _, one := range all {
		one.answer <- err == nil
	}
}

func (s *Store) lookUpAll(ctx context.Context, all []*call[*lookup]) error {
	q, size := &s.lookupAll[0], 2
	for i := 1; i < len(s.lookupAll) && size < len(all); i++ {
		q, size = &s.lookupAll[i], 2*size
	}
	stmt, err := q.on(ctx, s, s.reader)
	if err != nil {
		return err
	}
	query, args := s.reader.QueryContext, s.askedFor(all, size)
	if stmt != nil {
		query = func(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
			return stmt.QueryContext(ctx, args...)
		}
	}
	rows, err := query(ctx, q.text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var n int
	var l lookup // of each row in turn
	columns := append([]any{&n}, l.columns()...)
	answered := 0
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return wrap(ctx, err)
		}
		if n <= len(all) { // and is not there to fill up
			l.user, l.session = all[n-1].of.user, all[n-1].of.session
			*all[n-1].of = l
			answered++
		}
	}
	if err := rows.Err(); err != nil {
		return wrap(ctx, err)
	}
	if answered < len(all) {
		return errTooFew // fails closed: a call without a row knows nothing
	}
	return nil
}

var errTooFew = errors.New("sqlstore: there are fewer rows than look-ups")

// askedFor binds the users and sessions that a statement asks for, in its order.
func (s *Store) askedFor(all []*call[*lookup], size int) (args []any) {
	if s.dialect.arrays {
		return []any{
			array(all, func(text []byte, c *call[*lookup]) []byte { return appendID(text, c.of.user) }),
			array(all, func(text []byte, c *call[*lookup]) []byte { return appendID(text, c.of.session) }),
		}
	}
	for i := range size {
		l := all[min(i, len(all)-1)].of // the last one fills up
		args = append(args, s.dialect.id(l.user), s.dialect.id(l.session))
	}
	return args
}

// newLookups returns the statements for 2, 4, 8 … look-ups, or with arrays the one
// for any number.
func (s *Store) newLookups() (all []prepared) {
	if s.dialect.arrays {
		const ids = "CAST((SELECT CAST(CAST(? AS text) AS uuid[])) AS uuid[])" // see list
		return []prepared{{text: s.dialect.sql(strings.ReplaceAll(lookupAllQuery, "{{asked}}", "unnest("+ids+", "+ids+") WITH ORDINALITY AS q (user_id, session_id, n)"))}}
	}
	for size := 2; size <= maxTogether; size *= 2 {
		var asked strings.Builder
		for i := range size {
			if i == 0 {
				asked.WriteString("(SELECT 1 AS n, CAST(? AS binary(16)) AS user_id, CAST(? AS binary(16)) AS session_id")
			} else {
				fmt.Fprintf(&asked, " UNION ALL SELECT %d, CAST(? AS binary(16)), CAST(? AS binary(16))", i+1)
			}
		}
		all = append(all, prepared{text: s.dialect.sql(strings.ReplaceAll(lookupAllQuery, "{{asked}}", asked.String()+") AS q"))})
	}
	return all
}
