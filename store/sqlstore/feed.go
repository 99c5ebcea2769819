package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.FeedStore = (*Store)(nil)

const (
	// maxNews is how many rows one read returns. A reader that has missed more begins
	// again.
	maxNews = 10_000

	// beat is how old the newest row may be before a reader adds one: a database
	// that is restored then never has the row that was read last.
	beat = 5 * time.Second

	// lateCommit is how long to wait for a row of MySQL's with a lower ID: as long as a
	// transaction of walkin's can take, and a little more.
	lateCommit = 15 * time.Second
	maxMissing = 2_000
	firstLook  = 1_000 // how many IDs the first look goes back, for those under way

	// trimEvery is how often a reader removes old rows, feedAge how long they stay.
	trimEvery, feedAge = 5 * time.Minute, time.Hour
)

// Feed implements store.FeedStore. It writes a row, which is the one that the first
// look finds again.
func (s *Store) Feed(ctx context.Context) (store.Feed, error) {
	f := &feed{s: s, counted: map[int64]bool{}, missing: map[int64]time.Time{}, trimmed: time.Now()}
	if err := s.addBeat(ctx); err != nil {
		return nil, err
	}
	if s.dialect.name == "sqlite" {
		if err := f.open(ctx); err != nil {
			return nil, err
		}
	}
	// What was committed before is of no interest, what is under way is.
	f.xmin = "0"
	news, err := f.read(ctx, true)
	if err != nil {
		return nil, err
	}
	f.count(news)
	return f, nil
}

// A feed is the position of one reader. Its methods must not be called concurrently.
type feed struct {
	s       *Store
	last    newsRow // the newest row that was read
	xmin    string  // PostgreSQL: of the look before; rows of older transactions are all counted
	counted map[int64]bool
	missing map[int64]time.Time // MySQL: IDs below the newest that may still be committed, and since when
	trimmed time.Time

	path string // SQLite
	file os.FileInfo
}

type newsRow struct {
	id    int64
	user  *uuid.UUID // nil: a beat
	nonce uuid.UUID
}

// Next implements store.Feed.
func (f *feed) Next(ctx context.Context) ([]uuid.UUID, error) {
	if f.file != nil {
		now, err := os.Stat(f.path)
		if err != nil || !os.SameFile(f.file, now) {
			return nil, fmt.Errorf("%w: the file of the database is another one", store.ErrFeedLost)
		}
	}
	news, err := f.read(ctx, false)
	if err != nil {
		return nil, err
	}
	return f.count(news), nil
}

// News is what a look finds.
type news struct {
	rows    []newsRow
	newest  newsRow
	age     time.Duration // of the newest
	there   bool          // the row that was read last is still the same
	standby bool
	xmin    string
}

// read reads once, in one statement. The first read begins at the newest row.
func (f *feed) read(ctx context.Context, first bool) (news, error) {
	s := f.s
	args := []any{f.last.id}
	query := s.q.feed
	switch s.dialect.name {
	case "postgres":
		args = append(args, f.xmin)
	case "mysql":
		args = append(args, f.last.id)
		if len(f.missing) > 0 {
			query = strings.Replace(query, "id > ?", "id > ? OR id IN (?"+strings.Repeat(", ?", len(f.missing)-1)+")", 1)
			for id := range f.missing {
				args = append(args, id)
			}
		}
	default:
		args = append(args, f.last.id)
	}
	if first {
		query = s.q.openFeed
		args = nil
	}
	n, err := f.scan(ctx, query, args)
	switch {
	case err != nil:
		return news{}, err
	case n.standby:
		return news{}, fmt.Errorf("sqlstore: the feed is read from a database that only reads: %w", store.ErrUnavailable)
	case n.newest.id == 0, !first && !n.there:
		return news{}, fmt.Errorf("%w: the row that was read last is gone: the database was restored, or the table emptied", store.ErrFeedLost)
	case len(n.rows) > maxNews:
		return news{}, fmt.Errorf("%w: more than %d rows since the last look", store.ErrFeedLost, maxNews)
	}
	old := beat
	if f.file != nil {
		old = time.Minute // a restored file is another one, and tells by that
	}
	if n.age > old {
		if err := s.addBeat(ctx); err != nil {
			return news{}, err // on a database that takes no writes nothing ends, and it may be the wrong one
		}
	}
	if time.Since(f.trimmed) > trimEvery {
		f.trimmed = time.Now()
		// What stays behind goes the next time. The newest row is never so old.
		_, _ = s.exec(ctx, s.q.expiredFeed, s.dialect.time(f.trimmed.Add(-feedAge)), maxNews, 0)
	}
	return n, nil
}

