package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// A fault is what the doctor found.
type fault struct {
	Check   string `json:"check"`
	Message string `json:"message"`
}

// A doctor sends requests to a running site as browsers, robots and proxies do. It does
// not sign in and writes nothing.
type doctor struct {
	client *http.Client
	page   *url.URL
	jwks   string
	faults []fault
}

func doctorCommand() *cobra.Command {
	var jwks string
	c := command("doctor URL", "Ask a running site whether it is set up right; exits with 1 if something is wrong", cobra.ExactArgs(1), nil)
	t := &tool{}
	c.RunE = func(c *cobra.Command, args []string) error {
		t.out, t.talk = c.OutOrStdout(), c.ErrOrStderr()
		t.asJSON, _ = c.Flags().GetBool("json")
		page, err := url.Parse(args[0])
		if err != nil || page.Host == "" || page.Scheme != "https" && page.Scheme != "http" {
			return errors.New("the argument is no URL like https://example.com/")
		}
		d := &doctor{page: page, jwks: jwks, client: &http.Client{Timeout: 10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
		if err := d.examine(c.Context()); err != nil {
			return err
		}
		if d.faults == nil {
			d.faults = []fault{}
		}
		err = t.print(d.faults, func(w io.Writer) {
			for _, f := range d.faults {
				fmt.Fprintf(w, "%s\t%s\n", f.Check, f.Message)
			}
		})
		t.say("%d findings", len(d.faults))
		if err == nil && len(d.faults) > 0 {
			return errFindings
		}
		return err
	}
	c.Flags().StringVar(&jwks, "jwks", "/.well-known/jwks.json", "the path of the JWKS, if there is one")
	return c
}

func (d *doctor) found(check, format string, args ...any) {
	f := fault{check, fmt.Sprintf(format, args...)}
	if !slices.Contains(d.faults, f) {
		d.faults = append(d.faults, f)
	}
}

const browserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

// ask gets a path with a header, and returns the answer with its body read.
func (d *doctor) ask(ctx context.Context, method, path string, header map[string]string) (*http.Response, string, error) {
	u := *d.page
	if path != "" {
		u.Path, u.RawQuery = path, ""
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("User-Agent", browserAgent)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := d.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response, string(body), err
}

var pageView = map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}

func with(base map[string]string, name, value string) map[string]string {
	header := map[string]string{name: value}
	for n, v := range base {
		if n != name {
			header[n] = v
		}
	}
	return header
}

// ours returns the cookies of an answer that look like walkin's: their value is a JWT.
func ours(response *http.Response) (all []*http.Cookie) {
	for _, c := range response.Cookies() {
		if _, err := inspect(c.Value); err == nil {
			all = append(all, c)
		}
	}
	return all
}

func (d *doctor) examine(ctx context.Context) error {
	asked := time.Now()
	response, _, err := d.ask(ctx, "GET", "", pageView)
	if err != nil {
		return fmt.Errorf("the site does not answer: %w", err)
	}
	d.clock(response, asked)
	if d.page.Scheme == "http" && !isLocal(d.page.Hostname()) {
		d.found("https", "the page is served over plain http: whoever is on the way can take a visitor's cookie")
	}
	minted := ours(response)
	d.cookies(response, minted)
	if len(minted) > 0 {
		d.caching(response)
	}
	if err := d.shapes(ctx); err != nil {
		return err
	}
	if err := d.proxies(ctx); err != nil {
		return err
	}
	return d.keys(ctx)
}

func isLocal(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

func (d *doctor) cookies(response *http.Response, minted []*http.Cookie) {
	names := make(map[string]int)
	for _, c := range minted {
		names[c.Name]++
		local := d.page.Scheme == "http" && isLocal(d.page.Hostname()) && !strings.HasPrefix(c.Name, "__")
		if !c.Secure && !local {
			d.found("cookie-secure", "%s lacks Secure: it travels over plain http too; is Config.Insecure set?", c.Name)
		}
		if !c.HttpOnly {
			d.found("cookie-httponly", "%s lacks HttpOnly: scripts can read it", c.Name)
		}
		if c.SameSite != http.SameSiteLaxMode && !(c.SameSite == http.SameSiteNoneMode && c.Partitioned) {
			d.found("cookie-samesite", "%s is not SameSite=Lax: posts of other sites may bring it", c.Name)
		}
		if c.Domain != "" {
			d.found("cookie-domain", "%s is for the domain %s: every subdomain reads it and can plant one", c.Name, c.Domain)
		} else if !strings.HasPrefix(c.Name, "__Host-") && (c.Secure || !local) {
			d.found("cookie-prefix", "%s has no __Host- prefix: a subdomain can plant one", c.Name)
		}
		if c.Path != "/" {
			d.found("cookie-path", "%s is for the path %q alone: elsewhere the visitor is another one", c.Name, c.Path)
		}
		if c.MaxAge <= 0 && c.Expires.IsZero() {
			d.found("cookie-age", "%s ends with the browser's window", c.Name)
		}
	}
	for name, n := range names {
		if n > 1 {
			d.found("cookie-twice", "%s is set %d times in one answer", name, n)
		}
	}
	for _, line := range response.Header["Set-Cookie"] {
		if len(line) > 4096 {
			d.found("cookie-size", "a cookie of %d bytes: browsers drop more than 4,096 without a word", len(line))
		}
	}
}

// caching looks at an answer that makes a user: no cache may keep it.
func (d *doctor) caching(response *http.Response) {
	cache := strings.ToLower(strings.Join(response.Header["Cache-Control"], ","))
	if !strings.Contains(cache, "no-store") {
		d.found("caching", "a page that sets a visitor's cookie has Cache-Control %q: a cache hands it to others; it must be private, no-store", cache)
	}
	for _, name := range []string{"X-Cache", "Cf-Cache-Status"} {
		if strings.HasPrefix(strings.ToUpper(response.Header.Get(name)), "HIT") {
			d.found("cached", "a page with a visitor's cookie came out of a cache (%s)", name)
		}
	}
}

// clock compares the site's clock with this machine's.
func (d *doctor) clock(response *http.Response, asked time.Time) {
	at, err := http.ParseTime(response.Header.Get("Date"))
	if err == nil {
		if off := at.Sub(asked); off.Abs() > 90*time.Second {
			d.found("clock", "the site's clock is %v off this machine's", off.Round(time.Second))
		}
	}
	for _, c := range ours(response) {
		seen, _ := inspect(c.Value)
		var claims struct {
			Issued int64 `json:"iat"`
		}
		if json.Unmarshal(seen.Claims, &claims) == nil && time.Since(time.Unix(claims.Issued, 0)).Abs() > 90*time.Second {
			d.found("clock", "a new token says that it was issued %v ago", time.Since(time.Unix(claims.Issued, 0)).Round(time.Second))
		}
	}
}

// shapes asks as those who must get no user.
func (d *doctor) shapes(ctx context.Context) error {
	for _, c := range []struct {
		check, who, method string
		header             map[string]string
	}{
		{"robots", "a robot (Googlebot)", "GET", with(map[string]string{"Accept": "text/html"}, "User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")},
		{"prefetch", "a prefetch", "GET", with(pageView, "Sec-Purpose", "prefetch")},
		{"head", "a HEAD", "HEAD", pageView},
		{"subresource", "an image", "GET", map[string]string{"Accept": "image/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "same-origin"}},
	} {
		response, _, err := d.ask(ctx, c.method, "", c.header)
		if err != nil {
			return err
		}
		if len(ours(response)) > 0 {
			d.found(c.check, "%s gets a user of its own", c.who)
		}
	}
	return nil
}

// proxies tells the site lies that only a proxy of its own may tell.
func (d *doctor) proxies(ctx context.Context) error {
	const invented = "doctor.invalid"
	for _, name := range []string{"X-Forwarded-Host", "Forwarded", "X-Original-Host"} {
		value := invented
		if name == "Forwarded" {
			value = "host=" + invented
		}
		response, body, err := d.ask(ctx, "GET", "", with(pageView, name, value))
		if err != nil {
			return err
		}
		if strings.Contains(response.Header.Get("Location"), invented) || strings.Contains(body, invented) {
			d.found("proxy", "%s is believed from anybody: it is in the answer", name)
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
		const address = "192.0.2.77" // of RFC 5737: no real client's
		_, body, err := d.ask(ctx, "GET", "", with(pageView, name, address))
		if err != nil {
			return err
		}
		if strings.Contains(body, address) {
			d.found("proxy", "%s is believed from anybody: limits are then a matter of choice", name)
		}
	}
	return nil
}

// keys looks at the JWKS, where there is one.
func (d *doctor) keys(ctx context.Context) error {
	response, body, err := d.ask(ctx, "GET", d.jwks, map[string]string{"Accept": "application/json"})
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return nil // a site need not have one
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if json.Unmarshal([]byte(body), &set) != nil || set.Keys == nil {
		return nil // a page that is there for every path
	}
	for _, key := range set.Keys {
		for _, secret := range []string{"d", "k", "p", "q"} {
			if _, there := key[secret]; there {
				d.found("jwks-secret", "the JWKS publishes a secret (%q): whoever read it signs tokens", secret)
			}
		}
		if key["kid"] == nil {
			d.found("jwks-kid", "a key of the JWKS has no kid: services cannot tell which one to use")
		}
	}
	if len(ours(response)) > 0 {
		d.found("jwks-cookie", "the JWKS sets a visitor's cookie")
	}
	return nil
}
