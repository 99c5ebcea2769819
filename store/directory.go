package store

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// A Directory is a [Store] for operators: it lists and counts users, and bans them.
// Serving visitors does not need it, except for the ban, which [Store.LookupSession] and
// [Store.LockUser] report.
//
// No method reads a whole table unless asked to. A page reads a bounded number of rows,
// however few of them its filters leave. A count that would read more says that it is
// not exact.
type Directory interface {
	Store

	// ListUsers returns a page of users, the newest first, by ID. With a Provider or a
	// SubjectPrefix they are ordered by provider and subject, and a user appears once
	// for each identity that matches. A page may be short, even empty, where few users
	// match; UserPage.Next is empty only at the end. If After is not a Next of this
	// query, it returns an error.
	ListUsers(ctx context.Context, q UserQuery) (UserPage, error)

	// CountUsers returns how many users of a kind there are. Without exact it is quick,
	// and the count says how accurate it is.
	CountUsers(ctx context.Context, kind UserKind, exact bool) (Count, error)

	// CountInactive returns how many anonymous users were last seen before a time. It
	// counts up to most.
	CountInactive(ctx context.Context, before time.Time, most int) (Count, error)

	// DailyUsers returns how many users appeared on each of some days, which
	// begin at from: by ID, so by when they were minted, and by when and with
	// which provider they got their first identity. Busy days are sampled.
	DailyUsers(ctx context.Context, from time.Time, days int) ([]DailyUsers, error)

	// FindTombstone returns the tombstone of a deleted user, or ErrNotFound.
	FindTombstone(ctx context.Context, userID uuid.UUID) (Tombstone, error)

	// SetBan bans a user and replaces an existing ban; the zero Ban lifts it. A user
	// who does not exist is ErrNotFound.
	SetBan(ctx context.Context, userID uuid.UUID, ban Ban) error
}

// A Ban keeps a user out until it ends. Their sessions stay, so that they can go on
// when it is over or lifted.
type Ban struct {
	Until  time.Time
	Reason string // for the operator; at most 500 bytes of UTF-8, no NUL
}

// UserKind says which users.
type UserKind uint8

const (
	AllUsers UserKind = iota
	AnonymousUsers
	PermanentUsers
)

// A UserQuery says which users [Directory.ListUsers] returns. The zero value returns
// all of them.
type UserQuery struct {
	Kind          UserKind
	Provider      string    // users with an identity of this provider
	SubjectPrefix string    // and one whose subject begins so, byte for byte; of any provider where Provider is empty
	SeenBefore    time.Time // last seen before; zero is no bound
	CreatedFrom   time.Time // minted at or after, by their ID
	CreatedBefore time.Time // minted before

	After string // UserPage.Next of the page before; empty begins
	Limit int    // of a page; zero is 50, more than 1,000 is 1,000
}

// A UserPage is a part of a list.
type UserPage struct {
	Users []ListedUser
	Next  string // for UserQuery.After; empty at the end
}

// A ListedUser is a user with their identities, oldest first, without secrets.
type ListedUser struct {
	User
	Identities []Identity
}

// A Count is a number and how accurate it is.
type Count struct {
	N        int64
	Accuracy Accuracy
}

// Accuracy says how accurate a number is.
type Accuracy string

const (
	Exact       Accuracy = "exact"
	Approximate Accuracy = "approximate" // by statistics or a sample
	AtLeast     Accuracy = "at_least"    // counting stopped there
)

// DailyUsers are the counts of one day.
type DailyUsers struct {
	Day   time.Time
	New   Count            // minted and stored
	First map[string]Count // got their first identity, by its provider
}

const maxPage = 1000

// Bounded returns q with its defaults filled in, for stores.
func (q UserQuery) Bounded() UserQuery {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, maxPage)
	return q
}

// IDs returns the range of user IDs of q, first to last, by the times in it. A user
// was minted before they were seen, so SeenBefore bounds them as well.
func (q UserQuery) IDs() (first, last uuid.UUID) {
	for i := range last {
		last[i] = 0xff
	}
	if !q.CreatedFrom.IsZero() {
		first = FirstUserID(q.CreatedFrom)
	}
	for _, before := range []time.Time{q.CreatedBefore, q.SeenBefore} {
		if end := FirstUserID(before); !before.IsZero() && string(end[:]) < string(last[:]) {
			last = end // no user has it: the version is missing
		}
	}
	return first, last
}

// FirstUserID returns an ID below all that are minted from a time on, and above all
// that were minted before.
func FirstUserID(at time.Time) (id uuid.UUID) {
	ms := max(at.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// Matches reports whether a user is of the kind and was seen early enough.
func (q UserQuery) Matches(u User) bool {
	return (q.Kind == AllUsers || u.Anonymous == (q.Kind == AnonymousUsers)) &&
		(q.SeenBefore.IsZero() || u.SeenAt.Before(q.SeenBefore))
}

// Valid reports whether a store keeps the ban.
func (b Ban) Valid() bool {
	if len(b.Reason) > 500 || !utf8.ValidString(b.Reason) {
		return false
	}
	for i := range len(b.Reason) {
		if b.Reason[i] == 0 {
			return false
		}
	}
	return true
}
