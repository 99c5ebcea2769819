package walkin_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	scsmem "github.com/alexedwards/scs/v2/memstore"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// What stands between these lines is on the page docs/moving-from-scs.md, word for
// word; TestMovingPage holds it to that.

// carryOver brings what a visitor has under scs's own cookie into walkin's session:
// their data, and who they are if they have signed in. It stands inside of
// wk.Handler and wk.LoadAndSave(sm), and goes when the last old session has expired.
func carryOver(wk *walkin.Middleware, old, sm *scs.SessionManager, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(old.Cookie.Name)
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		before, err := old.Load(r.Context(), cookie.Value)
		if err != nil {
			http.Error(w, "Please try again in a moment.", http.StatusServiceUnavailable)
			return
		}
		ctx := r.Context()
		switch {
		case sm.GetBool(ctx, "carried_over"):
			// It has arrived, and this browser has come back with the new cookie.
			if err := old.Destroy(before); err == nil {
				http.SetCookie(w, &http.Cookie{Name: old.Cookie.Name, Path: "/", MaxAge: -1})
				sm.Remove(ctx, "carried_over")
			}
		case len(old.Keys(before)) == 0:
			// Nothing is kept under it any more.
		case isPage(r):
			if user := old.GetString(before, "user"); user != "" {
				_, err := wk.Continue(w, r, walkin.Proof{
					Provider: "shop", Subject: user, Method: "pwd",
					// A GET may do it: who they are was proven to the old session,
					// whose cookie this browser has sent. It becomes nobody else.
					StateChecked: true,
				})
				if err != nil {
					wk.Refuse(w, r, err)
					return
				}
			}
			for _, key := range old.Keys(before) {
				if key != "user" {
					sm.Put(ctx, key, old.Get(before, key))
				}
			}
			sm.Put(ctx, "carried_over", true)
		}
		next.ServeHTTP(w, r)
	})
}

// isPage reports whether somebody opens a page: the pieces of a page that come
// with it need not all carry the same session over.
func isPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return r.Method == http.MethodGet && (mode == "navigate" || mode == "")
}

// And this is the end of it.

// A shop is a site on its way from scs to walkin.
type shop struct {
	t        *testing.T
	before   http.Handler // the site as it was
	now      http.Handler
	down     atomic.Bool // the store of the new sessions
	oldStore *scsmem.MemStore
}

// downStore is an scs store that can be down.
type downStore struct {
	*scsmem.MemStore
	down *atomic.Bool
}

func (d downStore) Commit(token string, b []byte, expiry time.Time) error {
	if d.down.Load() {
		return context.DeadlineExceeded
	}
	return d.MemStore.Commit(token, b, expiry)
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, oldStore: scsmem.NewWithCleanupInterval(0)}
	old := scs.New()
	old.Store = s.oldStore
	pages := func(sm *scs.SessionManager, signIn func(http.ResponseWriter, *http.Request)) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			c, _ := walkin.FromContext(r.Context())
			w.Header().Set("X-User", c.UserID.String())
			fmt.Fprintf(w, "cart=%s user=%s permanent=%t", sm.GetString(r.Context(), "cart"), sm.GetString(r.Context(), "user"), c.Method != "")
		})
		mux.HandleFunc("POST /buy", func(_ http.ResponseWriter, r *http.Request) { sm.Put(r.Context(), "cart", "a book") })
		mux.HandleFunc("POST /signin", signIn)
		return mux
	}
	s.before = old.LoadAndSave(pages(old, func(_ http.ResponseWriter, r *http.Request) { old.Put(r.Context(), "user", "ann") }))

	sm := scs.New()
	sm.Store = downStore{scsmem.NewWithCleanupInterval(0), &s.down}
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: memstore.New(), RowLimit: walkin.Limit{Count: -1}})
	if err != nil {
		t.Fatal(err)
	}
	s.now = wk.Handler(wk.LoadAndSave(sm)(carryOver(wk, old, sm, pages(sm, func(w http.ResponseWriter, r *http.Request) {}))))
	return s
}

