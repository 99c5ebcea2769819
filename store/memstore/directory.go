package memstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.Directory = (*Store)(nil)

var (
	errBan    = fmt.Errorf("memstore: the reason of a ban has at most 500 bytes of text without NUL: %w", store.ErrConstraint)
	errCursor = fmt.Errorf("memstore: UserQuery.After is no UserPage.Next: %w", store.ErrConstraint)
)

// ListUsers implements store.Directory. It reads all users each time, since a store in
// memory is small.
func (s *Store) ListUsers(ctx context.Context, q store.UserQuery) (page store.UserPage, err error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return page, err
	}
	defer leave()
	q = q.Bounded()
	first, last := q.IDs()
	type row struct {
		store.User
		cursor string
	}
	var rows []row
	bySubject := q.Provider != "" || q.SubjectPrefix != ""
	add := func(user store.User, cursor string) {
		if q.Matches(user) && bytes.Compare(user.ID[:], first[:]) >= 0 && bytes.Compare(user.ID[:], last[:]) < 0 {
			rows = append(rows, row{user, cursor})
		}
	}
	order := strings.Compare
	if bySubject {
		for key, identity := range s.identities {
			if (q.Provider == "" || key.provider == q.Provider) && strings.HasPrefix(key.subject, q.SubjectPrefix) {
				add(s.users[identity.UserID], key.provider+"\x00"+key.subject)
			}
		}
	} else {
		order = func(a, b string) int { return strings.Compare(b, a) }
		for _, user := range s.users {
			add(user, user.ID.String())
		}
	}
	if _, parsed := uuid.Parse(q.After); q.After != "" && (bySubject != strings.Contains(q.After, "\x00") || !bySubject && parsed != nil) {
		return page, errCursor
	}
	slices.SortFunc(rows, func(a, b row) int { return order(a.cursor, b.cursor) })
	for _, row := range rows {
		switch {
		case q.After != "" && order(row.cursor, q.After) <= 0:
		case len(page.Users) == q.Limit:
			return page, nil
		default:
			page.Users = append(page.Users, store.ListedUser{User: row.User, Identities: s.publicIdentities(row.ID)})
			if page.Next = row.cursor; row.cursor == rows[len(rows)-1].cursor {
				page.Next = ""
			}
		}
	}
	return page, nil
}

func (s *Store) publicIdentities(userID uuid.UUID) []store.Identity {
	var identities []store.Identity
	for _, identity := range s.identities {
		if identity.UserID == userID {
			identity.Secret = nil
			identities = append(identities, identity)
		}
	}
	slices.SortFunc(identities, byAge)
	return identities
}

func byAge(a, b store.Identity) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Provider, b.Provider), strings.Compare(a.Subject, b.Subject))
}

// CountUsers implements store.Directory.
func (s *Store) CountUsers(ctx context.Context, kind store.UserKind, _ bool) (store.Count, error) {
	return s.count(ctx, func(u store.User) bool { return store.UserQuery{Kind: kind}.Matches(u) })
}

// CountInactive implements store.Directory.
func (s *Store) CountInactive(ctx context.Context, before time.Time, most int) (store.Count, error) {
	count, err := s.count(ctx, func(u store.User) bool { return u.Anonymous && u.SeenAt.Before(before) })
	if count.N > int64(most) {
		count = store.Count{N: int64(most), Accuracy: store.AtLeast}
	}
	return count, err
}

func (s *Store) count(ctx context.Context, counts func(store.User) bool) (store.Count, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.Count{}, err
	}
	defer leave()
	count := store.Count{Accuracy: store.Exact}
	for _, user := range s.users {
		if counts(user) {
			count.N++
		}
	}
	return count, nil
}

// DailyUsers implements store.Directory.
func (s *Store) DailyUsers(ctx context.Context, from time.Time, days int) ([]store.DailyUsers, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	all := make([]store.DailyUsers, days)
	for i := range all {
		begin, end := from.AddDate(0, 0, i), from.AddDate(0, 0, i+1)
		all[i] = store.DailyUsers{Day: begin, New: store.Count{Accuracy: store.Exact}, First: make(map[string]store.Count)}
		first, next := store.FirstUserID(begin), store.FirstUserID(end)
		for id := range s.users {
			if bytes.Compare(id[:], first[:]) >= 0 && bytes.Compare(id[:], next[:]) < 0 {
				all[i].New.N++
			}
			identities := s.publicIdentities(id)
			if len(identities) > 0 && !identities[0].CreatedAt.Before(begin) && identities[0].CreatedAt.Before(end) {
				all[i].First[identities[0].Provider] = store.Count{N: all[i].First[identities[0].Provider].N + 1, Accuracy: store.Exact}
			}
		}
	}
	return all, nil
}

// FindTombstone implements store.Directory.
func (s *Store) FindTombstone(ctx context.Context, userID uuid.UUID) (store.Tombstone, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.Tombstone{}, err
	}
	defer leave()
	tombstone, ok := s.tombstones[userID]
	if !ok {
		return store.Tombstone{}, store.ErrNotFound
	}
	return tombstone, nil
}

// SetBan implements store.Directory.
func (s *Store) SetBan(ctx context.Context, userID uuid.UUID, ban store.Ban) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	user, ok := s.users[userID]
	switch {
	case !ban.Valid():
		return errBan
	case !ok:
		return store.ErrNotFound
	case ban.Until.IsZero():
		ban = store.Ban{}
	default:
		ban.Until = moment(ban.Until)
	}
	user.Ban = ban
	s.tellFeed(userID)
	s.putUser(t, user)
	return nil
}
