package walkin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Two cookies, one for each kind of user. Code that handles anonymous users
// writes only the anonymous one, so a late response of an anonymous request
// can never sign a user out. A third one, of StartFlow, says nothing about who the
// visitor is.
type cookies struct {
	anonymous, permanent string // names
	binding              string // the name of StartFlow's
	base, suffix         string // around the purpose in all other names
	acting               string // the name of an impersonation's
	stem                 string // what both names begin with
	rare                 int    // where in it its rarest byte is
	domain               string
	insecure             bool
	partitioned          bool

	former []formerCookies // only in those of today
}

const (
	hostPrefix    = "__Host-"
	securePrefix  = "__Secure-"
	defaultCookie = "walkin"
)

// cookiesOf returns the cookies of a Config, with its defaults for them filled in.
func cookiesOf(cfg *Config) (cookies, error) {
	var wrong configErrors
	defaultName := cookieName(cfg.Tokens.Issuer, cfg.Tokens.Audience, cfg.Cookies.Insecure)
	orDefault(&cfg.Cookies.Name, defaultName)
	if cfg.Cookies.Partitioned && cfg.Cookies.Insecure {
		wrong.add("Config.Cookies.Partitioned needs Secure cookies; Config.Cookies.Insecure makes others")
	}
	if cfg.Cookies.Domain != "" && !validDomain(cfg.Cookies.Domain) {
		wrong.add("Config.Cookies.Domain %q is not a domain like example.com", cfg.Cookies.Domain)
	}
	if err := checkCookieName(cfg.Cookies.Name); err != nil {
		wrong.add("Config.Cookies.Name %q: %w", cfg.Cookies.Name, err)
	}
	names := newCookies(cfg.Cookies.Name, cfg.Cookies.Domain, cfg.Cookies.Insecure, cfg.Cookies.Partitioned)
	for i, f := range cfg.Cookies.Former {
		orDefault(&f.Name, defaultName)
		switch {
		case f.ChangedAt.IsZero():
			wrong.add("Config.Cookies.Former[%d] has no ChangedAt", i)
		case f.Domain != "" && !validDomain(f.Domain):
			wrong.add("Config.Cookies.Former[%d]: its domain %q is not one like example.com", i, f.Domain)
		}
		if err := checkCookieName(f.Name); err != nil {
			wrong.add("Config.Cookies.Former[%d]: its name %q: %w", i, f.Name, err)
		}
		former := newCookies(f.Name, f.Domain, cfg.Cookies.Insecure, f.Partitioned)
		if former.permanent == names.permanent {
			continue // read under that name anyway
		}
		names.former = append(names.former, formerCookies{former, f.ChangedAt})
	}
	return names, errors.Join(wrong...)
}

func newCookies(name, domain string, insecure, partitioned bool) cookies {
	host, prefix, suffix := hostPrefix, hostPrefix, ""
	switch {
	case insecure:
		host, prefix = "", ""
	case domain != "":
		prefix = securePrefix
	}
	if partitioned {
		// Another name, since a browser that has both kinds sends both.
		suffix = suffixPartitioned
	}
	k := cookies{
		anonymous: prefix + name + suffixAnonymous + suffix,
		permanent: prefix + name + suffix,
		// A login flow begins and ends on one host. With Domain, a sibling
		// could plant its own flow.
		binding: host + name + suffixBinding + suffix,
		acting:  host + name + ".as" + suffix, // as own says
		base:    host + name, suffix: suffix,
		domain: domain, insecure: insecure, partitioned: partitioned,
	}
	k.stem, k.rare = stemOf(k.anonymous, k.permanent)
	return k
}

const (
	suffixAnonymous   = "-anon"
	suffixBinding     = "-bind"
	suffixPartitioned = "-chips"
)

// own returns the name of the cookie for one purpose. A dot is in no name of Config,
// so that no app's cookies are taken for another's.
func (k *cookies) own(purpose string) string { return k.base + "." + purpose + k.suffix }

// checkCookieName reports what is wrong with a name of Config. What ends as a
// name of ours could be taken for one.
func checkCookieName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case len(name) > 64 || strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "":
		return errors.New("it is not 1 to 64 letters, digits, _ and -")
	case strings.HasPrefix(lower, "__"):
		return errors.New("the prefix __Host- or __Secure- is added where it belongs")
	}
	for _, suffix := range [...]string{suffixAnonymous, suffixBinding, suffixPartitioned} {
		if strings.HasSuffix(lower, suffix) {
			return fmt.Errorf("it ends in %s, as a name of walkin's own does", suffix)
		}
	}
	return nil
}

// cookieName returns the default name of an app's cookies. Apps that share a key and
// tell their tokens apart by issuer and audience may share a host, and so their
// browsers' cookies. On localhost all apps in development do, since cookies are not
// separated by port. The name never depends on a key: a rotation must not change it.
func cookieName(issuer, audience string, insecure bool) string {
	if issuer == defaultIssuer && audience == defaultIssuer && !insecure {
		return defaultCookie
	}
	app := ""
	if insecure {
		app = appPath()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{issuer, audience, app}, "\x00")))
	return defaultCookie + "-" + hex.EncodeToString(sum[:4])
}

// appPath names the binary among those of a developer: its package within its module.
// "go run main.go" and binaries without a module have no such name; the directory they
// run in tells them apart.
func appPath() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Path != "" && info.Path != "command-line-arguments" {
		return info.Main.Path + " " + info.Path
	}
	directory, err := os.Getwd()
	if err != nil {
		return ""
	}
	return directory
}

// formerCookies are a FormerCookie made ready.
type formerCookies struct {
	cookies
	changedAt time.Time
}

