package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var (
	_ store.DatabaseStore = (*Store)(nil)
	_ store.Clock         = (*Store)(nil)
)

// Database implements store.DatabaseStore.
func (s *Store) Database(ctx context.Context) (store.Database, error) {
	return s.readDatabase(ctx, s.q.database)
}

func (s *Store) readDatabase(ctx context.Context, query string) (db store.Database, err error) {
	var adopted string
	var life int64
	err = s.from(ctx).QueryRowContext(ctx, query).Scan(&db.ID, &adopted, moment{&db.Birth}, &life, moment{&db.TokenLifeUntil},
		moment{&db.EndedBefore}, moment{&db.AnonymousEndedBefore})
	if err != nil {
		return store.Database{}, fmt.Errorf("reading walkin_database: %w", wrap(ctx, err))
	}
	db.Adopted = strings.Fields(adopted)
	db.TokenLife = time.Duration(life) * time.Microsecond
	return db, nil
}

// AnnounceTokenLife implements store.DatabaseStore.
func (s *Store) AnnounceTokenLife(ctx context.Context, life time.Duration, now time.Time) error {
	_, err := s.exec(ctx, s.q.announce, life.Microseconds(), s.dialect.time(now.Add(life)), life.Microseconds(), s.dialect.time(now))
	return err
}

// EndSessionsBefore implements store.DatabaseStore.
func (s *Store) EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		_, err := s.exec(ctx, s.q.endSessions, s.dialect.time(at), s.dialect.time(at))
		if err == nil && anonymous {
			_, err = s.exec(ctx, s.q.endAnonymous, s.dialect.time(at), s.dialect.time(at))
		}
		if err == nil {
			err = s.tellFeed(ctx, uuid.Nil)
		}
		return err
	})
}

// maxAdopted is how many databases one may stand for.
const maxAdopted = 16

// Adopt makes the store accept tokens of another database, and tokens that are older
// than this database. It is for a database that was created to replace a lost one.
// Until then the middleware takes the store for the wrong one, and its event
// "other_database" tells the ID. Anonymous users of the other database come back with
// their next unsafe request. That includes users who were deleted there: their
// tombstones are lost too. Replicas notice within a second. Adopting twice is not an
// error.
//
// It is not for a database that comes back. Point the app at that one instead.
func (s *Store) Adopt(ctx context.Context, id string) error {
	if len(id) != 8 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return fmt.Errorf("sqlstore: %.20q is not the ID of a database", id)
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		db, err := s.readDatabase(ctx, s.q.lockDatabase)
		if err != nil {
			return err
		}
		if id != db.ID && !slices.Contains(db.Adopted, id) {
			db.Adopted = append(db.Adopted, id)
		}
		if len(db.Adopted) > maxAdopted {
			return fmt.Errorf("sqlstore: the database has adopted %d others already", maxAdopted)
		}
		if _, err = s.exec(ctx, s.q.adopt, strings.Join(db.Adopted, " "), s.dialect.time(time.Unix(0, 0))); err != nil {
			return err
		}
		return s.tellFeed(ctx, uuid.Nil)
	})
}

// Now implements store.Clock. SQLite is part of the process and has its clock.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if s.dialect.now == "" {
		return time.Now(), nil
	}
	if err := s.from(ctx).QueryRowContext(ctx, s.dialect.now).Scan(moment{&now}); err != nil {
		return time.Time{}, wrap(ctx, err)
	}
	return now, nil
}
