package echowalkin_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
	"github.com/walkin-go/walkin/store/memstore"
)

func routes(wk *walkin.Middleware) http.Handler {
	e := echo.New()
	e.Use(echowalkin.Handler(wk), middleware.Recover())
	e.POST("/notes", func(c *echo.Context) error {
		claims, err := echowalkin.Ensure(wk, c)
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, countNotes(claims, 1))
	})
	e.POST("/publish", func(c *echo.Context) error {
		claims, _ := echowalkin.Claims(c)
		return c.String(http.StatusOK, countNotes(claims, 0))
	}, echowalkin.RequirePermanent(wk))
	e.POST("/sign-in", func(c *echo.Context) error {
		account, ok := checkPassword(c.FormValue("email"), c.FormValue("password"))
		if !ok {
			return c.String(http.StatusUnauthorized, "wrong address or password")
		}
		if _, err := echowalkin.Continue(wk, c, walkin.Proof{Provider: "account", Subject: account, Method: "pwd"}); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, "/")
	})
	e.POST("/sign-out", echowalkin.WrapHandler(wk.SignOutHandler()))
	return e
}

// Example is a site with accounts of its own and one visitor, who writes a
// note first and signs in later.
func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte(rand.Text() + rand.Text())}}, // walkin.KeyFile keeps one

		Store: memstore.New(),
		Cookies: walkin.Cookies{
			Insecure: true, // plain http on localhost
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(routes(wk))
	defer server.Close()

	jar, _ := cookiejar.New(nil) // its error is always nil
	visitor := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, path := range []string{"/notes", "/publish", "/sign-in", "/publish"} {
		response, err := visitor.PostForm(server.URL+path, url.Values{"email": {"ann@example.com"}, "password": {"correct horse"}})
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s %d %s", path, response.StatusCode, text)))
	}
	// Output:
	// /notes 200 anonymous: true, notes: 1
	// /publish 403 {"type":"about:blank","title":"Forbidden","status":403,"detail":"An account is needed for this.","code":"account_required"}
	// /sign-in 303
	// /publish 200 anonymous: false, notes: 1
}

// The site's own: its accounts, which walkin never sees, and its notes, which
// are kept under walkin's user IDs.

func checkPassword(email, password string) (account string, ok bool) {
	return "4711", email == "ann@example.com" && password == "correct horse"
}

var (
	mu    sync.Mutex
	notes = map[uuid.UUID]int{}
)

func countNotes(c walkin.Claims, more int) string {
	mu.Lock()
	defer mu.Unlock()
	notes[c.UserID] += more
	return fmt.Sprintf("anonymous: %t, notes: %d", c.Anonymous, notes[c.UserID])
}
