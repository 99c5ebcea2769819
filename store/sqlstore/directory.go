package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.Directory = (*Store)(nil)

// What a page reads at most, in windows that grow. Each window is a range of an index,
// so that no planner has anything to choose, however rare the matching users are.
const (
	maxScanned = 8192
	maxOwners  = 2048 // by address: for each of them a user is looked up
	maxGrowth  = 4
)

// directoryQueries are the operator's queries. They are few and rarely used, so they
// are fitted to the dialect when they are used.
const (
	usersQuery = `
		SELECT id, anonymous, {{time created_at}}, {{time seen_at}}, {{time banned_until}}, COALESCE(ban_reason, '')
		FROM walkin_users WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?`

	permanentQuery = `
		SELECT id, anonymous, {{time created_at}}, {{time seen_at}}, {{time banned_until}}, COALESCE(ban_reason, '')
		FROM walkin_users WHERE anonymous = FALSE AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?`

	ownersQuery = `
		SELECT i.subject, u.id, u.anonymous, {{time u.created_at}}, {{time u.seen_at}}, {{time u.banned_until}}, COALESCE(u.ban_reason, '')
		FROM walkin_identities i JOIN walkin_users u ON u.id = i.user_id
		WHERE i.provider = ? AND i.subject >= ? AND i.subject <= ? ORDER BY i.subject LIMIT ?`

	// The least one is looked up in the primary key, whatever the number of rows.
	nextProviderQuery = `SELECT MIN(provider) FROM walkin_identities WHERE provider > ?`

	identitiesOfQuery = `
		SELECT user_id, provider, subject, {{time created_at}} FROM walkin_identities WHERE user_id`

	tombstoneQuery = `
		SELECT merged_into, {{time deleted_at}}, {{time expires_at}} FROM walkin_tombstones WHERE user_id = ?`

	banQuery = `UPDATE walkin_users SET banned_until = ?, ban_reason = ? WHERE id = ?`

	inactiveQuery = `
		SELECT COUNT(*) FROM (SELECT 1 FROM walkin_users WHERE anonymous = TRUE AND seen_at < ? ORDER BY seen_at, id LIMIT ?) AS counted`
)

// lastSubject sorts after all subjects of a prefix: it is the last character there is.
const lastSubject = "\U0010ffff"

var errCursor = fmt.Errorf("sqlstore: UserQuery.After is no UserPage.Next: %w", store.ErrConstraint)

// ListUsers implements store.Directory.
func (s *Store) ListUsers(ctx context.Context, q store.UserQuery) (store.UserPage, error) {
	q = q.Bounded()
	list := s.listByID
	if q.Provider != "" || q.SubjectPrefix != "" {
		list = s.listBySubject
	}
	page, err := list(ctx, q)
	if err == nil && len(page.Users) > 0 {
		err = s.addIdentities(ctx, page.Users)
	}
	return page, err
}

func (s *Store) listByID(ctx context.Context, q store.UserQuery) (page store.UserPage, err error) {
	first, last := q.IDs()
	if q.After != "" {
		after, err := uuid.Parse(q.After)
		if err != nil {
			return page, errCursor
		}
		if string(after[:]) < string(last[:]) {
			last = after
		}
	}
	text := usersQuery
	if q.Kind == store.PermanentUsers {
		text = permanentQuery
	}
	query := s.dialect.sql(text)
	for scanned, window := 0, q.Limit+1; scanned < maxScanned; window = min(window*maxGrowth, maxScanned-scanned) {
		users, err := s.users(ctx, query, func(rows *sql.Rows, u *store.User) error {
			return rows.Scan(&u.ID, &u.Anonymous, moment{&u.CreatedAt}, moment{&u.SeenAt}, moment{&u.Ban.Until}, &u.Ban.Reason)
		}, s.dialect.id(last), s.dialect.id(first), window)
		if err != nil {
			return store.UserPage{}, err
		}
		for _, user := range users {
			if !q.Matches(user) {
				last = user.ID
				continue
			}
			if len(page.Users) == q.Limit {
				page.Next = last.String()
				return page, nil
			}
			last = user.ID
			page.Users = append(page.Users, store.ListedUser{User: user})
		}
		if len(users) < window {
			return page, nil
		}
		scanned += window
	}
	page.Next = last.String()
	return page, nil
}

// users reads the rows of a query.
func (s *Store) users(ctx context.Context, query string, scan func(*sql.Rows, *store.User) error, args ...any) ([]store.User, error) {
	rows, err := s.from(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap(ctx, err)
	}
	defer rows.Close()
	var users []store.User
	for rows.Next() {
		var user store.User
		if err := scan(rows, &user); err != nil {
			return nil, wrap(ctx, err)
		}
		users = append(users, user)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(ctx, err)
	}
	return users, nil
}

// listBySubject goes through the identities of one provider after the other.
func (s *Store) listBySubject(ctx context.Context, q store.UserQuery) (page store.UserPage, err error) {
	if !canName(q.Provider, q.SubjectPrefix) || q.Kind == store.AnonymousUsers {
		return page, nil // no identity is so, and an anonymous user has none
	}
	provider, after, found := strings.Cut(q.After, "\x00")
	switch {
	case q.After != "" && (!found || !canName(provider, after) || q.Provider != "" && provider != q.Provider || after != "" && !strings.HasPrefix(after, q.SubjectPrefix)):
		return page, errCursor
	case q.After == "" && q.Provider != "":
		provider = q.Provider
	case q.After == "":
		if provider, err = s.nextProvider(ctx, ""); err != nil {
			return page, err
		}
	}
	for scanned := 0; provider != ""; after = "" {
		more := false
		if more, err = s.listProvider(ctx, q, provider, after, &page, &scanned); err != nil || more {
			return page, err
		}
		if q.Provider != "" {
			return page, nil
		}
		if provider, err = s.nextProvider(ctx, provider); err != nil {
			return page, err
		}
	}
	return page, nil
}

