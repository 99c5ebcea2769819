package ginwalkin_test

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

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
	"github.com/walkin-go/walkin/store/memstore"
)

func routes(wk *walkin.Middleware) http.Handler {
	r := gin.New()
	r.Use(ginwalkin.Handler(wk), gin.Recovery())
	r.POST("/notes", func(c *gin.Context) {
		claims, err := ginwalkin.Ensure(wk, c)
		if err != nil {
			ginwalkin.Refuse(wk, c, err)
			return
		}
		c.String(http.StatusOK, countNotes(claims, 1))
	})
	r.POST("/publish", ginwalkin.RequirePermanent(wk), func(c *gin.Context) {
		claims, _ := ginwalkin.Claims(c)
		c.String(http.StatusOK, countNotes(claims, 0))
	})
	r.POST("/sign-in", func(c *gin.Context) {
		account, ok := checkPassword(c.PostForm("email"), c.PostForm("password"))
		if !ok {
			c.String(http.StatusUnauthorized, "wrong address or password")
			return
		}
		if _, err := ginwalkin.Continue(wk, c, walkin.Proof{Provider: "account", Subject: account, Method: "pwd"}); err != nil {
			ginwalkin.Refuse(wk, c, err)
			return
		}
		c.Redirect(http.StatusSeeOther, "/")
	})
	r.POST("/sign-out", ginwalkin.WrapH(wk.SignOutHandler()))
	return r
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
