package sqlstore

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// A lookup is one call of LookupSession that may wait, and its answer.
type lookup struct {
	user, session uuid.UUID
	found         store.Session
	err           error
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
		return l.found, l.err
	}
	return s.lookupOne(ctx, userID, sessionID)
}

func (s *Store) lookupOne(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	session := store.Session{ID: sessionID, UserID: userID}
	user, id := s.dialect.id(userID), s.dialect.id(sessionID)
	row, err := s.queryPrepared(ctx, &s.lookup, user, user, user, id)
	if err != nil {
		return store.Session{}, wrap(ctx, err)
	}
	var alive, ended, known, deleted bool
	err = row.Scan(&alive, moment{&session.CreatedAt}, moment{&session.RenewedAt}, moment{&session.ExpiresAt},
		&known, &session.Anonymous, &deleted, &ended, moment{&session.BannedUntil})
	switch {
	case err != nil:
		return store.Session{}, wrap(ctx, err)
	case alive && !ended:
		return session, nil
	case known || deleted:
		return store.Session{}, store.ErrSessionEnded
	}
	return store.Session{}, store.ErrNotFound
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

// What there is about the sessions and users of a batch.
type known struct {
	sessions map[uuid.UUID]knownSession
	users    map[uuid.UUID]knownUser
	deleted  map[uuid.UUID]bool
}

type knownUser struct {
	anonymous   bool
	bannedUntil time.Time
}

type knownSession struct {
	store.Session
	ended, anonymousEnded time.Time // before which sessions are over
}

func (s *Store) lookUpAll(ctx context.Context, all []*call[*lookup]) error {
	q := &s.lookupAll[0]
	size := 2
	for i := range s.lookupAll {
		if q = &s.lookupAll[i]; s.dialect.arrays || size >= len(all) {
			break
		}
		size *= 2
	}
	if s.dialect.arrays {
		size = len(all)
	}
	users, sessions := make([]uuid.UUID, size), make([]uuid.UUID, size)
	for i := range size {
		l := all[min(i, len(all)-1)].of // the last one fills up
		users[i], sessions[i] = l.user, l.session
	}
	_, ids := s.list(users)
	_, args := s.list(sessions)
	stmt, err := q.on(ctx, s, s.reader)
	if err != nil {
		return err
	}
	args = append(append(args, ids...), ids...)
	query := s.reader.QueryContext
	if stmt != nil {
		query = func(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
			return stmt.QueryContext(ctx, args...)
		}
	}
	found, err := query(ctx, q.text, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	k, err := readKnown(found)
	if err != nil {
		return err
	}
	for _, one := range all {
		one.of.found, one.of.err = k.of(one.of)
	}
	return nil
}

// readKnown reads rows of lookupAllQuery.
func readKnown(found *sql.Rows) (known, error) {
	k := known{map[uuid.UUID]knownSession{}, map[uuid.UUID]knownUser{}, map[uuid.UUID]bool{}}
	for found.Next() {
		var kind int
		var anonymous bool
		var s knownSession
		if err := found.Scan(&kind, &s.ID, &s.UserID, &anonymous, moment{&s.CreatedAt}, moment{&s.RenewedAt}, moment{&s.ExpiresAt},
			moment{&s.ended}, moment{&s.anonymousEnded}); err != nil {
			return known{}, err
		}
		switch kind {
		case 1:
			k.sessions[s.ID] = s
		case 2:
			k.users[s.ID] = knownUser{anonymous, s.ExpiresAt}
		case 3:
			k.deleted[s.ID] = true
		}
	}
	return k, found.Err()
}

// of is the answer to one of them, as LookupSession says.
func (k known) of(l *lookup) (store.Session, error) {
	user, there := k.users[l.user]
	s, ok := k.sessions[l.session]
	ended := s.ended
	if user.anonymous {
		ended = s.anonymousEnded
	}
	switch {
	case ok && s.UserID == l.user && !s.CreatedAt.Before(ended):
		s.Anonymous, s.BannedUntil = user.anonymous, user.bannedUntil
		return s.Session, nil
	case there, k.deleted[l.user]:
		return store.Session{}, store.ErrSessionEnded
	}
	return store.Session{}, store.ErrNotFound
}

// newLookups returns the statements for 2, 4, 8 … look-ups, or with arrays the one
// for any number.
func (s *Store) newLookups() (all []prepared) {
	for size := 2; size <= maxTogether; size *= 2 {
		in, _ := s.list(make([]uuid.UUID, size))
		all = append(all, prepared{text: s.dialect.sql(strings.ReplaceAll(lookupAllQuery, "{{in}}", in))})
		if s.dialect.arrays {
			break
		}
	}
	return all
}
