package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// maxCounted is how many rows a count reads by default: some 30 ms of an index.
const maxCounted = 100_000

// sizeQuery asks PostgreSQL for the number of entries and pages that an index had at
// the last ANALYZE, and for the pages that it has now. A partial index counts its own
// rows only.
const sizeQuery = `
	SELECT CAST(c.reltuples AS float8), c.relpages, pg_relation_size(c.oid) / CAST(current_setting('block_size') AS bigint)
	FROM pg_class c WHERE c.oid = to_regclass(?)`

// CountUsers implements store.Directory.
func (s *Store) CountUsers(ctx context.Context, kind store.UserKind, exact bool) (store.Count, error) {
	where, index := "", "walkin_users_pkey"
	switch kind {
	case store.AnonymousUsers:
		where, index = " WHERE anonymous = TRUE", "walkin_users_away"
	case store.PermanentUsers:
		where, index = " WHERE anonymous = FALSE", "walkin_users_permanent"
	}
	if exact {
		count := store.Count{Accuracy: store.Exact}
		err := s.from(ctx).QueryRowContext(ctx, "SELECT COUNT(*) FROM walkin_users"+where).Scan(&count.N)
		if err != nil {
			return store.Count{}, wrap(ctx, err)
		}
		return count, nil
	}
	if s.dialect.name == "postgres" {
		count, known, err := s.estimate(ctx, index)
		if err != nil || known {
			return count, err
		}
	}
	query := s.dialect.sql("SELECT COUNT(*) FROM (SELECT 1 FROM walkin_users" + where + " LIMIT ?) AS counted")
	return s.countSome(ctx, query, maxCounted)
}

// estimate returns how many entries an index has, where it is large, and known false
// where it is small or was never looked through.
func (s *Store) estimate(ctx context.Context, index string) (count store.Count, known bool, err error) {
	var tuples float64
	var pages, now int64
	err = s.from(ctx).QueryRowContext(ctx, s.dialect.sql(sizeQuery), index).Scan(&tuples, &pages, &now)
	if errors.Is(err, sql.ErrNoRows) {
		return count, false, nil // an operator without that index
	} else if err != nil {
		return count, false, wrap(ctx, err)
	}
	n := tuples
	if pages > 0 {
		n = tuples / float64(pages) * float64(now)
	}
	if tuples < 0 || n < maxCounted {
		return count, false, nil
	}
	return store.Count{N: int64(n), Accuracy: store.Approximate}, true, nil
}

// A day is counted in parts, and of each part the first rows are read. On a busy day,
// the time span of these rows tells how many there are.
const (
	dayParts     = 24
	maxNew       = 100 // rows of a part
	upgradeParts = 8   // one query each
	maxUpgrades  = 60
)

// DailyUsers implements store.Directory.
func (s *Store) DailyUsers(ctx context.Context, from time.Time, days int) ([]store.DailyUsers, error) {
	all := make([]store.DailyUsers, 0, days)
	for i := range days {
		day := store.DailyUsers{Day: from.AddDate(0, 0, i)}
		end := from.AddDate(0, 0, i+1)
		var err error
		if day.New, err = s.newUsers(ctx, day.Day, end); err != nil {
			return nil, err
		}
		if day.First, err = s.firstIdentities(ctx, day.Day, end); err != nil {
			return nil, err
		}
		all = append(all, day)
	}
	return all, nil
}

