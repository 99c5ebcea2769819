package main

import (
	"bytes"
	"go/format"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/walkintest"
)

// published serves the tree, once for all tests that fetch it.
var published = sync.OnceValues(func() (user, error) {
	tr, err := readTree(".")
	if err != nil {
		return user{}, err
	}
	version, err := tr.version()
	if err != nil {
		return user{}, err
	}
	return tr.serve(servedAt, version)
})

var servedAt string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "walkin-release-")
	if err != nil {
		panic(err)
	}
	servedAt = dir
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// TestREADME does what README.md says, in an empty folder and with the published modules:
// the program is built as shown, used as a browser does and with curl. The answers must
// be the ones shown, with another ID that is the same throughout.
func TestREADME(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		testserver.Missing(t, "curl", "the transcript cannot be played")
	}
	page := readPage(t, "README.md")
	p := newProgram(t, page.of("go")[0])
	visit(t, p, func(c *walkintest.Client) { c.Post("/", nil) }, "stored=true")

	transcript := page.of("console")[2]
	var commands, want []string
	for line := range strings.Lines(strings.ReplaceAll(transcript, "localhost:8080", p.addr)) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, strings.Replace(command, "curl", curl, 1))
		} else {
			want = append(want, line)
		}
	}
	shell := exec.CommandContext(t.Context(), "sh", "-e")
	shell.Dir = t.TempDir()
	// The browser has taken the address of the page.
	shell.Stdin = strings.NewReader(strings.ReplaceAll(strings.Join(commands, ""), "ann@", "bea@"))
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("playing the transcript: %v\n%s", err, out)
	}
	if got, want := anyID(t, string(out)), anyID(t, strings.Join(want, "")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPrograms does the same with each program of docs/programs.md.
func TestPrograms(t *testing.T) {
	page := readPage(t, "docs/programs.md")
	programs := page.of("go")
	write := func(c *walkintest.Client) { c.Post("/", url.Values{"body": {"buy milk"}}) }
	for i, test := range []struct{ name, after string }{
		{"gin and PostgreSQL", "notes=1"},
		{"chi and scs", "notes=1"},
		{"a users table", "number=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var env []string
			if strings.Contains(programs[i], "DATABASE_URL") {
				env = append(env, "DATABASE_URL="+testserver.PostgresURL(t))
			}
			visit(t, newProgram(t, programs[i], env...), write, test.after)
		})
	}
	if len(programs) != 3 {
		t.Errorf("got %d programs on the page, want 3", len(programs))
	}
}

// A page is a page of the docs.
type page string

func readPage(t *testing.T, name string) page {
	tr, err := readTree(".")
	if err != nil {
		t.Fatal(err)
	}
	return page(read(t, tr.root, name))
}

// of returns the blocks of a language.
func (p page) of(language string) (blocks []string) {
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(p), -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// A program of a page, and where it serves.
type program struct {
	t         *testing.T
	dir, addr string
	env       []string
	out       bytes.Buffer
	cmd       *exec.Cmd
}

// newProgram builds a program by the commands that README.md shows, in an empty folder,
// and starts it.
func newProgram(t *testing.T, source string, env ...string) *program {
	t.Helper()
	if n := strings.Count(source, "\n"); n >= 60 {
		t.Errorf("the program has %d lines, want fewer than 60", n)
	}
	if formatted, err := format.Source([]byte(source)); err != nil || string(formatted) != source {
		t.Errorf("the program is not formatted by gofmt: %v", err)
	}
	u, err := published()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, dir: t.TempDir(), addr: l.Addr().String(), env: env}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, p.dir, "main.go", strings.ReplaceAll(source, "localhost:8080", p.addr))
	for command := range strings.Lines(readPage(t, "README.md").of("console")[1]) {
		args := strings.Fields(command)[2:] // $ go
		if args[0] == "run" {
			args = []string{"build", "-o", "program", "."}
		}
		if err := u.run(p.dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	return p
}

func (p *program) start() {
	p.t.Helper()
	p.out.Reset()
	p.cmd = exec.CommandContext(p.t.Context(), filepath.Join(p.dir, "program"))
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, &p.out, &p.out
	p.cmd.Env = append(os.Environ(), p.env...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000 { // another process: it is waited for by looking
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			_ = conn.Close()
			return
		}
		<-tick.C
	}
	p.stop()
	p.t.Fatalf("the program does not serve: %s", &p.out)
}

func (p *program) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// browser returns a browser in front of the program.
func (p *program) browser() *walkintest.Client {
	return walkintest.NewClient(p.t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", p.addr
	}})
}

// visit opens the page, writes, is sent to sign up for what needs an account, signs up,
// and is the same user with what was written, also when the program was killed.
func visit(t *testing.T, p *program, write func(*walkintest.Client), after string) {
	t.Helper()
	t.Cleanup(p.stop)
	c := p.browser()
	id := uuids.FindString(text(t, c.Visit("/")))
	sees := func(got string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(got, word) {
				t.Errorf("no %q in %s", word, got)
			}
		}
	}
	write(c)
	sees(text(t, c.Visit("/")), "user="+id, after, "account=false")
	r := c.Visit("/publish")
	if !strings.HasPrefix(r.Header.Get("Location"), "/account/sign-up") {
		t.Fatalf("without an account: got %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	form := url.Values{"email": {"ann@example.com"}, "password": {"correct-horse-battery"}}
	for _, hidden := range hiddenFields.FindAllStringSubmatch(text(t, c.Visit(r.Header.Get("Location"))), -1) {
		form.Set(hidden[1], hidden[2])
	}
	if r := c.Post("/account/sign-up", form); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/publish" {
		t.Fatalf("the sign-up: got %d to %q: %s", r.StatusCode, r.Header.Get("Location"), text(t, r))
	}
	sees(text(t, c.Visit("/publish")), "user="+id, after, "account=true")
	p.stop()
	p.start()
	sees(text(t, c.Visit("/")), "user="+id, after, "account=true")
	if got := text(t, p.browser().Visit("/")); strings.Contains(got, id) || strings.Contains(got, after) {
		t.Errorf("another visitor sees %s", got)
	}
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	uuids        = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	hiddenFields = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// anyID replaces the one user ID in a text.
func anyID(t *testing.T, s string) string {
	t.Helper()
	ids := uuids.FindAllString(s, -1)
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		t.Errorf("got IDs %v, want one and the same", ids)
	}
	return uuids.ReplaceAllString(s, "ID")
}
