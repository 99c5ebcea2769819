package walkin_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// A shapeLine is a line of testdata/shapes.txt, and what its group says of it.
type shapeLine struct {
	group    string
	verdicts map[string][]string
	fields   []string // method, Site, Mode, Dest, Purpose, Accept, Origin, Referer, Content-Type, cookies
	kinds    []string
	sites    string // of s, l, i, h
}

// readShapes reads testdata/shapes.txt, and returns how many requests it stands for.
func readShapes(t *testing.T) (lines []shapeLine, kinds map[string]bool, requests int) {
	t.Helper()
	file, err := os.Open("testdata/shapes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	kinds = map[string]bool{}
	var group string
	var verdicts map[string][]string
	for in := bufio.NewScanner(file); in.Scan(); {
		text := in.Text()
		fields, sent, isLine := strings.Cut(text, " | ")
		switch name, ok := strings.CutPrefix(text, "== "); {
		case text == "" || text[0] == '#':
			continue
		case ok:
			group, verdicts = name, map[string][]string{}
			continue
		case !isLine:
			words := strings.Fields(text)
			verdicts[words[0]] = words[1:]
			continue
		}
		line := shapeLine{group: group, verdicts: verdicts, fields: strings.Fields(fields)}
		for one := range strings.FieldsSeq(sent) {
			kind, at, _ := strings.Cut(one, ":")
			kinds[kind] = true
			line.kinds = append(line.kinds, kind)
			for engine := range strings.SplitSeq(at, ".") {
				requests += len(engine) - 1
				for _, site := range engine[1:] {
					if !strings.ContainsRune(line.sites, site) {
						line.sites += string(site)
					}
				}
			}
		}
		lines = append(lines, line)
	}
	return lines, kinds, requests
}

// shapeHosts are, for each site of the file, the site, a subdomain of it and another site.
var shapeHosts = map[rune][3]string{
	's': {"https://app.walkin.test", "https://sub.app.walkin.test", "https://evil.test"},
	'h': {"http://app.walkin.test", "http://sub.app.walkin.test", "http://evil.test"},
	'l': {"http://localhost:8080", "http://sub.localhost:8080", "http://127.0.0.1:8080"},
	'i': {"http://127.0.0.1:8080", "http://127.0.0.2:8080", "http://localhost:8080"},
}

// request returns the request of a line, to a site.
func (l shapeLine) request(site rune) *http.Request {
	hosts := shapeHosts[site]
	value := func(name, short string) string {
		switch origin := map[string]string{"self": hosts[0], "full": hosts[0], "S": hosts[1], "X": hosts[2]}[short]; {
		case short == "-":
			return ""
		case name == "Referer" && short == "full":
			return origin + "/a/page"
		case name == "Referer":
			return origin + "/"
		case name == "Origin" && origin != "":
			return origin
		case name == "Accept":
			return map[string]string{"page": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html": "text/html", "*": "*/*", "css": "text/css,*/*;q=0.1",
				"events": "text/event-stream", "image": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "font": "application/font-woff2;q=1.0,application/font-woff;q=0.9,*/*;q=0.8",
				"video": "video/webm,video/ogg,video/*;q=0.9,*/*;q=0.5", "audio": "audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,*/*;q=0.5"}[short]
		case name == "Content-Type":
			return map[string]string{"form": "application/x-www-form-urlencoded", "text": "text/plain;charset=UTF-8", "multipart": "multipart/form-data; boundary=x", "json": "application/json",
				"ping": "text/ping", "csp": "application/csp-report", "reports": "application/reports+json"}[short]
		}
		return short
	}
	r := httptest.NewRequest(l.fields[0], hosts[0]+"/", nil)
	r.Header.Set("User-Agent", walkintest.UserAgent)
	for i, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Purpose", "Accept", "Origin", "Referer", "Content-Type"} {
		if v := value(name, l.fields[1+i]); v != "" {
			r.Header.Set(name, v)
		}
	}
	if strings.HasPrefix(l.group, "socket") {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
	}
	return r
}

func (l shapeLine) has(cookie string) bool { return strings.Contains(l.fields[9], cookie) }

// TestBrowserShapes plays what three browsers send, 299 kinds of requests, and holds
// what each gets: whether a user and a stored one, in each Config.NewUsers.Mint, what
// Ensure says, and whether it may sign in; without a cookie and with a live one, where the
// browser would send it; with Partitioned; and where CrossOrigin trusts the sender.
func TestBrowserShapes(t *testing.T) {
	lines, kinds, requests := readShapes(t)
	if len(kinds) != 299 || requests != 2163 {
		t.Errorf("there are %d kinds in %d requests, want 299 in 2163", len(kinds), requests)
	}
	for _, line := range lines {
		for _, site := range line.sites {
			play(t, line, site)
		}
	}
}

