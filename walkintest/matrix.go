package walkintest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/walkin-go/walkin"
)

// A Matrix asks each route of a site for each kind of visitor, and compares the
// statuses with a file that is kept with the tests. In a review, the file's diff shows
// which routes become open, and to which visitors.
//
// The visitors are: an API client without a user, an anonymous user, a permanent user
// who proved who they are a year ago, and one who did so just now. Each request is from
// a new visitor, since it may sign them out. So the hooks of walkin.Config run, and
// users are stored: give the site a store of its own.
type Matrix struct {
	// Middleware is the site's, and Handler the whole site. Both are required.
	Middleware *walkin.Middleware
	Handler    http.Handler

	// Routes are the routes to ask, as "POST /notes/{id}"; without a method, GET
	// and POST. Routes of chiwalkin, ginwalkin, echowalkin and echov4walkin lists those
	// of a router; http.ServeMux does not tell its patterns. Leave out what does
	// not end by itself, such as a stream.
	Routes []string

	// Values are what the parameters of paths are filled with, by name: "id" for {id}
	// and :id. Parameters without a value are "1". A status tells more when the path
	// names something that exists.
	Values map[string]string

	// File is the name of the file, such as "testdata/matrix.txt". It is written if
	// WALKIN_TEST_UPDATE is set in the environment.
	File string
}

// visitors are the columns.
var visitors = [...]string{"no user", "anonymous", "permanent", "recent"}

// Test compares the site with the file.
func (m Matrix) Test(t testing.TB) {
	t.Helper()
	if m.Middleware == nil || m.Handler == nil || m.File == "" || len(m.Routes) == 0 {
		t.Fatal("walkintest: a Matrix needs Middleware, Handler, Routes and File")
	}
	got := m.table(t)
	if os.Getenv("WALKIN_TEST_UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(m.File), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.File, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(m.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if diff := compare(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("who reaches which route has changed; run with WALKIN_TEST_UPDATE=1 if that is meant\n--- %s\n%s", m.File, diff)
	}
}

func (m Matrix) table(t testing.TB) string {
	t.Helper()
	var routes []string
	for _, r := range m.Routes {
		if r = strings.TrimSpace(r); strings.HasPrefix(r, "/") {
			routes = append(routes, "GET "+r, "POST "+r)
			continue
		}
		routes = append(routes, r)
	}
	slices.SortFunc(routes, func(a, b string) int {
		methodA, pathA, _ := strings.Cut(a, " ")
		methodB, pathB, _ := strings.Cut(b, " ")
		return cmp.Or(strings.Compare(pathA, pathB), strings.Compare(methodA, methodB))
	})
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "route\t%s\n", strings.Join(visitors[:], "\t"))
	for _, route := range slices.Compact(routes) {
		fmt.Fprint(w, route)
		for _, visitor := range visitors {
			fmt.Fprintf(w, "\t%s", m.ask(t, visitor, route))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to memory
	return b.String()
}

// ask returns the status of a route, with the path of a redirect.
func (m Matrix) ask(t testing.TB, visitor, route string) string {
	t.Helper()
	method, pattern, ok := strings.Cut(route, " ")
	if !ok || !strings.HasPrefix(pattern, "/") {
		t.Fatalf("walkintest: the route %q is not a method and a path", route)
	}
	path := m.fill(pattern)
	var response *http.Response
	var err error
	if visitor == visitors[0] {
		r := httptest.NewRequest(method, "https://app.example"+path, nil)
		response, err = NewClient(t, m.Handler).Serve(r)
	} else {
		c := m.visitor(t, visitor)
		r := c.NewRequest(method, path, strings.NewReader(""))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		if method != http.MethodGet && method != http.MethodHead {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", c.origin.Scheme+"://"+c.origin.Host)
		}
		c.Carry(r)
		response, err = c.Serve(r)
	}
	if err != nil {
		return "panic"
	}
	status := fmt.Sprint(response.StatusCode)
	if to, err := url.Parse(response.Header.Get("Location")); err == nil && to.Path != "" {
		status += " " + to.Path
	}
	return status
}

// visitor returns a browser with the cookies of a new user of that kind.
func (m Matrix) visitor(t testing.TB, visitor string) *Client {
	t.Helper()
	var failed error
	door := m.Middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if visitor == "anonymous" {
			_, failed = m.Middleware.Ensure(w, r)
			return
		}
		proof := walkin.Proof{Provider: "walkintest", Subject: rand.Text(), Method: "test"}
		if visitor == "permanent" {
			proof.At = time.Now().AddDate(-1, 0, 0)
		}
		_, failed = m.Middleware.Continue(w, r, proof)
	}))
	c := NewClient(t, door)
	c.Post("/", nil)
	if failed != nil {
		t.Fatalf("walkintest: there can be no visitor who is %s: %v", visitor, failed)
	}
	return c.On(m.Handler)
}

// parameter matches those of net/http and chi, and of gin and echo.
var parameter = regexp.MustCompile(`\{([^{}:.]*)(?:\.\.\.|:(?:[^{}]|\{[^{}]*\})*)?\}|/:([^/]+)|/\*([^/]*)`)

func (m Matrix) fill(pattern string) string {
	return parameter.ReplaceAllStringFunc(pattern, func(found string) string {
		slash := ""
		if strings.HasPrefix(found, "/") {
			slash = "/"
		}
		if found == "{$}" {
			return ""
		}
		parts := parameter.FindStringSubmatch(found)
		if v := m.Values[cmp.Or(parts[1], parts[2], parts[3], "*")]; v != "" {
			return slash + v
		}
		return slash + "1"
	})
}

// compare returns the lines that differ, and above them the routes that visitors
// without an account newly reach.
func compare(want, got string) string {
	if want == got {
		return ""
	}
	before, after := rows(want), rows(got)
	var diff, open strings.Builder
	for _, route := range sortedRoutes(before, after) {
		old, now := before[route], after[route]
		if slices.Equal(old, now) {
			continue
		}
		if old != nil {
			fmt.Fprintf(&diff, "- %s  %s\n", route, strings.Join(old, "  "))
		}
		if now != nil {
			fmt.Fprintf(&diff, "+ %s  %s\n", route, strings.Join(now, "  "))
		}
		for i, visitor := range visitors[:2] {
			if isOpen(now, i) && !isOpen(old, i) && route != "route" {
				fmt.Fprintf(&open, "! %s is now open: %s\n", route, visitor)
			}
		}
	}
	if diff.Len() == 0 {
		return "the file is not as it was written: its lines are in another order\n"
	}
	return open.String() + diff.String()
}

// isOpen reports whether a route answers a visitor as it does a permanent user. A 404
// for both counts too: it has got past the guard.
func isOpen(row []string, i int) bool {
	if len(row) != len(visitors) {
		return false
	}
	switch status, _, _ := strings.Cut(row[i], " "); status {
	case "401", "403", "405", "429", "503":
		return false
	}
	return row[i] == row[len(row)-1]
}

var columns = regexp.MustCompile(` {2,}`)

// rows returns the statuses of each route.
func rows(table string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(table) {
		if cells := columns.Split(strings.TrimSpace(line), -1); cells[0] != "" {
			out[cells[0]] = cells[1:]
		}
	}
	return out
}

func sortedRoutes(tables ...map[string][]string) (all []string) {
	for _, table := range tables {
		for route := range table {
			all = append(all, route)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
