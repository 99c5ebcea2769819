package walkin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// exampleMiddleware makes a Middleware of a config that names what the example is about.
func exampleMiddleware(cfg walkin.Config) *walkin.Middleware {
	cfg.Keys, cfg.Store = exampleKeys, memstore.New()
	wk, err := walkin.New(cfg)
	if err != nil {
		panic(err)
	}
	return wk
}

// signUp makes the visitor permanent, as an app does whose form has checked a password.
func signUp(wk *walkin.Middleware) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "shop", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	}
}

// New lists everything that is wrong in a Config.
func ExampleNew() {
	_, err := walkin.New(walkin.Config{})
	fmt.Println(err != nil)
	// Output:
	// true
}

// Handler wraps the whole site. Assets and robots get no user.
func ExampleMiddleware_Handler() {
	wk := exampleMiddleware(walkin.Config{})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := walkin.FromContext(r.Context())
		fmt.Fprint(w, "a user: ", ok)
	}))
	c := walkintest.NewClient(new(testing.T), site)
	browse(c.Fetch("/data.json")) // a script's request, before any page
	browse(c.Visit("/"))
	browse(c.Fetch("/data.json"))
	// Output:
	// 200 a user: false
	// 200 a user: true
	// 200 a user: true
}

// A handler asks who the visitor is. Not every request has a user.
func ExampleFromContext() {
	wk := exampleMiddleware(walkin.Config{})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch c, ok := walkin.FromContext(r.Context()); {
		case !ok:
			fmt.Fprint(w, "no user")
		case c.Anonymous:
			fmt.Fprint(w, "anonymous")
		default:
			fmt.Fprint(w, "permanent")
		}
	}))
	c := walkintest.NewClient(new(testing.T), site)
	browse(c.Fetch("/"))
	browse(c.Visit("/"))
	// Output:
	// 200 no user
	// 200 anonymous
}

// The zero Claims are not those of a permanent user. Where ok is dropped, a request
// without a user passes for one. walkinvet finds this.
func ExampleFromContext_incorrect() {
	wk := exampleMiddleware(walkin.Config{})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context()) // wrong
		if !c.Anonymous {
			fmt.Fprint(w, "for members only")
		}
	}))
	c := walkintest.NewClient(new(testing.T), site)
	browse(c.Fetch("/"))
	// Output:
	// 200 for members only
}

// A GET that stores something for its visitor asks for a user first.
func ExampleMiddleware_Ensure() {
	wk := exampleMiddleware(walkin.Config{})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := wk.Ensure(w, r)
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, "stored: ", !c.Provisional) // and now store what they made
	}))
	c := walkintest.NewClient(new(testing.T), site)
	browse(c.Visit("/draft"))
	// Output:
	// 200 stored: true
}

// Ensure sets a cookie, so it comes before the response begins.
func ExampleMiddleware_Ensure_incorrect() {
	wk := exampleMiddleware(walkin.Config{NewUsers: walkin.NewUsers{Mint: walkin.MintOnDemand}})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "Hello. ") // wrong: the header is out
		_, err := wk.Ensure(w, r)
		fmt.Fprint(w, "a user: ", err == nil)
	}))
	c := walkintest.NewClient(new(testing.T), site)
	browse(c.Visit("/"))
	// Output:
	// 200 Hello. a user: false
}

// Requests without a user are refused. Anonymous users pass.
func ExampleMiddleware_RequireUser() {
	wk := exampleMiddleware(walkin.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/cart", wk.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the cart") })))
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	fmt.Println(c.Fetch("/cart").StatusCode)
	c.Visit("/")
	fmt.Println(c.Fetch("/cart").StatusCode)
	// Output:
	// 401
	// 200
}

// A guard outside Handler sees no user, ever. walkinvet finds this.
func ExampleMiddleware_RequireUser_incorrect() {
	wk := exampleMiddleware(walkin.Config{})
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the cart") })
	c := walkintest.NewClient(new(testing.T), wk.RequireUser()(wk.Handler(page))) // wrong
	c.Visit("/")
	fmt.Println(c.Visit("/").StatusCode)
	// Output:
	// 401
}

// What cannot be undone asks for a proof that is not an old one.
func ExampleMiddleware_RequireRecent() {
	wk := exampleMiddleware(walkin.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-up", signUp(wk))
	mux.Handle("POST /delete", wk.RequireRecent(10*time.Minute)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "deleted") })))
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	c.Post("/sign-up", url.Values{"name": {"ann"}})
	browse(c.Post("/delete", nil))
	// Output:
	// 200 deleted
}