func (s *Store) nextProvider(ctx context.Context, after string) (string, error) {
	var next sql.NullString
	err := s.from(ctx).QueryRowContext(ctx, s.dialect.sql(nextProviderQuery), after).Scan(&next)
	if err != nil {
		return "", wrap(ctx, err)
	}
	return next.String, nil
}

// listProvider adds to a page, and reports whether it is full, or enough was read
// for one.
func (s *Store) listProvider(ctx context.Context, q store.UserQuery, provider, after string, page *store.UserPage, scanned *int) (more bool, err error) {
	first, last := q.IDs()
	inRange := func(u store.User) bool {
		return string(u.ID[:]) >= string(first[:]) && string(u.ID[:]) < string(last[:])
	}
	query := s.dialect.sql(ownersQuery)
	for window := q.Limit + 1; ; window = min(window*maxGrowth, max(maxOwners-*scanned, 1)) {
		var subjects []string
		start := q.SubjectPrefix
		if after != "" {
			start = after + "\x01" // the next text that has no NUL
		}
		users, err := s.users(ctx, query, func(rows *sql.Rows, u *store.User) error {
			subjects = append(subjects, "")
			return rows.Scan(&subjects[len(subjects)-1], &u.ID, &u.Anonymous, moment{&u.CreatedAt}, moment{&u.SeenAt}, moment{&u.Ban.Until}, &u.Ban.Reason)
		}, provider, start, q.SubjectPrefix+lastSubject, window)
		if err != nil {
			return false, err
		}
		for i, user := range users {
			matches := strings.HasPrefix(subjects[i], q.SubjectPrefix) && q.Matches(user) && inRange(user)
			if matches && len(page.Users) == q.Limit {
				page.Next = provider + "\x00" + after
				return true, nil
			}
			after = subjects[i]
			if matches {
				page.Users = append(page.Users, store.ListedUser{User: user})
			}
		}
		if len(users) < window {
			return false, nil
		}
		if *scanned += window; *scanned >= maxOwners {
			page.Next = provider + "\x00" + after
			return true, nil
		}
	}
}

// addIdentities adds those of all users of a page.
func (s *Store) addIdentities(ctx context.Context, users []store.ListedUser) error {
	plain := make([]store.User, len(users))
	for i := range users {
		plain[i] = users[i].User
	}
	of := make(map[uuid.UUID][]store.Identity)
	for chunk := range slices.Chunk(plain, deleteChunk) {
		in, ids := s.list(idsOf(chunk))
		rows, err := s.from(ctx).QueryContext(ctx, s.dialect.sql(identitiesOfQuery+in+` ORDER BY created_at, provider, subject`), ids...)
		if err != nil {
			return wrap(ctx, err)
		}
		for rows.Next() {
			var one store.Identity
			if err = rows.Scan(&one.UserID, &one.Provider, &one.Subject, moment{&one.CreatedAt}); err != nil {
				break
			}
			of[one.UserID] = append(of[one.UserID], one)
		}
		if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return wrap(ctx, err)
		}
	}
	for i := range users {
		users[i].Identities = of[users[i].ID]
	}
	return nil
}

// FindTombstone implements store.Directory.
func (s *Store) FindTombstone(ctx context.Context, userID uuid.UUID) (store.Tombstone, error) {
	t := store.Tombstone{UserID: userID}
	var merged uuid.NullUUID
	row := s.from(ctx).QueryRowContext(ctx, s.dialect.sql(tombstoneQuery), s.dialect.id(userID))
	err := row.Scan(&merged, moment{&t.DeletedAt}, moment{&t.ExpiresAt})
	if errors.Is(err, sql.ErrNoRows) {
		return store.Tombstone{}, store.ErrNotFound
	} else if err != nil {
		return store.Tombstone{}, wrap(ctx, err)
	}
	t.MergedInto = merged.UUID
	return t, nil
}

// SetBan implements store.Directory.
func (s *Store) SetBan(ctx context.Context, userID uuid.UUID, ban store.Ban) error {
	if !ban.Valid() {
		return fmt.Errorf("sqlstore: the reason of a ban has at most 500 bytes of text without NUL: %w", store.ErrConstraint)
	}
	var until, reason any
	if !ban.Until.IsZero() {
		until, reason = s.dialect.time(ban.Until), ban.Reason
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		// The lock makes this wait for a sign-in that has begun. Besides, MySQL does
		// not count a row that had these values already.
		if _, err := s.LockUser(ctx, userID); err != nil {
			return err
		}
		if _, err := s.exec(ctx, s.dialect.sql(banQuery), until, reason, s.dialect.id(userID)); err != nil {
			return err
		}
		return s.tellFeed(ctx, userID)
	})
}

// CountInactive implements store.Directory.
func (s *Store) CountInactive(ctx context.Context, before time.Time, most int) (store.Count, error) {
	return s.countSome(ctx, s.dialect.sql(inactiveQuery), most, s.dialect.time(before))
}

// countSome counts what a query with a LIMIT behind all else finds.
func (s *Store) countSome(ctx context.Context, query string, most int, args ...any) (store.Count, error) {
	count := store.Count{Accuracy: store.Exact}
	if err := s.from(ctx).QueryRowContext(ctx, query, append(args, most+1)...).Scan(&count.N); err != nil {
		return store.Count{}, wrap(ctx, err)
	}
	if count.N > int64(most) {
		count = store.Count{N: int64(most), Accuracy: store.AtLeast}
	}
	return count, nil
}
