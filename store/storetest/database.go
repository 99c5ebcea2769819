package storetest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

func lookupKind(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	for _, anonymous := range []bool{true, false, true} {
		ok(t, a.SetAnonymous(t.Context(), user.ID, anonymous))
		got, err := b.LookupSession(t.Context(), user.ID, session.ID)
		ok(t, err)
		if got.Anonymous != anonymous {
			t.Errorf("got anonymous=%t, want %t", got.Anonymous, anonymous)
		}
	}
}

// runDatabase holds what a store says about its database, over one that is a
// store.DatabaseStore.
func runDatabase(t *testing.T, open Opener) {
	cases := []struct {
		rule string
		run  func(t *testing.T, a, b store.DatabaseStore)
	}{
		{"it has an ID of 8 letters and a birth, the same on both handles, or forgets", databaseID},
		{"the longest life of a token holds until it has passed", tokenLife},
		{"EndSessionsBefore ends what began earlier, of permanent users unless asked, and moves forward only", endSessionsBefore},
		{"its clock, if it has one, goes right", clock},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			handle := open(t)
			a, isA := handle(t).(store.DatabaseStore)
			b, _ := handle(t).(store.DatabaseStore)
			if !isA {
				t.Skip("this store does not know which database it is over")
			}
			c.run(t, a, b)
		})
	}
}

func databaseID(t *testing.T, a, b store.DatabaseStore) {
	one, err := a.Database(t.Context())
	ok(t, err)
	two, err := b.Database(t.Context())
	ok(t, err)
	if one.Forgets {
		return
	}
	if one.ID != two.ID || len(one.ID) != 8 || strings.Trim(one.ID, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		t.Errorf("got IDs %q and %q", one.ID, two.ID)
	}
	if age := time.Since(one.Birth); age < -time.Minute || age > time.Hour || !one.Birth.Equal(two.Birth) {
		t.Errorf("got births %v and %v", one.Birth, two.Birth)
	}
	if one.TokenLife < 30*day {
		t.Errorf("got a token life of %v before any replica said so, want 30 days at least", one.TokenLife)
	}
}

func tokenLife(t *testing.T, a, b store.DatabaseStore) {
	if db, err := a.Database(t.Context()); err != nil || db.Forgets {
		return
	}
	at := start
	for _, step := range []struct {
		after, life, want time.Duration
	}{
		{0, 60 * day, 60 * day},
		{day, 10 * day, 60 * day},
		{day, 60 * day, 60 * day},      // which starts its time again
		{59 * day, 10 * day, 60 * day}, // a day before it ends
		{2 * day, 10 * day, 10 * day},
		{0, 20 * day, 20 * day},
	} {
		at = at.Add(step.after)
		ok(t, a.AnnounceTokenLife(t.Context(), step.life, at))
		db, err := b.Database(t.Context())
		ok(t, err)
		if db.TokenLife != step.want {
			t.Errorf("after %v: got %v, want %v", at.Sub(start), db.TokenLife, step.want)
		}
		a, b = b, a
	}
}

func endSessionsBefore(t *testing.T, a, b store.DatabaseStore) {
	guest, first := persisted(t, a)
	member, second := persisted(t, a)
	ok(t, a.SetAnonymous(t.Context(), member.ID, false))
	later := second
	later.ID, later.CreatedAt = uuid.New(), start.Add(time.Hour)
	ok(t, a.CreateSession(t.Context(), later))
	alive := func(s store.Session, want bool) {
		t.Helper()
		for _, st := range []store.Store{a, b} {
			_, err := st.LookupSession(t.Context(), s.UserID, s.ID)
			if want {
				ok(t, err)
			} else {
				is(t, err, store.ErrSessionEnded)
			}
			all, err := st.UserSessions(t.Context(), s.UserID)
			ok(t, err)
			if there := slices.ContainsFunc(all, func(one store.Session) bool { return one.ID == s.ID }); there != want {
				t.Errorf("UserSessions has it: got %t, want %t", there, want)
			}
		}
	}
	ok(t, a.EndSessionsBefore(t.Context(), start, false)) // which does not take what began then
	alive(second, true)
	ok(t, a.EndSessionsBefore(t.Context(), start.Add(time.Minute), false))
	alive(first, true)
	alive(second, false)
	alive(later, true)
	ok(t, b.EndSessionsBefore(t.Context(), start.Add(-time.Hour), true)) // never back
	alive(first, true)
	alive(second, false)
	ok(t, b.EndSessionsBefore(t.Context(), start.Add(time.Minute), true))
	alive(first, false)
	renewed := second
	renewed.RenewedAt, renewed.ExpiresAt = start.Add(day), start.Add(2*day)
	_ = a.RenewSession(t.Context(), renewed) // revives nothing, whatever it says
	alive(second, false)
	isThere(t, a, guest.ID, true) // and no user was deleted
	isThere(t, a, member.ID, true)
}

func clock(t *testing.T, a, _ store.DatabaseStore) {
	c, is := a.(store.Clock)
	if !is {
		return
	}
	now, err := c.Now(t.Context())
	ok(t, err)
	if off := time.Since(now); off.Abs() > 10*time.Second {
		t.Errorf("the store's clock is %v off", off)
	}
}

// endAll ends every session from before a moment, on two replicas.
func endAll(t *testing.T, n *town) {
	if _, is := n.stores[0].(store.DatabaseStore); !is {
		t.Skip("this store cannot end all sessions")
	}
	guest, reader := n.browser(), n.browser()
	guest.Visit("/")
	guestID := n.act(guest)
	reader.Visit("/")
	member := n.browser()
	member.Visit("/")
	id := n.act(member)
	n.want(member.Post("/prove", name("ann")), http.StatusOK, "upgraded")
	old := member.Cookie(permCookie)
	ok(t, n.replicas[1].EndSessionsBefore(t.Context(), time.Now(), false))
	n.isNobody(permCookie, old)
	n.want(guest.Post("/note", nil), http.StatusOK, guestID.String())
	n.want(member.On(n.sites[1]).Post("/prove", name("ann")), http.StatusOK, "signed_in")
	n.want(member.Post("/members", nil), http.StatusOK, id.String())

	old = guest.Cookie(anonCookie)
	provisional := reader.Cookie(anonCookie)
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // tokens have whole seconds
	ok(t, n.replicas[1].EndSessionsBefore(t.Context(), time.Now(), true))
	n.isNobody(anonCookie, old)
	late := n.browser().On(n.sites[1])
	late.SetCookie(anonCookie, provisional)
	if r := late.Post("/note", url.Values{}); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token from before that is no row: got %d, want 401", r.StatusCode)
	}
	if err := n.replicas[0].EndSessionsBefore(t.Context(), time.Now().Add(day), false); err == nil {
		t.Error("a time to come: got no error")
	}
}
