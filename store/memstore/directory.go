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
	"github.com/walkin-go/walkin"
)

var _ walkin.Directory = (*Store)(nil)

var (
	errBan    = fmt.Errorf("memstore: the reason of a ban has at most 500 bytes of text without NUL: %w", walkin.ErrConstraint)
	errCursor = fmt.Errorf("memstore: UserQuery.After is no UserPage.Next: %w", walkin.ErrConstraint)
)

// ListUsers implements walkin.Directory. It reads all users each time, since a store in
// memory is small.
func (s *Store) ListUsers(ctx context.Context, q walkin.UserQuery) (page walkin.UserPage, err error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return page, err
	}
	defer leave()
	q = q.Bounded()
	first, last := q.IDs()
	type row struct {
		walkin.User
		cursor string
	}
	var rows []row
	bySubject := q.Provider != "" || q.SubjectPrefix != ""
	add := func(user walkin.User, cursor string) {
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
			page.Users = append(page.Users, walkin.ListedUser{User: row.User, Identities: s.publicIdentities(row.ID)})
			if page.Next = row.cursor; row.cursor == rows[len(rows)-1].cursor {
				page.Next = ""
			}
		}
	}
	return page, nil
}

func (s *Store) publicIdentities(userID uuid.UUID) []walkin.Identity {
	var identities []walkin.Identity
	for _, identity := range s.identities {
		if identity.UserID == userID {
			identity.Secret = nil
			identities = append(identities, identity)
		}
	}
	slices.SortFunc(identities, byAge)
	return identities
}

func byAge(a, b walkin.Identity) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Provider, b.Provider), strings.Compare(a.Subject, b.Subject))
}

// CountUsers implements walkin.Directory.
func (s *Store) CountUsers(ctx context.Context, kind walkin.UserKind, _ bool) (walkin.Count, error) {
	return s.count(ctx, func(u walkin.User) bool { return walkin.UserQuery{Kind: kind}.Matches(u) })
}

// CountInactive implements walkin.Directory.
func (s *Store) CountInactive(ctx context.Context, before time.Time, most int) (walkin.Count, error) {
	count, err := s.count(ctx, func(u walkin.User) bool { return u.Anonymous && u.SeenAt.Before(before) })
	if count.N > int64(most) {
		count = walkin.Count{N: int64(most), Accuracy: walkin.AtLeast}
	}
	return count, err
}

func (s *Store) count(ctx context.Context, counts func(walkin.User) bool) (walkin.Count, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return walkin.Count{}, err
	}
	defer leave()
	count := walkin.Count{Accuracy: walkin.Exact}
	for _, user := range s.users {
		if counts(user) {
			count.N++
		}
	}
	return count, nil
}

// DailyUsers implements walkin.Directory.
func (s *Store) DailyUsers(ctx context.Context, from time.Time, days int) ([]walkin.DailyUsers, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	all := make([]walkin.DailyUsers, days)
	for i := range all {
		begin, end := from.AddDate(0, 0, i), from.AddDate(0, 0, i+1)
		all[i] = walkin.DailyUsers{Day: begin, New: walkin.Count{Accuracy: walkin.Exact}, First: make(map[string]walkin.Count)}
		first, next := walkin.FirstUserID(begin), walkin.FirstUserID(end)
		for id := range s.users {
			if bytes.Compare(id[:], first[:]) >= 0 && bytes.Compare(id[:], next[:]) < 0 {
				all[i].New.N++
			}
			identities := s.publicIdentities(id)
			if len(identities) > 0 && !identities[0].CreatedAt.Before(begin) && identities[0].CreatedAt.Before(end) {
				all[i].First[identities[0].Provider] = walkin.Count{N: all[i].First[identities[0].Provider].N + 1, Accuracy: walkin.Exact}
			}
		}
	}
	return all, nil
}

// FindTombstone implements walkin.Directory.
func (s *Store) FindTombstone(ctx context.Context, userID uuid.UUID) (walkin.Tombstone, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return walkin.Tombstone{}, err
	}
	defer leave()
	tombstone, ok := s.tombstones[userID]
	if !ok {
		return walkin.Tombstone{}, walkin.ErrNotFound
	}
	return tombstone, nil
}

// SetBan implements walkin.Directory.
func (s *Store) SetBan(ctx context.Context, userID uuid.UUID, ban walkin.Ban) error {
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
		return walkin.ErrNotFound
	case ban.Until.IsZero():
		ban = walkin.Ban{}
	default:
		ban.Until = moment(ban.Until)
	}
	user.Ban = ban
	s.tellFeed(userID)
	s.putUser(t, user)
	return nil
}
