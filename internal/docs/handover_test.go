package docs

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/walkintest"
)

// TestHandoverInDatabases holds what docs/second-device.md says of a second browser, on
// two replicas and whatever the database: of 20 that open a code at once one does, and
// it is over; of 20 that go on at once one gets the session; after a sign-out none does.
func TestHandoverInDatabases(t *testing.T) {
	eachDatabase(t, func(t *testing.T, stores [2]*walkin.Middleware) {
		var replicas [2]http.Handler
		for i, wk := range stores {
			h, err := handover.New(wk, handover.Config{Link: "https://app.example/join"})
			ok(t, err)
			mux := http.NewServeMux()
			do := func(path string, act func(w http.ResponseWriter, r *http.Request) (string, error)) {
				mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
					text, err := act(w, r)
					if err != nil {
						wk.Refuse(w, r, err)
						return
					}
					_, _ = w.Write([]byte(text))
				})
			}
			do("/device/start", func(w http.ResponseWriter, r *http.Request) (string, error) { return "", h.Start(w, r) })
			do("/device/offered", func(_ http.ResponseWriter, r *http.Request) (string, error) {
				_, link, _, _, err := h.Offered(r)
				return link, err
			})
			do("/device/scan", func(w http.ResponseWriter, r *http.Request) (string, error) {
				return "", h.Scan(w, r, r.PostFormValue("code"), "phone")
			})
			do("/device/number", func(_ http.ResponseWriter, r *http.Request) (string, error) {
				_, number, err := h.Scanned(r)
				return number, err
			})
			do("/device/confirm", func(w http.ResponseWriter, r *http.Request) (string, error) {
				return "", h.Confirm(w, r, r.PostFormValue("number"))
			})
			do("/device/join", func(w http.ResponseWriter, r *http.Request) (string, error) { return "", h.Join(w, r, false) })
			do("/who", func(_ http.ResponseWriter, r *http.Request) (string, error) {
				c, _ := walkin.FromContext(r.Context())
				return c.UserID.String(), nil
			})
			mux.Handle("/out", wk.SignOutHandler())
			replicas[i] = wk.Handler(mux)
		}
		client := func(i int) *walkintest.Client { return walkintest.NewClient(t, replicas[i%2]) }
		together := func(all []*walkintest.Client, path string, form url.Values) (done int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i, c := range all {
				wg.Go(func() {
					status := c.On(replicas[i%2]).Post(path, form).StatusCode
					mu.Lock()
					defer mu.Unlock()
					switch status {
					case http.StatusOK:
						done++
					case http.StatusConflict:
					default:
						t.Errorf("%s: got %d", path, status)
					}
				})
			}
			wg.Wait()
			return done
		}
		offer := func(a *walkintest.Client) url.Values {
			mustBe(t, a.Post("/device/start", nil), http.StatusOK)
			_, code, _ := strings.Cut(body(t, mustBe(t, a.On(replicas[1]).Fetch("/device/offered"), http.StatusOK)), "=")
			return url.Values{"code": {code}}
		}
		agree := func(a, b *walkintest.Client) {
			mustBe(t, b.Post("/device/scan", offer(a)), http.StatusOK)
			number := body(t, mustBe(t, b.Fetch("/device/number"), http.StatusOK))
			mustBe(t, a.On(replicas[1]).Post("/device/confirm", url.Values{"number": {number}}), http.StatusOK)
		}

		a := client(0)
		var crowd []*walkintest.Client
		for i := range 20 {
			crowd = append(crowd, client(i))
		}
		if got := together(crowd, "/device/scan", offer(a)); got != 1 {
			t.Errorf("%d browsers opened one code", got)
		}

		b := client(1)
		agree(a, b)
		var copies []*walkintest.Client
		for i := range 20 {
			c := client(i)
			for _, cookie := range b.Cookies() {
				c.SetCookie(cookie.Name, cookie.Value)
			}
			copies = append(copies, c)
		}
		together(copies, "/device/join", nil)
		id, won := body(t, a.Fetch("/who")), 0
		for _, c := range copies {
			if body(t, c.Fetch("/who")) == id {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d browsers go on, want 1", won)
		}

		late := client(0)
		agree(a, late)
		a.Post("/out", nil)
		mustBe(t, late.On(replicas[1]).Post("/device/join", nil), http.StatusConflict)
	})
}