func (f *feed) scan(ctx context.Context, query string, args []any) (n news, err error) {
	rows, err := f.s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return news{}, wrap(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind int
		var number int64
		var user, nonce uuid.NullUUID
		row := newsRow{}
		if err := rows.Scan(&kind, &row.id, &user, &nonce, &number, &n.xmin); err != nil {
			return news{}, wrap(ctx, err)
		}
		if row.nonce = nonce.UUID; user.Valid {
			row.user = &user.UUID
		}
		switch kind {
		case 0: // of the database
			n.standby = number != 0
		case 1: // the one that was read last
			n.there = row.nonce == f.last.nonce
		case 2: // the newest
			n.newest, n.age = row, time.Duration(number)*time.Microsecond
		case 3:
			n.rows = append(n.rows, row)
		}
	}
	if err := rows.Err(); err != nil {
		return news{}, wrap(ctx, err)
	}
	return n, nil
}

// count returns the users of rows that were not counted before.
func (f *feed) count(n news) (users []uuid.UUID) {
	counted := map[int64]bool{}
	now := time.Now()
	for _, row := range n.rows {
		if !f.counted[row.id] && row.user != nil && !slices.Contains(users, *row.user) {
			users = append(users, *row.user)
		}
		counted[row.id] = true
		delete(f.missing, row.id)
	}
	if f.s.dialect.name == "mysql" {
		f.miss(n.rows, now)
	} else {
		f.counted = counted
	}
	if n.newest.id > f.last.id {
		f.last = n.newest
	}
	for _, row := range n.rows {
		if row.id > f.last.id {
			f.last = row
		}
	}
	f.xmin = n.xmin
	return users
}

// miss notes the IDs between rows that were not there. They belong to transactions that
// were rolled back, or that are still under way.
func (f *feed) miss(rows []newsRow, now time.Time) {
	for id, since := range f.missing {
		if now.Sub(since) > lateCommit {
			delete(f.missing, id)
		}
	}
	slices.SortFunc(rows, func(a, b newsRow) int { return int(a.id - b.id) })
	before := f.last.id
	if before == 0 && len(rows) > 0 { // the first look
		before = max(0, rows[len(rows)-1].id-firstLook)
	}
	for _, row := range rows {
		for id := max(before+1, row.id-maxMissing); id < row.id; id++ {
			f.missing[id] = now
		}
		before = max(before, row.id)
	}
	for id := range f.missing { // those that are over, where there are too many
		if len(f.missing) <= maxMissing {
			break
		}
		if id < before-maxMissing {
			delete(f.missing, id)
		}
	}
}

// open notes which file SQLite has open. One in memory has none.
func (f *feed) open(ctx context.Context) error {
	var seq int
	var name string
	var path sql.NullString
	if err := f.s.reader.QueryRowContext(ctx, `PRAGMA database_list`).Scan(&seq, &name, &path); err != nil {
		return wrap(ctx, err)
	}
	if f.path = path.String; f.path == "" {
		return nil
	}
	file, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("sqlstore: %w", errors.Join(store.ErrUnavailable, err))
	}
	f.file = file
	return nil
}

// addBeat adds a row that is about no user.
func (s *Store) addBeat(ctx context.Context) error { return s.addNews(ctx, nil) }

// tellFeed notes in the transaction of ctx that a user's sessions have ended, or that
// the user changed. uuid.Nil stands for all users. On PostgreSQL and SQLite triggers do
// this.
func (s *Store) tellFeed(ctx context.Context, user uuid.UUID) error {
	if s.dialect.name != "mysql" {
		return nil
	}
	return s.addNews(ctx, s.dialect.id(user))
}

func (s *Store) addNews(ctx context.Context, user any) error {
	var nonce uuid.UUID
	_, _ = rand.Read(nonce[:]) // which never fails
	_, err := s.exec(ctx, s.q.addFeed, user, s.dialect.id(nonce))
	return err
}