func play(t *testing.T, line shapeLine, at rune) {
	t.Helper()
	with := func(mode walkin.Mint, changes ...func(*walkin.Config)) *site {
		return newSite(t, append(changes, minting(mode), func(c *walkin.Config) { c.Cookies.Insecure, c.Cookies.Name = at != 's', "walkin" })...)
	}
	request := func(live *http.Cookie) *http.Request {
		r := line.request(at)
		if live != nil {
			r.AddCookie(live)
		}
		return r
	}
	visit := func(s *site, live *http.Cookie) string {
		switch said := s.tries(t, request(live)); {
		case strings.HasPrefix(said, "skipped"):
			return "-"
		case strings.Contains(said, "persisted"):
			return "stored"
		case said == "minted":
			return "user"
		case said == "":
			return "known"
		default:
			return said
		}
	}
	ensure := func(s *site, live *http.Cookie) string {
		return attempt(t, s, request(live), "stored", func(w http.ResponseWriter, r *http.Request) error { _, err := s.Ensure(w, r); return err })
	}
	prove := func(s *site, live *http.Cookie) string {
		return attempt(t, s, request(live), "ok", func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"})
			return err
		})
	}
	// live is for a visitor who has opened a page before, if the browser sends the cookie.
	live := func(does func(*site, *http.Cookie) string, cookie, unsent string, changes ...func(*walkin.Config)) string {
		if !line.has(cookie) {
			return unsent
		}
		s := with(walkin.MintOnVisit, changes...)
		page := shapeLine{fields: strings.Fields("GET none navigate document - page - - - -")}.request(at)
		rec := httptest.NewRecorder()
		if s.Handler(http.NotFoundHandler()).ServeHTTP(rec, page); len(rec.Result().Cookies()) != 1 {
			t.Fatalf("a page at %c gives %v", at, rec.Result().Cookies())
		}
		return does(s, rec.Result().Cookies()[0])
	}
	check := func(what string, got ...string) {
		t.Helper()
		if want := line.verdicts[what]; !slices.Equal(got, want) {
			t.Errorf("%s, %s, at %c, %v (%s): got %v, want %v", line.group, what, at, line.fields, line.kinds[0], got, want)
		}
	}

	check("new", visit(with(walkin.MintOnVisit), nil), visit(with(walkin.MintOnWrite), nil), visit(with(walkin.MintOnDemand), nil),
		ensure(with(walkin.MintOnDemand), nil), prove(with(walkin.MintOnVisit), nil))
	want := line.verdicts["live"]
	check("live", live(visit, "L", want[0]), live(ensure, "L", want[1]), live(prove, "L", want[2]))
	if at == 's' { // others cannot be Partitioned
		chips, want := func(c *walkin.Config) { c.Cookies.Partitioned = true }, line.verdicts["chips"]
		check("chips", visit(with(walkin.MintOnVisit, chips), nil), prove(with(walkin.MintOnVisit, chips), nil),
			live(visit, "C", want[2], chips), live(prove, "C", want[3], chips))
	}
	if want := line.verdicts["trust"]; want != nil {
		trust := func(c *walkin.Config) {
			hosts := shapeHosts[at]
			c.CrossOrigin = trusting(t, hosts[1], hosts[2])
		}
		check("trust", visit(with(walkin.MintOnVisit, trust), nil), ensure(with(walkin.MintOnVisit, trust), nil), prove(with(walkin.MintOnVisit, trust), nil),
			live(visit, "L", want[3], trust), live(prove, "L", want[4], trust))
	}
}

// attempt calls something in the handler of a request and returns how it ended.
func attempt(t *testing.T, s *site, r *http.Request, ok string, do func(http.ResponseWriter, *http.Request) error) string {
	t.Helper()
	var err error
	s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { err = do(w, r) })).ServeHTTP(httptest.NewRecorder(), r)
	if refusal, is := errors.AsType[*walkin.Refusal](err); is {
		return fmt.Sprint(refusal.Status)
	}
	if err != nil {
		t.Errorf("%s: %v", r.URL, err)
	}
	if rows := s.store.rows(t); rows != 1 {
		t.Errorf("%s: %d users are stored, want 1", ok, rows)
	}
	return ok
}
