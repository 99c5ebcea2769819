package storetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// runDirectory holds what the operator sees, over a store that is a
// store.Directory.
func runDirectory(t *testing.T, open Opener) {
	cases := []struct {
		rule string
		run  func(t *testing.T, a, b store.Directory)
	}{
		{"users come newest first, each once, page by page, by what is asked for", listUsers},
		{"users are found by provider and by the beginning of a subject, byte for byte", listBySubject},
		{"a page reads so much at most, and the next one goes on", listRare},
		{"what is no cursor of the query is an error, and finds nothing", listCursors},
		{"a count says what it is worth", countUsers},
		{"new users and first identities are counted by day", dailyUsers},
		{"a tombstone is found, and nothing else is one", findTombstone},
		{"a ban is told by LookupSession and LockUser, changes nothing else, and can be lifted", setBan},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			handle := open(t)
			a, isA := handle(t).(store.Directory)
			b, _ := handle(t).(store.Directory)
			if !isA {
				t.Skip("this store is no Directory")
			}
			c.run(t, a, b)
		})
	}
}

// mintedAt makes a user who was minted and stored at a time.
func mintedAt(t *testing.T, s store.Store, at time.Time, anonymous bool) store.User {
	t.Helper()
	id := store.FirstUserID(at)
	random := uuid.New()
	copy(id[6:], random[6:])
	id[6] = 0x70 | id[6]&0x0f
	user := store.User{ID: id, Anonymous: anonymous, CreatedAt: at, SeenAt: at.Add(time.Second)}
	ok(t, s.CreateUser(t.Context(), user))
	return user
}

// all returns the users of a query, page by page.
func all(t *testing.T, s store.Directory, q store.UserQuery) (users []store.ListedUser) {
	t.Helper()
	for range 1000 {
		page, err := s.ListUsers(t.Context(), q)
		ok(t, err)
		if len(page.Users) > q.Bounded().Limit {
			t.Fatalf("got %d users on a page of %d", len(page.Users), q.Limit)
		}
		users = append(users, page.Users...)
		if q.After = page.Next; q.After == "" {
			return users
		}
	}
	t.Fatal("the pages do not end")
	return nil
}

func wantUsers(t *testing.T, what string, got []store.ListedUser, want ...store.User) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d users, want %d", what, len(got), len(want))
		return
	}
	for i, user := range got {
		if user.ID != want[i].ID {
			t.Errorf("%s: user %d: got %v, want %v", what, i, user.ID, want[i].ID)
		}
	}
}

func listUsers(t *testing.T, a, b store.Directory) {
	var users, anonymous, permanent []store.User // newest first
	for i := range 23 {
		u := mintedAt(t, a, start.Add(time.Duration(i)*time.Minute), i%3 != 0)
		users = slices.Insert(users, 0, u)
		if u.Anonymous {
			anonymous = slices.Insert(anonymous, 0, u)
		} else {
			permanent = slices.Insert(permanent, 0, u)
		}
	}
	one := identityOf(permanent[2], "one")
	ok(t, a.CreateIdentity(t.Context(), one))
	for _, limit := range []int{1, 4, 23, 0} {
		wantUsers(t, "all", all(t, b, store.UserQuery{Limit: limit}), users...)
		wantUsers(t, "anonymous", all(t, b, store.UserQuery{Kind: store.AnonymousUsers, Limit: limit}), anonymous...)
		got := all(t, b, store.UserQuery{Kind: store.PermanentUsers, Limit: limit})
		wantUsers(t, "permanent", got, permanent...)
		sameUser(t, got[2].User, permanent[2])
		if len(got[2].Identities) != 1 || got[2].Identities[0].Subject != one.Subject || got[2].Identities[0].Secret != nil || len(got[1].Identities) != 0 {
			t.Errorf("got identities %+v, want the one without its secret", got[2].Identities)
		}
	}
	wantUsers(t, "a range", all(t, b, store.UserQuery{CreatedFrom: users[9].CreatedAt, CreatedBefore: users[4].CreatedAt, Limit: 2}), users[5:10]...)
	wantUsers(t, "seen before", all(t, b, store.UserQuery{SeenBefore: users[19].SeenAt.Truncate(time.Microsecond), Limit: 2}), users[20:]...)
	wantUsers(t, "none", all(t, b, store.UserQuery{CreatedFrom: start.Add(time.Hour)}))
}