// Refuse answers as the visitor's program expects: a page for a browser, a problem
// document (RFC 9457) for a script. The event tells the operator why.
func ExampleMiddleware_Refuse() {
	wk := exampleMiddleware(walkin.Config{OnEvent: func(_ context.Context, e walkin.Event) {
		if e.Outcome == walkin.Refused {
			fmt.Println("event:", e.Reason)
		}
	}})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wk.Refuse(w, r, &walkin.Refusal{Status: http.StatusForbidden, Reason: "closed", Message: "The shop is closed."})
	}))
	c := walkintest.NewClient(new(testing.T), site)
	fmt.Println(c.Fetch("/").Header.Get("Content-Type"))
	// Output:
	// event: closed
	// application/problem+json
}

// A sign-out is a form's: a link could be opened by any page.
func ExampleMiddleware_SignOut() {
	wk := exampleMiddleware(walkin.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		_, ok := walkin.FromContext(r.Context())
		fmt.Fprint(w, "a user: ", ok)
	})
	mux.HandleFunc("POST /sign-up", signUp(wk))
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		if err := wk.SignOut(w, r); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	c.Post("/sign-up", url.Values{"name": {"ann"}})
	c.Post("/sign-out", nil)
	browse(c.Fetch("/"))
	// Output:
	// 200 a user: false
}

// SignOutHandler is that as a handler, which leads back to the site.
func ExampleMiddleware_SignOutHandler() {
	wk := exampleMiddleware(walkin.Config{})
	mux := http.NewServeMux()
	mux.Handle("/sign-out", wk.SignOutHandler())
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	fmt.Println(c.Post("/sign-out?return_to=/welcome", nil).Header.Get("Location"))
	fmt.Println(c.Post("/sign-out?return_to=https://evil.example", nil).Header.Get("Location"))
	// Output:
	// /welcome
	// /
}

// ReturnTo reads where a form leads back to. It is a path of this site, always.
func ExampleReturnTo() {
	for _, to := range []string{"/notes?page=2", "https://evil.example/", "//evil.example"} {
		r, _ := http.NewRequest(http.MethodGet, "/sign-in?return_to="+url.QueryEscape(to), nil)
		fmt.Println(walkin.ReturnTo(r))
	}
	// Output:
	// /notes?page=2
	// /
	// /
}

// Target is the address that the browser asked for, also behind http.StripPrefix.
func ExampleTarget() {
	site := http.StripPrefix("/shop", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path, " was ", walkin.Target(r))
	}))
	browse(walkintest.NewClient(new(testing.T), site).Visit("/shop/cart"))
	// Output:
	// 200 /cart was /shop/cart
}

// A form says for whom it was made. It is refused when another tab has signed in as
// another user meanwhile.
func ExampleMiddleware_RequireRenderedFor() {
	wk := exampleMiddleware(walkin.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, wk.RenderedFor(r)) })
	mux.HandleFunc("POST /sign-up", signUp(wk))
	mux.Handle("POST /note", wk.RequireRenderedFor()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	c := walkintest.NewClient(new(testing.T), wk.Handler(mux))
	for _, name := range []string{"ann", "bob"} {
		c.Post("/sign-out", nil)
		c.Post("/sign-up", url.Values{"name": {name}})
		shown, _ := io.ReadAll(c.Visit("/").Body)
		fmt.Println(c.Post("/note", url.Values{"walkin_rendered_for": {string(shown)}}).StatusCode)
	}
	fmt.Println(c.Post("/note", nil).StatusCode) // a form without it
	// Output:
	// 200
	// 200
	// 409
}

// A handler that writes on a GET checks that no operator is looking at the site as the
// user. For other methods walkin does that.
func ExampleCheckActor() {
	c := walkintest.Permanent(new(testing.T))
	fmt.Println(walkin.CheckActor(walkin.NewContext(context.Background(), c)))
	c.Actor = uuid.New()
	fmt.Println(walkin.CheckActor(walkin.NewContext(context.Background(), c)) != nil)
	// Output:
	// <nil>
	// true
}

// An API for native apps has no cookies. The client gets its token in the answer.
func ExampleIssuedToken() {
	wk := exampleMiddleware(walkin.Config{})
	api := wk.WithoutCookies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Ensure(w, r); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		token, issued := walkin.IssuedToken(r.Context())
		fmt.Fprint(w, issued, " ", token.Text != "")
	}))
	browse(walkintest.NewClient(new(testing.T), api).Post("/api/users", nil))
	// Output:
	// 200 true true
}