func (s *shop) page(c *walkintest.Client, h http.Handler) string {
	s.t.Helper()
	return body(s.t, c.On(h).Visit("/"))
}

// TestMovingFromSCS holds that nobody is signed out on the way, and no cart lost.
func TestMovingFromSCS(t *testing.T) {
	s := newShop(t)
	guest := walkintest.NewClient(t, s.before)
	guest.Act("/buy", nil)
	ann := walkintest.NewClient(t, s.before)
	ann.Act("/buy", nil)
	ann.Act("/signin", nil)
	stranger := walkintest.NewClient(t, s.before)
	for name, tt := range map[string]struct {
		c    *walkintest.Client
		want string
	}{
		"a guest with a cart": {guest, "cart=a book user= permanent=false"},
		"somebody signed in":  {ann, "cart=a book user= permanent=true"},
		"somebody new":        {stranger, "cart= user= permanent=false"},
	} {
		for i := range 4 {
			if got := s.page(tt.c, s.now); got != tt.want {
				t.Errorf("%s, page %d: got %q, want %q", name, i, got, tt.want)
			}
		}
		if tt.c.Cookie("session") != "" {
			t.Errorf("%s: the old cookie is still there", name)
		}
	}
	if left, err := s.oldStore.All(); err != nil || len(left) != 0 {
		t.Errorf("got %d old sessions, %v", len(left), err)
	}

	// The same account from two browsers is one user.
	second := walkintest.NewClient(t, s.before)
	second.Act("/signin", nil)
	s.page(second, s.now)
	if first, second := ann.On(s.now).Visit("/").Header.Get("X-User"), second.On(s.now).Visit("/").Header.Get("X-User"); first != second || first == "" {
		t.Errorf("got users %q and %q of one account", first, second)
	}
}

// TestMovingFails holds that what cannot be saved is not lost: the old session
// stays until the new one has come back.
func TestMovingFails(t *testing.T) {
	s := newShop(t)
	c := walkintest.NewClient(t, s.before)
	c.Act("/buy", nil)
	s.down.Store(true)
	if r := c.On(s.now).Visit("/"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the new store is down: got %d", r.StatusCode)
	}
	if got := s.page(c, s.before); !strings.HasPrefix(got, "cart=a book") {
		t.Errorf("back on the old site: got %q", got)
	}
	s.down.Store(false)
	for range 3 {
		if got := s.page(c, s.now); !strings.HasPrefix(got, "cart=a book") {
			t.Errorf("when it is back: got %q", got)
		}
	}

	// An answer that never arrived.
	lost := walkintest.NewClient(t, s.before)
	lost.Act("/signin", nil)
	r := lost.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	lost.Carry(r)
	if _, err := lost.On(s.now).Serve(r); err != nil {
		t.Fatal(err)
	}
	if got := s.page(lost, s.now); !strings.HasSuffix(got, "permanent=true") {
		t.Errorf("after a lost answer: got %q", got)
	}

	// A cookie that opens nothing, and one of somebody else's making.
	forged := walkintest.NewClient(t, s.now)
	forged.SetCookie("session", "x")
	if got := s.page(forged, s.now); got != "cart= user= permanent=false" {
		t.Errorf("a forged cookie: got %q", got)
	}
}

// TestMovingPage holds the page to the code of this file.
func TestMovingPage(t *testing.T) {
	page, err := os.ReadFile("docs/moving-from-scs.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("moving_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "word for\n// word; TestMovingPage holds it to that.\n\n")
	code, _, _ = strings.Cut(code, "\n// And this is the end of it.")
	if !strings.Contains(string(page), "```go\n"+code+"```") {
		t.Error("docs/moving-from-scs.md does not have carryOver as it is here")
	}
}
