package docs

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/gorilla/sessions"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

func carryOver(wk *walkin.Middleware, old sessions.Store, keep func(context.Context, walkin.Claims, map[any]any) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := old.Get(r, "session")
		if err != nil || session.IsNew || r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Dest") != "document" {
			next.ServeHTTP(w, r)
			return
		}
		if c, err := wk.Ensure(w, r); err == nil && keep(r.Context(), c, session.Values) == nil {
			session.Options.MaxAge = -1
			_ = session.Save(r, w) // if it fails, keep runs once more: let it replace, not add
		}
		next.ServeHTTP(w, r)
	})
}

// TestGorillaPage carries a cart over as docs/from-gorilla.md says: once, under the user's
// ID, and again where the app could not keep it.
func TestGorillaPage(t *testing.T) {
	old := sessions.NewCookieStore([]byte("a key of the old site's, 32 bytes"))
	wk := newWalkin(t, defaults())
	carts, down := map[uuid.UUID]any{}, true
	keep := func(_ context.Context, c walkin.Claims, values map[any]any) error {
		if down {
			return errors.New("the database is down")
		}
		carts[c.UserID] = values["cart"]
		return nil
	}
	c := walkintest.NewClient(t, wk.Handler(carryOver(wk, old, keep, http.HandlerFunc(whoami))))

	r, rec := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder() // the old site
	session, err := old.New(r, "session")
	ok(t, err)
	session.Values["cart"] = "milk"
	ok(t, session.Save(r, rec))
	c.Keep(rec.Result())

	c.Visit("/")
	if len(carts) != 0 || c.Cookie("session") == "" {
		t.Error("the cart is lost: the app could not keep it, and the old cookie is gone")
	}
	down = false
	id, _ := is(t, c)
	if carts[id] != "milk" || c.Cookie("session") != "" {
		t.Errorf("got %v, and the old cookie %q", carts, c.Cookie("session"))
	}
	if again, _ := is(t, c); again != id || len(carts) != 1 {
		t.Errorf("got %v, then %v; %v", id, again, carts)
	}
}