// carry returns the cookie that carries a token.
func (k *cookies) carry(token string, c Claims, now time.Time) *http.Cookie {
	cookie := k.cookie(k.name(c.Anonymous), token)
	// Max-Age alone: it holds where a browser's clock is wrong, and all know it.
	cookie.MaxAge = int(c.ExpiresAt.Sub(now).Seconds())
	return cookie
}

// clear returns the cookie that removes one of ours. A browser takes it for
// the same cookie only with the same attributes.
func (k *cookies) clear(name string) *http.Cookie {
	cookie := k.cookie(name, "")
	cookie.MaxAge = -1
	cookie.Expires = time.Unix(1, 0)
	return cookie
}

// What one response clears at most: a header of more than 4 KB, which a long path could
// make of it, is refused by common proxies. Later pages clear the rest.
const (
	maxVariants  = 32
	maxClearance = 2000 // bytes
)

// fit returns as many cookies as have room in a header.
func fit(cookies []*http.Cookie) []*http.Cookie {
	size := 0
	for i, c := range cookies {
		if size += len(c.String()) + len("Set-Cookie: \r\n"); size > maxClearance {
			return cookies[:i]
		}
	}
	return cookies
}

// mayVary reports whether a browser that sent c may have cookies of this name
// for other domains or paths than ours. A __Host- cookie is one of its kind,
// unless something in between knows no such prefix.
func (k *cookies) mayVary(name string, c carriedCookie) bool {
	return c.others != nil || !strings.HasPrefix(name, hostPrefix)
}

// scopes returns the cookies of today and those of before.
func (k *cookies) scopes() []*cookies {
	all := []*cookies{k}
	for i := range k.former {
		all = append(all, &k.former[i].cookies)
	}
	return all
}

// clearOthers returns what removes the cookies of a name that are not as we set
// them: for this host alone, for each parent domain, and for each prefix of the
// path. A browser refuses the domains that are not its own.
func (k *cookies) clearOthers(r *http.Request, name string) []*http.Cookie {
	var all []*http.Cookie
	domains := append([]string{""}, parentDomains(r.Host, k.domain)...)
	for _, path := range pathPrefixes(r) {
		for _, domain := range domains {
			if path == "/" && domain == k.domain {
				continue
			}
			// As little as makes a browser take it: a __Secure- name needs
			// Secure, and a partitioned cookie Partitioned.
			all = append(all, &http.Cookie{Name: name, Path: path, Domain: domain, MaxAge: -1,
				Secure: !k.insecure, Partitioned: k.partitioned})
		}
	}
	return all
}

// parentDomains returns the domains for which a cookie may have been set that is
// sent to a host: the host itself and what it is a subdomain of. The configured
// domain counts as well, since a proxy may say another host.
func parentDomains(hosts ...string) []string {
	var all []string
	for _, host := range hosts {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.ToLower(host)
		for len(host) <= 253 && validDomain(host) {
			if !slices.Contains(all, host) {
				all = append(all, host)
			}
			_, host, _ = strings.Cut(host, ".")
		}
	}
	return all
}

// pathPrefixes returns the paths for which a cookie may have been set that is
// sent with r: the shortest first, each with and without a slash at its end. It
// goes by what the browser asked for, whatever a http.StripPrefix left of it.
func pathPrefixes(r *http.Request) []string {
	path := r.URL.EscapedPath()
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		path = u.EscapedPath()
	}
	all := []string{"/"}
	for i := 1; i < len(path) && len(all) < maxVariants; i++ {
		switch {
		case path[i] == ';':
			return all // no cookie can be set for such a path
		case path[i] == '/':
			all = append(all, path[:i], path[:i+1])
		case i == len(path)-1:
			all = append(all, path)
		}
	}
	return all
}

func (k *cookies) name(anonymous bool) string {
	if anonymous {
		return k.anonymous
	}
	return k.permanent
}

// forPurpose returns a cookie of this host alone, see Middleware.Cookie.
func (k *cookies) forPurpose(purpose string) *http.Cookie {
	cookie := k.cookie(k.own(purpose), "")
	cookie.Domain = ""
	return cookie
}

// flow returns the cookie of StartFlow: this host's alone, see newCookies.
func (k *cookies) flow(value string) *http.Cookie {
	cookie := k.cookie(k.binding, value)
	cookie.Domain, cookie.MaxAge = "", int(flowLifetime.Seconds())
	return cookie
}

func (k *cookies) cookie(name, value string) *http.Cookie {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", Domain: k.domain,
		HttpOnly: true, Secure: !k.insecure,
		// Always written out: a browser's own default lets a cross-site POST carry a
		// cookie for two minutes. Strict would withhold it when a visitor follows a
		// link, and we would mint over a live user.
		SameSite: http.SameSiteLaxMode,
	}
	if k.partitioned {
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	return cookie
}

// beginsCookie reports whether a cookie begins after what is before it in a line.
func beginsCookie(before string) bool {
	before = trimEnd(before)
	return before == "" || before[len(before)-1] == ';'
}

// commonest are the bytes of a Cookie header, the most frequent ones first.
const commonest = " =;_.-%0123456789eaitnosrldchmpgubfvyxwkqzjABCDEFSTGIMNPOLRUVHWYKXQJZ"

// stemOf returns what both names begin with, and where its rarest byte is.
func stemOf(a, b string) (stem string, rare int) {
	for stem = a; !strings.HasPrefix(b, stem); {
		stem = stem[:len(stem)-1]
	}
	for i := range stem {
		if strings.IndexByte(commonest, stem[i]) > strings.IndexByte(commonest, stem[rare]) {
			rare = i
		}
	}
	return stem, rare
}

func trimEnd(s string) string {
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
