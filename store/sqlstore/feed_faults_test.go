package sqlstore_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestFeedFaults holds that an end which the feed loses on the way is over all the same,
// on a replica whose look-ups are due in an hour only: the feed finds out that it was
// emptied, restored or rewritten. And that a clock which is wrong, of rows or of the
// server that wrote them, hides no end.
func TestFeedFaults(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			d := server.start(t)(t)
			_, db := d.migrated(t)
			exec := func(query string) { t.Helper(); run(t, db, query) }
			nonce := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "gen_random_uuid()", sqlstore.MySQL: "UNHEX(MD5(RAND()))", sqlstore.SQLite: "randomblob(16)"}[d.dialect]
			day := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "interval '1 day'", sqlstore.MySQL: "INTERVAL 1 DAY", sqlstore.SQLite: "86400000000"}[d.dialect]
			n := newDataSite(t, d, false, func(cfg *walkin.Config) { cfg.Sessions.RecheckAfter = time.Hour })
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			wg.Go(func() { _ = n.replicas[1].RunFeed(ctx) })
			reads := func(c *walkintest.Client, site http.Handler) bool {
				n.who = walkin.Claims{}
				c.On(site).Fetch("/")
				return n.who.UserID != uuid.Nil
			}
			for _, fault := range []struct {
				name          string
				before, after func()
			}{
				{"emptied", nil, func() { exec("DELETE FROM walkin_feed") }},
				{"restored, and others have the numbers since", nil, func() {
					exec("DELETE FROM walkin_feed WHERE user_id IS NOT NULL")
					exec("UPDATE walkin_feed SET nonce = " + nonce)
				}},
				{"a clock a day ahead", func() { exec("UPDATE walkin_feed SET at = at + " + day) }, func() {}},
				{"a clock a day behind", func() { exec("UPDATE walkin_feed SET at = at - " + day) }, func() {}},
			} {
				c := n.visitor("word")
				n.act(c, "/prove", "name", fault.name)
				old := walkintest.NewClient(t, n.sites[1])
				for _, cookie := range c.Cookies() {
					old.SetCookie(cookie.Name, cookie.Value)
				}
				for range 2 { // looked up, and remembered
					if !reads(old, n.sites[1]) {
						t.Fatalf("%s: the session is not alive", fault.name)
					}
				}
				id := n.who.UserID
				if fault.before != nil {
					fault.before()
				}
				ok(t, n.replicas[0].SignOutEverywhere(t.Context(), id))
				fault.after()
				eventually(t, fault.name+": over on the other replica", func() bool { return !reads(old, n.sites[1]) })
			}
		})
	}
}
