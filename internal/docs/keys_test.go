package docs

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestKeysPage walks through the rotation of docs/keys.md: a visitor of the second step
// is there after the third.
func TestKeysPage(t *testing.T) {
	current := walkin.Key{Secret: []byte("the key of today, of 32 bytes ok")}
	next := walkin.Key{Secret: []byte("the key of tomorrow, of 32 bytes")}
	cfg := defaults()
	var steps []*walkin.Middleware
	cfg.Keys = []walkin.Key{current, next} // 1
	steps = append(steps, newWalkin(t, cfg))
	cfg.Keys = []walkin.Key{next, current} // 2
	steps = append(steps, newWalkin(t, cfg))
	cfg.Keys = []walkin.Key{next} // 3
	steps = append(steps, newWalkin(t, cfg))

	for _, test := range []struct {
		name        string
		first, then int
		same        bool
	}{
		{"a token of step 1, in step 2", 0, 1, true},
		{"a token of step 2, in step 1", 1, 0, true},
		{"a token of step 2, in step 3", 1, 2, true},
		{"a token of step 1 that was not renewed, in step 3", 0, 2, false},
	} {
		c := walkintest.NewClient(t, steps[test.first].Handler(http.HandlerFunc(whoami)))
		before, _ := is(t, c)
		after, _ := is(t, c.On(steps[test.then].Handler(http.HandlerFunc(whoami))))
		if (before == after) != test.same {
			t.Errorf("%s: got %v, then %v", test.name, before, after)
		}
	}
}

// TestFormerCookiesPage holds that a visitor keeps their user through the change of
// Domain that docs/keys.md describes.
func TestFormerCookiesPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // before the page's date
		cfg := defaults()
		cfg.Cookies.Domain = "example.com"
		visit := func(wk *walkin.Middleware, cookies ...*http.Cookie) *http.Response {
			r := httptest.NewRequest("GET", "https://example.com/", nil)
			r.Header = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"}, "User-Agent": {walkintest.UserAgent}}
			for _, cookie := range cookies {
				r.AddCookie(cookie)
			}
			rec := httptest.NewRecorder()
			wk.Handler(http.HandlerFunc(whoami)).ServeHTTP(rec, r)
			return rec.Result()
		}
		first := visit(newWalkin(t, cfg))
		before := body(t, first)

		cfg.Cookies.Domain = "" // it was example.com
		cfg.Cookies.Former = []walkin.FormerCookie{{Domain: "example.com", ChangedAt: time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)}}
		then := visit(newWalkin(t, cfg), first.Cookies()...)
		if after := body(t, then); before == "" || after != before {
			t.Errorf("got %q, then %q", before, after)
		}
		if len(then.Cookies()) == 0 {
			t.Error("the former cookie was not replaced")
		}
	})
}
