// Package walkintest is for the tests of apps that use walkin. It has a browser-like
// [Client] that keeps cookies and sends the headers that browsers send, claims for
// handlers that are tested on their own, and a [Matrix] of which visitors reach which
// route.
package walkintest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// UserAgent is what a Client says it is.
const UserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

// A Client is a browser without a window: a cookie jar, and the Fetch Metadata that a
// browser of today sends along. Without any mark of a browser a post is taken for a
// webhook, and makes no user. A Client calls the handler directly, without a network,
// so it works inside testing/synctest. It does not follow redirects. Its methods fail
// the test when the handler panics, and may be called concurrently.
//
// Every client has an address of its own, picked at random, so that a test with
// many visitors does not meet Config.NewUsers.Limit by chance; see [Client.From].
type Client struct {
	t       testing.TB
	handler http.Handler
	jar     *cookiejar.Jar
	origin  *url.URL
	remote  string
}

// NewClient returns a client with an empty jar for the site that handler serves
// as https://app.example.
func NewClient(t testing.TB, handler http.Handler) *Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// One of 198.18.0.0/15, which RFC 2544 keeps for tests.
	remote := netip.AddrFrom4([4]byte{198, byte(18 + rand.N(2)), byte(rand.N(256)), byte(rand.N(256))})
	return &Client{t: t, handler: handler, jar: jar, origin: &url.URL{Scheme: "https", Host: "app.example", Path: "/"},
		remote: netip.AddrPortFrom(remote, 1234).String()}
}

// On returns the same browser, with the same jar, in front of another handler:
// another replica of the site.
func (c *Client) On(handler http.Handler) *Client {
	other := *c
	other.handler = handler
	return &other
}

// From returns the same browser, with the same jar, at another address: what an
// http.Request has as its RemoteAddr, "192.0.2.1:1234".
func (c *Client) From(remoteAddr string) *Client {
	other := *c
	other.remote = remoteAddr
	return &other
}

// Visit opens a page, as a visitor does who typed its address or followed a link.
func (c *Client) Visit(path string) *http.Response {
	c.t.Helper()
	r := c.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "none")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return c.Do(r)
}

// Fetch sends a GET request as a script of the page does.
func (c *Client) Fetch(path string) *http.Response {
	c.t.Helper()
	return c.Do(c.NewRequest(http.MethodGet, path, nil))
}

// Post posts a form of the page, as a visitor who presses its button does.
func (c *Client) Post(path string, form url.Values) *http.Response {
	c.t.Helper()
	r := c.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", c.origin.Scheme+"://"+c.origin.Host)
	return c.Do(r)
}

// NewRequest returns a request as a script of the page makes it, for the test
// to change before [Client.Do].
func (c *Client) NewRequest(method, path string, body io.Reader) *http.Request {
	c.t.Helper()
	target, err := c.origin.Parse(path)
	if err != nil {
		c.t.Fatalf("walkintest: %v", err)
	}
	r := httptest.NewRequest(method, target.String(), body)
	r.RemoteAddr = c.remote
	r.Header.Set("User-Agent", UserAgent)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// Do adds the jar's cookies to the request, serves it, and keeps the cookies
// of the response.
func (c *Client) Do(r *http.Request) *http.Response {
	c.t.Helper()
	c.Carry(r)
	response, err := c.Serve(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Keep(response)
	return response
}

// Carry adds the jar's cookies to a request, as they are now.
func (c *Client) Carry(r *http.Request) {
	for _, cookie := range c.jar.Cookies(c.origin) {
		r.AddCookie(cookie)
	}
}

// Keep takes the cookies of a response into the jar: the moment it arrives.
func (c *Client) Keep(response *http.Response) { c.jar.SetCookies(c.origin, response.Cookies()) }

// Serve serves a request without touching the jar. A panic of the handler is
// an error, as it is a dropped connection for a browser.
func (c *Client) Serve(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("walkintest: the handler panicked: %v", p)
		}
	}()
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	response = w.Result()
	// The body is here already; give it back as often as it is read.
	response.Body = io.NopCloser(bytes.NewReader(w.Body.Bytes()))
	return response, nil
}

// Cookies returns what the jar would send now.
func (c *Client) Cookies() []*http.Cookie { return c.jar.Cookies(c.origin) }

// Cookie returns the value of the named cookie in the jar, or "".
func (c *Client) Cookie(name string) string {
	for _, cookie := range c.Cookies() {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// SetCookie puts a cookie into the jar, as an attacker or an old visit would.
func (c *Client) SetCookie(name, value string) {
	c.jar.SetCookies(c.origin, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// Anonymous returns the claims of a stored anonymous user, for [walkin.NewContext].
func Anonymous(t testing.TB) walkin.Claims {
	t.Helper()
	return claims(t, true)
}

// Permanent returns the claims of a permanent user who signed in with a
// password just now.
func Permanent(t testing.TB) walkin.Claims {
	t.Helper()
	c := claims(t, false)
	c.Method, c.ProvenAt = "pwd", c.IssuedAt
	return c
}

func claims(t testing.TB, anonymous bool) walkin.Claims {
	t.Helper()
	user, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	return walkin.Claims{
		UserID: user, SessionID: uuid.New(), Anonymous: anonymous,
		IssuedAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour),
	}
}
