package walkin_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

var exampleKeys = []walkin.Key{{Secret: []byte("32 random bytes, not these words")}}

// browse serves one request of a browser and prints the answer.
func browse(r *http.Response) {
	text, _ := io.ReadAll(r.Body)
	fmt.Println(r.StatusCode, string(text))
}

// A visitor opens a page and has a user.
func Example() {
	wk, err := walkin.New(walkin.Config{Keys: exampleKeys, Store: memstore.New()})
	if err != nil {
		fmt.Println(err)
		return
	}
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		fmt.Fprint(w, ok, " anonymous=", c.Anonymous, " provisional=", c.Provisional)
	}))
	c := walkintest.NewClient(new(testing.T), site)
	browse(c.Visit("/"))
	browse(c.Post("/", nil)) // the first write makes them a row
	// Output:
	// 200 true anonymous=true provisional=true
	// 200 true anonymous=true provisional=false
}

// An app with a users table of its own proves the identity itself, and says so.
func ExampleMiddleware_Continue() {
	wk, err := walkin.New(walkin.Config{Keys: exampleKeys, Store: memstore.New()})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// … check the password against the app's own table, and then:
		outcome, err := wk.Continue(w, r, walkin.Proof{Provider: "shop", Subject: "customer 4711", Method: "pwd"})
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, outcome)
	})
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	c.Visit("/")
	browse(c.Post("/login", nil))
	browse(c.Post("/login", nil))
	// Output:
	// 200 upgraded
	// 200 signed_in
}

// People are sent to sign up, and come back to where they were going.
func ExampleMiddleware_RequirePermanent() {
	wk, err := walkin.New(walkin.Config{Keys: exampleKeys, Store: memstore.New(), Paths: walkin.Paths{Upgrade: "/upgrade"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /export", wk.RequirePermanent()(http.NotFoundHandler()))
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	c.Visit("/")
	fmt.Println(c.Visit("/export?as=pdf").Header.Get("Location"))
	// Output:
	// /upgrade?return_to=%2Fexport%3Fas%3Dpdf
}

// Anonymous users see what was posted today.
func ExampleMiddleware_Require() {
	wk, err := walkin.New(walkin.Config{Keys: exampleKeys, Store: memstore.New()})
	if err != nil {
		fmt.Println(err)
		return
	}
	posted := time.Now().AddDate(0, 0, -3)
	today := wk.Require(func(c walkin.Claims) error {
		if c.Anonymous && time.Since(posted) > 24*time.Hour {
			return errors.New("an old post")
		}
		return nil
	})
	site := wk.Handler(today(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the post") })))
	c := walkintest.NewClient(new(testing.T), site)
	fmt.Println(c.Visit("/").StatusCode)
	// Output:
	// 403
}

// In the test of a handler that reads the claims.
func ExampleNewContext() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, "anonymous=", c.Anonymous)
	}
	c := walkintest.NewClient(new(testing.T), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(w, r.WithContext(walkin.NewContext(r.Context(), walkintest.Anonymous(new(testing.T)))))
	}))
	browse(c.Visit("/"))
	// Output:
	// 200 anonymous=true
}

// Behind a proxy, say which: otherwise all visitors have the proxy's address,
// and share one new-user limit. The commonest mistake is to believe the first address
// in the header, which is the visitor's own words.
func ExampleMiddleware_ClientAddr() {
	wk, err := walkin.New(walkin.Config{
		Keys: exampleKeys, Store: memstore.New(),
		Proxies: walkin.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "127.0.0.1:54321"
	r.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.7") // the second is what nginx saw
	fmt.Println(wk.ClientAddr(r))
	r.RemoteAddr = "203.0.113.7:54321" // not through nginx
	fmt.Println(wk.ClientAddr(r))
	// Output:
	// 203.0.113.7
	// 203.0.113.7
}
