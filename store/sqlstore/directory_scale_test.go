package sqlstore_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/admin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// TestDirectoryAtScale shows the pages of the owner's room on PostgreSQL with 120,000
// users, who came over 120 days. One in ten is permanent. It holds that the estimates
// are within one percent of all users: PostgreSQL's ANALYZE looks at 30,000 rows, so
// an estimate of those who are one in ten is 1.7 % off by its standard deviation, but
// 0.2 % of all. With a number in WALKIN_TEST_DIRECTORY it is that many, and
// it says how long each page took:
//
//	WALKIN_TEST_DIRECTORY=10000000 go test -run DirectoryAtScale -v -timeout 60m
func TestDirectoryAtScale(t *testing.T) {
	users, times := 120_000, 1
	if text := os.Getenv("WALKIN_TEST_DIRECTORY"); text != "" {
		n, err := strconv.Atoi(text)
		ok(t, err)
		users, times = n, 15
	}
	d := postgres(t)(t)
	s, db := d.migrated(t)
	start := time.Now()
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO walkin_users (id, anonymous, created_at, seen_at)
			SELECT CAST(lpad(to_hex(ms), 12, '0') || '7000' || '8' || substr(md5(n::text), 1, 15) AS uuid), n %% 10 <> 0, at, least(now(), at + (n %% 40) * interval '1 day')
			FROM (SELECT n, ms, to_timestamp(ms / 1000.0) AS at FROM (
				SELECT n, %d - CAST((%d - n) * (120 * 86400000.0 / %d) AS bigint) AS ms FROM generate_series(1, %d) AS n) AS t) AS u`, start.UnixMilli(), users, users, users),
		`INSERT INTO walkin_identities (provider, subject, user_id, created_at) SELECT 'email', 'user' || substr(md5(id::text), 1, 10) || '@example.com', id, created_at
			FROM walkin_users WHERE NOT anonymous ON CONFLICT DO NOTHING`,
		`INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
			SELECT gen_random_uuid(), id, created_at, seen_at, now() + interval '30 days' FROM walkin_users WHERE NOT anonymous`,
		"VACUUM ANALYZE",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
	t.Logf("%d users made in %v", users, time.Since(start).Round(time.Second))

	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s})
	ok(t, err)
	screen, err := admin.New(wk, admin.Config{May: func(context.Context, walkin.Claims) (bool, error) { return true, nil }})
	ok(t, err)
	mux := http.NewServeMux()
	mux.Handle("/admin/", screen)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: "the operator", Method: "pwd"})
			ok(t, err)
		}
	})
	operator := walkintest.NewClient(t, wk.Handler(mux))
	operator.Visit("/")
	operator.Post("/", url.Values{})

	deep, err := s.ListUsers(t.Context(), store.UserQuery{CreatedBefore: start.AddDate(0, 0, -60)})
	ok(t, err)
	address, err := s.ListUsers(t.Context(), store.UserQuery{Kind: store.PermanentUsers, Limit: 2})
	ok(t, err)
	user := address.Users[1] // the first is the operator
	subject := user.Identities[0].Subject
	for _, page := range []string{
		"/admin/", "/admin/users", "/admin/users?kind=anonymous", "/admin/users?kind=permanent", "/admin/users?after=" + deep.Next,
		"/admin/users?seen=" + start.AddDate(0, 0, -100).Format(time.DateOnly), "/admin/users?kind=permanent&seen=" + start.AddDate(0, 0, -119).Format(time.DateOnly),
		"/admin/users?q=" + subject[:7], "/admin/users?q=" + url.QueryEscape(subject), "/admin/users?q=nobody", "/admin/users?q=u&kind=anonymous",
		"/admin/users/" + user.ID.String(),
	} {
		var took []time.Duration
		for range times {
			begin := time.Now()
			response := operator.Visit(page)
			body, err := io.ReadAll(response.Body)
			ok(t, err)
			took = append(took, time.Since(begin))
			if response.StatusCode != http.StatusOK || len(body) == 0 {
				t.Fatalf("%s: got %d", page, response.StatusCode)
			}
		}
		first := took[0]
		slices.Sort(took)
		t.Logf("%-60s first %6.1f ms, median %6.1f ms, longest %6.1f ms", page, ms(first), ms(took[len(took)/2]), ms(took[len(took)-1]))
	}

	for _, kind := range []store.UserKind{store.AllUsers, store.AnonymousUsers, store.PermanentUsers} {
		quick, err := s.CountUsers(t.Context(), kind, false)
		ok(t, err)
		begin := time.Now()
		exact, err := s.CountUsers(t.Context(), kind, true)
		ok(t, err)
		off := float64(quick.N - exact.N)
		t.Logf("kind %v: %d, exactly %d (%.3f %% off); to count them took %v", kind, quick.N, exact.N, 100*off/float64(exact.N), time.Since(begin))
		if off > 0.01*float64(users) || off < -0.01*float64(users) {
			t.Errorf("kind %v: got about %d, want %d within one percent of all", kind, quick.N, exact.N)
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