func listBySubject(t *testing.T, a, b store.Directory) {
	at := start
	own := func(provider, subject string) store.User {
		at = at.Add(time.Minute)
		user := mintedAt(t, a, at, false)
		ok(t, a.CreateIdentity(t.Context(), store.Identity{Provider: provider, Subject: subject, UserID: user.ID, Secret: []byte("s"), CreatedAt: at}))
		return user
	}
	upper := own("email", "Ann@example.com")
	ann := own("email", "ann@example.com")
	anna := own("email", "anna@example.com")
	exact := own("email", "ann")
	bob := own("email", "bob@example.com")
	elsewhere := own("https://issuer.example", "ann")
	wild := own("email", `an%_\`)
	umlaut := own("email", "annä@example.com")
	for _, limit := range []int{1, 3, 50} {
		find := func(provider, prefix string) []store.ListedUser {
			return all(t, b, store.UserQuery{Provider: provider, SubjectPrefix: prefix, Limit: limit})
		}
		wantUsers(t, "ann", find("email", "ann"), exact, ann, anna, umlaut)
		wantUsers(t, "ann anywhere", find("", "ann"), exact, ann, anna, umlaut, elsewhere)
		wantUsers(t, "a sign of LIKE", find("", "an%"), wild)
		wantUsers(t, "ä", find("email", "annä"), umlaut)
		wantUsers(t, "a provider", find("email", ""), upper, wild, exact, ann, anna, umlaut, bob)
		wantUsers(t, "another provider", find("https://issuer.example", ""), elsewhere)
		wantUsers(t, "no such provider", find("emai", ""))
		wantUsers(t, "no such subject", find("", "zoe"))
		wantUsers(t, "no subject can be so", find("", "a\x00"))
		wantUsers(t, "and created", all(t, b, store.UserQuery{SubjectPrefix: "ann", CreatedBefore: anna.CreatedAt, Limit: limit}), ann)
		wantUsers(t, "and anonymous", all(t, b, store.UserQuery{SubjectPrefix: "ann", Kind: store.AnonymousUsers, Limit: limit}))
	}
	ok(t, a.CreateIdentity(t.Context(), store.Identity{Provider: "email", Subject: "annabel", UserID: ann.ID, CreatedAt: at}))
	wantUsers(t, "twice", all(t, b, store.UserQuery{Provider: "email", SubjectPrefix: "ann", Limit: 1}), exact, ann, anna, ann, umlaut)
}

// listRare has one user who matches among many who do not, at the end.
func listRare(t *testing.T, a, b store.Directory) {
	rare := mintedAt(t, a, start, true)
	ok(t, a.InTx(t.Context(), func(ctx context.Context) error {
		for i := range 300 {
			id := store.FirstUserID(start.Add(time.Duration(i+1) * time.Second))
			id[15] = 1
			if err := a.CreateUser(ctx, store.User{ID: id, CreatedAt: start, SeenAt: start.Add(day)}); err != nil {
				return err
			}
		}
		return nil
	}))
	wantUsers(t, "the rare one", all(t, b, store.UserQuery{Kind: store.AnonymousUsers, Limit: 2}), rare)
}

func listCursors(t *testing.T, a, _ store.Directory) {
	mintedAt(t, a, start, true)
	for _, q := range []store.UserQuery{
		{After: "x"}, {After: "email\x00x"}, {Provider: "email", After: uuid.NewString()},
		{Provider: "email", After: "other\x00x"}, {SubjectPrefix: "ann", After: "email"},
	} {
		page, err := a.ListUsers(t.Context(), q)
		if err == nil && (len(page.Users) > 0 || page.Next != "") {
			t.Errorf("%+v: got %d users, want an error or none", q, len(page.Users))
		}
	}
}

func countUsers(t *testing.T, a, b store.Directory) {
	for i := range 7 {
		mintedAt(t, a, start.Add(time.Duration(i)*time.Hour), i < 5)
	}
	for kind, want := range map[store.UserKind]int64{store.AllUsers: 7, store.AnonymousUsers: 5, store.PermanentUsers: 2} {
		for _, exact := range []bool{true, false} {
			got, err := b.CountUsers(t.Context(), kind, exact)
			ok(t, err)
			if got != (store.Count{N: want, Accuracy: store.Exact}) {
				t.Errorf("kind %d, exact %t: got %+v, want %d", kind, exact, got, want)
			}
		}
	}
	for most, want := range map[int]store.Count{2: {N: 2, Accuracy: store.AtLeast}, 3: {N: 3, Accuracy: store.Exact}, 9: {N: 3, Accuracy: store.Exact}} {
		got, err := b.CountInactive(t.Context(), start.Add(3*time.Hour), most)
		ok(t, err)
		if got != want {
			t.Errorf("inactive, %d at most: got %+v, want %+v", most, got, want)
		}
	}
}

func dailyUsers(t *testing.T, a, b store.Directory) {
	from := time.Date(2026, time.March, 27, 0, 0, 0, 0, time.UTC)
	for i, at := range []time.Duration{-time.Second, 0, 23 * time.Hour, 24*time.Hour - time.Millisecond, day, 3 * day} {
		user := mintedAt(t, a, from.Add(at), false)
		// Their first identity comes a day later, and another one at once. The first one
		// is not the one that is stored first.
		for n, provider := range []string{"passkey", "email"} {
			ok(t, a.CreateIdentity(t.Context(), store.Identity{Provider: provider, Subject: fmt.Sprint(i), UserID: user.ID,
				CreatedAt: from.Add(at + day + time.Duration(1-n)*time.Millisecond)}))
		}
		mintedAt(t, a, from.Add(-day), true) // and has none
	}
	got, err := b.DailyUsers(t.Context(), from, 3)
	ok(t, err)
	if len(got) != 3 {
		t.Fatalf("got %d days, want 3", len(got))
	}
	for i, want := range []struct{ created, upgraded int64 }{{3, 1}, {1, 3}, {0, 1}} {
		if !got[i].Day.Equal(from.AddDate(0, 0, i)) || got[i].New != (store.Count{N: want.created, Accuracy: store.Exact}) ||
			got[i].First["email"].N != want.upgraded || got[i].First["passkey"].N != 0 {
			t.Errorf("day %d: got %+v, want %d new and %d by email", i, got[i], want.created, want.upgraded)
		}
	}
}

func findTombstone(t *testing.T, a, b store.Directory) {
	user, _ := persisted(t, a)
	_, err := b.FindTombstone(t.Context(), user.ID)
	is(t, err, store.ErrNotFound)
	other, _ := persisted(t, a)
	left := tombstone(user.ID)
	left.MergedInto = other.ID
	ok(t, a.DeleteUser(t.Context(), left))
	got, err := b.FindTombstone(t.Context(), user.ID)
	ok(t, err)
	if got.UserID != user.ID || got.MergedInto != other.ID {
		t.Errorf("got %+v, want %v merged into %v", got, user.ID, other.ID)
	}
	sameTime(t, "DeletedAt", got.DeletedAt, left.DeletedAt)
	sameTime(t, "ExpiresAt", got.ExpiresAt, left.ExpiresAt)
	ok(t, a.DeleteUser(t.Context(), tombstone(other.ID)))
	got, err = b.FindTombstone(t.Context(), other.ID)
	ok(t, err)
	if got.MergedInto != uuid.Nil {
		t.Errorf("got merged into %v, want no one", got.MergedInto)
	}
}

func setBan(t *testing.T, a, b store.Directory) {
	user, session := persisted(t, a)
	bystander, theirs := persisted(t, a)
	want := store.Ban{Until: start.Add(time.Hour), Reason: "spam <b>é"}
	is(t, a.SetBan(t.Context(), uuid.New(), want), store.ErrNotFound)
	for _, bad := range []string{"a\x00b", "\xff", strings.Repeat("x", 501)} {
		is(t, a.SetBan(t.Context(), user.ID, store.Ban{Until: start, Reason: bad}), store.ErrConstraint)
	}
	banned := func(want store.Ban) {
		t.Helper()
		got, err := b.LookupSession(t.Context(), user.ID, session.ID)
		ok(t, err)
		sameSession(t, got, session)
		sameTime(t, "BannedUntil", got.BannedUntil, want.Until)
		u, err := b.LockUser(t.Context(), user.ID)
		ok(t, err)
		sameUser(t, u, user)
		sameTime(t, "Ban.Until", u.Ban.Until, want.Until)
		if u.Ban.Reason != want.Reason || u.Ban.Until.IsZero() != want.Until.IsZero() {
			t.Errorf("got ban %+v, want %+v", u.Ban, want)
		}
	}
	banned(store.Ban{})
	ok(t, a.SetBan(t.Context(), user.ID, want))
	banned(want)
	ok(t, a.SetAnonymous(t.Context(), user.ID, user.Anonymous)) // which says nothing about it
	renewed := session
	renewed.RenewedAt = session.RenewedAt.Add(time.Minute)
	ok(t, a.RenewSession(t.Context(), renewed))
	session, user.SeenAt = renewed, renewed.RenewedAt
	banned(want)
	want.Until, want.Reason = start.Add(day), ""
	ok(t, a.SetBan(t.Context(), user.ID, want))
	banned(want)
	if listed := all(t, b, store.UserQuery{}); !slices.ContainsFunc(listed, func(u store.ListedUser) bool { return u.ID == user.ID && !u.Ban.Until.IsZero() }) {
		t.Error("the list does not show the ban")
	}
	if s, err := b.LookupSession(t.Context(), bystander.ID, theirs.ID); err != nil || !s.BannedUntil.IsZero() {
		t.Errorf("another user: got %v and a ban until %v, want none", err, s.BannedUntil)
	}
	ok(t, b.SetBan(t.Context(), user.ID, store.Ban{}))
	banned(store.Ban{})
	ok(t, a.SetBan(t.Context(), user.ID, want))
	ok(t, a.DeleteUser(t.Context(), tombstone(user.ID)))
	_, err := b.LockUser(t.Context(), user.ID)
	is(t, err, store.ErrNotFound)
}

// banUser bans on one replica and looks at the other.
func banUser(t *testing.T, n *town) {
	if _, is := n.stores[0].(store.Directory); !is {
		t.Skip("this store is no Directory")
	}
	guest, member := n.browser(), n.browser()
	guest.Visit("/")
	guestID := n.act(guest)
	member.Visit("/")
	memberID := n.act(member)
	n.want(member.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	before := guest.Cookie(anonCookie)
	for _, id := range []uuid.UUID{guestID, memberID} {
		ok(t, n.replicas[1].Ban(t.Context(), id, store.Ban{Reason: "spam"}))
	}
	// Writes are refused at once, everywhere, as a suspension and not as a sign-in that is missing.
	for _, site := range n.sites {
		for _, c := range []*walkintest.Client{guest, member} {
			n.wantIn(c.On(site).Post("/note", nil), http.StatusForbidden, "suspended")
			n.want(c.On(site).Visit("/"), http.StatusOK, "nobody")
		}
	}
	// They do not get a new user in place of theirs, and cannot sign in from a new
	// browser.
	if guest.Cookie(anonCookie) != before {
		t.Error("the banned guest was minted over")
	}
	n.wantIn(n.browser().Post("/prove", name("ann")), http.StatusForbidden, "suspended")
	n.wantIn(member.Post("/prove", name("ann")), http.StatusForbidden, "suspended")
	n.want(n.browser().Post("/prove", name("bob")), http.StatusOK, "upgraded")
	// Users who are let in again are who they were.
	for _, id := range []uuid.UUID{guestID, memberID} {
		ok(t, n.replicas[0].Unban(t.Context(), id))
	}
	n.want(guest.Post("/note", nil), http.StatusOK, guestID.String())
	n.want(member.Post("/members", nil), http.StatusOK, memberID.String())
	// A banned visitor can sign out, and their session is over then.
	ok(t, n.replicas[0].Ban(t.Context(), memberID, store.Ban{}))
	kept := member.Cookie(permCookie)
	if r := member.Post("/out", nil); r.StatusCode != http.StatusSeeOther {
		t.Errorf("signing out: got %d, want 303", r.StatusCode)
	}
	ok(t, n.replicas[0].Unban(t.Context(), memberID))
	n.isNobody(permCookie, kept)
	is(t, n.replicas[0].Ban(t.Context(), uuid.New(), store.Ban{}), store.ErrNotFound)
}

// banEnds has a ban that is over by itself.
func banEnds(t *testing.T, n *town) {
	if _, is := n.stores[0].(store.Directory); !is {
		t.Skip("this store is no Directory")
	}
	guest := n.browser()
	guest.Visit("/")
	id := n.act(guest)
	ok(t, n.replicas[0].Ban(t.Context(), id, store.Ban{Until: time.Now().Add(-time.Second)}))
	n.want(guest.Post("/note", nil), http.StatusOK, id.String())
	ok(t, n.replicas[0].Ban(t.Context(), id, store.Ban{Until: time.Now().Add(time.Hour)}))
	n.wantIn(guest.Post("/note", nil), http.StatusForbidden, time.Now().UTC().Add(time.Hour).Format("2006"))
}

// wantIn is want for a part of a page.
func (n *town) wantIn(r *http.Response, status int, part string) {
	n.t.Helper()
	body, err := io.ReadAll(r.Body)
	ok(n.t, err)
	if r.StatusCode != status || !strings.Contains(string(body), part) {
		n.t.Errorf("got %d %q, want %d with %q", r.StatusCode, body, status, part)
	}
}