// newUsers counts by ID.
func (s *Store) newUsers(ctx context.Context, from, end time.Time) (store.Count, error) {
	part := end.Sub(from) / dayParts
	last := "MAX(id)"
	if s.dialect.nativeID {
		last = "MAX(CAST(id AS text))" // PostgreSQL has no greatest uuid before 18
	}
	var parts []string
	var args []any
	for i := range dayParts {
		begin := from.Add(time.Duration(i) * part)
		first, next := store.FirstUserID(begin), store.FirstUserID(begin.Add(part))
		parts = append(parts, fmt.Sprintf("SELECT %d AS part, COUNT(*), %s FROM (SELECT id FROM walkin_users WHERE id >= ? AND id < ? ORDER BY id LIMIT %d) AS counted", i, last, maxNew))
		args = append(args, s.dialect.id(first), s.dialect.id(next))
	}
	rows, err := s.from(ctx).QueryContext(ctx, s.dialect.sql(strings.Join(parts, " UNION ALL ")), args...)
	if err != nil {
		return store.Count{}, wrap(ctx, err)
	}
	defer rows.Close()
	count := store.Count{Accuracy: store.Exact}
	for rows.Next() {
		var i, n int64
		var last uuid.NullUUID
		if err := rows.Scan(&i, &n, &last); err != nil {
			return store.Count{}, wrap(ctx, err)
		}
		if n == maxNew {
			id := last.UUID
			ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
			n = extrapolate(n, maxNew, time.UnixMilli(ms).Sub(from.Add(time.Duration(i)*part)), part)
			count.Accuracy = store.Approximate
		}
		count.N += n
	}
	if err := rows.Err(); err != nil {
		return store.Count{}, wrap(ctx, err)
	}
	return count, nil
}

// extrapolate returns how many there are in the whole time span, when the rows read
// came in the first part of it, and n of them count. The time of the last row read
// is one row's wait too short, hence one less.
func extrapolate(n, read int64, in, of time.Duration) int64 {
	rate := float64(read-1) / float64(read) / float64(max(in, time.Millisecond))
	return max(n, int64(float64(n)*rate*float64(of)))
}

const firstQuery = `
	SELECT provider, {{time created_at}}, NOT EXISTS (SELECT 1 FROM walkin_identities e
		WHERE e.user_id = i.user_id AND (e.created_at < i.created_at OR e.created_at = i.created_at AND (e.provider, e.subject) < (i.provider, i.subject)))
	FROM walkin_identities i WHERE created_at >= ? AND created_at < ? ORDER BY created_at LIMIT ?`

// firstIdentities counts users by when they got their first one. A quiet day is one
// part.
func (s *Store) firstIdentities(ctx context.Context, from, end time.Time) (map[string]store.Count, error) {
	const quiet = upgradeParts * maxUpgrades / 4
	part := end.Sub(from) / upgradeParts
	query := s.dialect.sql(firstQuery)
	counts := make(map[string]store.Count)
	whole, err := s.firstIn(ctx, query, from, end, quiet)
	if err != nil {
		return nil, err
	} else if whole.read < quiet {
		for provider, n := range whole.found {
			counts[provider] = store.Count{N: n, Accuracy: store.Exact}
		}
		return counts, nil
	}
	for i := range upgradeParts {
		begin := from.Add(time.Duration(i) * part)
		some, err := s.firstIn(ctx, query, begin, begin.Add(part), maxUpgrades)
		if err != nil {
			return nil, err
		}
		for provider, n := range some.found {
			count := counts[provider]
			if count.Accuracy == "" {
				count.Accuracy = store.Exact
			}
			if some.read == maxUpgrades {
				n, count.Accuracy = extrapolate(n, maxUpgrades, some.last.Sub(begin), part), store.Approximate
			}
			count.N += n
			counts[provider] = count
		}
	}
	return counts, nil
}

// firsts are the users of the first identities in a time span.
type firsts struct {
	found map[string]int64 // by provider
	read  int              // identities
	last  time.Time
}

func (s *Store) firstIn(ctx context.Context, query string, from, end time.Time, most int) (firsts, error) {
	rows, err := s.from(ctx).QueryContext(ctx, query, s.dialect.time(from), s.dialect.time(end), most)
	if err != nil {
		return firsts{}, wrap(ctx, err)
	}
	defer rows.Close()
	f := firsts{found: make(map[string]int64)}
	for ; rows.Next(); f.read++ {
		var provider string
		var first bool
		if err := rows.Scan(&provider, moment{&f.last}, &first); err != nil {
			return firsts{}, wrap(ctx, err)
		}
		if first {
			f.found[provider]++
		}
	}
	if err := rows.Err(); err != nil {
		return firsts{}, wrap(ctx, err)
	}
	return f, nil
}
