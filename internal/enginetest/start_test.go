package enginetest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestStaticPage holds that five first writes which a page that walkin never serves
// sends at once are one visitor's, also in a browser with an old cookie.
func TestStaticPage(t *testing.T) {
	browser.Each(t, func(t *testing.T, engine browser.Engine) {
		var api *httptest.Server
		static := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<!doctype html><html lang="en"><title>static</title><link rel="icon" href="data:,"><script src="%s/walkin.js"></script><p>static</p></html>`, api.URL)
		}))
		defer static.Close()
		origin := local(static.URL)
		trusted := http.NewCrossOriginProtection()
		if err := trusted.AddTrustedOrigin(origin); err != nil {
			t.Fatal(err)
		}
		wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret of thirty-two bytes, as is needed")}},
			Store: memstore.New(), Cookies: walkin.Cookies{Insecure: true}, CrossOrigin: trusted})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.Handle("/walkin.js", wk.StartHandler())
		mux.HandleFunc("POST /note", func(w http.ResponseWriter, r *http.Request) {
			c, ok := walkin.FromContext(r.Context())
			if !ok {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, c.UserID)
		})
		inside := wk.Handler(mux)
		api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			inside.ServeHTTP(w, r)
		}))
		defer api.Close()
		api.URL = local(api.URL)
		p := browser.NewPage(t, engine)
		p.Open(origin + "/")
		last := ""
		for _, when := range []string{"five first writes", "in the same page, with a cookie that has ended", "in another"} {
			ids := browser.Eval[[]string](p, fmt.Sprintf(`Promise.all([1, 2, 3, 4, 5].map((n) =>
				walkinFetch(%q, { method: 'POST', body: String(n) }).then((answer) => answer.text())))`, api.URL+"/note"))
			for _, id := range ids {
				if id == "" || id != ids[0] || id == last {
					t.Fatalf("%s: they were those of %v, want one new user", when, ids)
				}
			}
			last = ids[0]
			if err := wk.DeleteUser(t.Context(), uuid.MustParse(last)); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(when, "in the same") {
				p.Open(origin + "/")
			}
		}
	})
}

// local is the address by the name with which browsers keep cookies of http.
func local(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
