package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/internal/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv("FORUM_TEST_RUN") != "" {
		main() // this process is the forum of a test
		return
	}
	os.Exit(m.Run())
}

// A forum is one that runs, as a process of its own.
type forum struct {
	t    *testing.T
	URL  string `json:"url"`
	Key  string `json:"key"`
	mu   sync.Mutex
	mail strings.Builder
}

// modules installs supabase-js from npm's cache, or, where the test is required, from
// the registry; package-lock.json says what.
var modules = sync.OnceValues(func() (string, error) {
	install := func(more ...string) ([]byte, error) {
		return exec.Command("npm", append([]string{"ci", "--ignore-scripts", "--no-audit", "--no-fund"}, more...)...).CombinedOutput()
	}
	if _, err := os.Stat("node_modules/@supabase/supabase-js/dist/umd/supabase.js"); err == nil {
		return "node_modules", nil
	}
	if _, err := install("--offline"); err == nil {
		return "node_modules", nil
	}
	if !slices.Contains(strings.Split(os.Getenv("WALKIN_TEST_REQUIRE"), ","), "node") {
		return "", fmt.Errorf("supabase-js is not in npm's cache")
	}
	if out, err := install("--prefer-offline"); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return "node_modules", nil
})

func start(t *testing.T, flags ...string) *forum {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, "node", program+" is not installed")
		}
	}
	dir, err := modules()
	if err != nil {
		testserver.Missing(t, "node", err.Error())
	}
	f := &forum{t: t}
	cmd := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0", "-modules", dir}, flags...)...)
	cmd.Env = append(os.Environ(), "FORUM_TEST_RUN=1")
	cmd.Stderr = f
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // it was told to end
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, f) != nil || f.URL == "" || f.Key == "" {
		t.Fatalf("the first line is %q, %v; standard error: %s", line, err, f.sent())
	}
	return f
}

func (f *forum) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mail.Write(b)
}

func (f *forum) sent() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mail.String()
}

// code returns the last one that was sent to an address.
func (f *forum) code(address string) string {
	f.t.Helper()
	codes := regexp.MustCompile(`To ` + regexp.QuoteMeta(address) + `: the code ([0-9]{6}) `)
	for range 500 { // another process's pipe
		if all := codes.FindAllStringSubmatch(f.sent(), -1); len(all) > 0 {
			return all[len(all)-1][1]
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.t.Fatalf("no code was sent to %s: %s", address, f.sent())
	return ""
}

// A node is a process with supabase-js.
type node struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func (f *forum) client() *node {
	f.t.Helper()
	cmd := exec.Command("node", "client.mjs", f.URL, f.Key)
	in, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it was told to end
	})
	return &node{f.t, in, bufio.NewScanner(out)}
}

// A said is what the client's call returned.
type said struct {
	Failed string
	Error  *struct {
		Status int
		Code   string
	}
	User struct {
		ID, Email, Pending string
		Anonymous          bool
	}
	Status   int
	Code, By string
	Rows     int
	Claims   map[string]any
	Events   []string
	Answers  []string
	Statuses []int
	Tokens   int
}

func (n *node) do(words ...string) said {
	n.t.Helper()
	line, err := json.Marshal(words)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.in.Write(append(line, '\n')); err != nil {
		n.t.Fatal(err)
	}
	var s said
	if !n.out.Scan() || json.Unmarshal(n.out.Bytes(), &s) != nil || s.Failed != "" {
		n.t.Fatalf("%v: got %q", words, n.out.Bytes())
	}
	return s
}

// good fails unless a call succeeded.
func (n *node) good(words ...string) said {
	n.t.Helper()
	s := n.do(words...)
	if s.Error != nil {
		n.t.Fatalf("%v: got %d %s", words, s.Error.Status, s.Error.Code)
	}
	return s
}

// TestSeed does what the demo does, with the client from npm: read, be refused, become
// permanent by a code, post, with the same ID.
func TestSeed(t *testing.T) {
	f := start(t, "-database", testserver.PostgresURL(t))
	n := f.client()
	begun := n.good("start")
	if !begun.User.Anonymous {
		t.Errorf("got %+v", begun.User)
	}
	if c := n.good("claims").Claims; c["is_anonymous"] != true || c["role"] != "authenticated" || c["aal"] != "aal1" || c["email"] != "" {
		t.Errorf("got the claims %v", c)
	}
	guest := n.do("read")
	if guest.Status != 200 || guest.Rows < 1 {
		t.Errorf("reading: got %+v", guest)
	}
	if s := n.do("post", "as a guest"); s.Status != 403 || s.Code != "42501" {
		t.Errorf("posting as a guest: got %d %s, want 403 42501", s.Status, s.Code)
	}
	address := fmt.Sprintf("ann-%d@example.com", time.Now().UnixNano())
	if s := n.good("email", address); s.User.Pending != address || !s.User.Anonymous || s.User.ID != begun.User.ID {
		t.Errorf("asking for the address: got %+v", s.User)
	}
	if s := n.good("verify", address, f.code(address)); s.User.ID != begun.User.ID || s.User.Anonymous || s.User.Email != address {
		t.Errorf("after the code: got %+v, want the ID %s", s.User, begun.User.ID)
	}
	if s := n.do("post", "with an account"); s.Status != 201 || s.By != begun.User.ID {
		t.Errorf("posting: got %d %s by %s", s.Status, s.Code, s.By)
	}
	if s := n.do("read"); s.Rows <= guest.Rows+1 {
		t.Errorf("reading with an account: got %d rows, a guest %d", s.Rows, guest.Rows)
	}
	if s := n.good("refresh"); s.User.ID != begun.User.ID {
		t.Errorf("refreshing: got %+v", s.User)
	}
	if s := n.do("tabs"); s.Tokens != 1 || slices.ContainsFunc(s.Statuses, func(status int) bool { return status != 200 }) {
		t.Errorf("five tabs: got %v and %d new tokens", s.Statuses, s.Tokens)
	}
	n.good("user")
	if got := strings.Join(n.do("events").Events, " "); !strings.HasPrefix(got, "INITIAL_SESSION SIGNED_IN USER_UPDATED SIGNED_IN TOKEN_REFRESHED") || strings.Contains(got, "SIGNED_OUT") {
		t.Errorf("got the events %s", got)
	}
	n.good("signOut")
}

// TestSeedUnproven does the calls one after the other where addresses are taken as
// proven, and has 20 users race for one.
func TestSeedUnproven(t *testing.T) {
	f := start(t, "-database", testserver.PostgresURL(t), "-autoconfirm")
	n := f.client()
	id := n.good("start").User.ID
	address := fmt.Sprintf("bob-%d@example.com", time.Now().UnixNano())
	if s := n.good("email", address); s.User.ID != id || s.User.Anonymous || s.User.Email != address {
		t.Errorf("updateUser: got %+v", s.User)
	}
	if s := n.good("user"); s.User.ID != id || !s.User.Anonymous || s.User.Email != "" {
		t.Errorf("the old token reads %+v, want the user as it was", s.User)
	}
	if s := n.do("post", "by the old token"); s.Status != 401 {
		t.Errorf("posting by the old token: got %d", s.Status)
	}
	if s := n.good("refresh"); s.User.ID != id || s.User.Anonymous {
		t.Errorf("refreshSession: got %+v", s.User)
	}
	if s := n.good("user"); s.User.ID != id || s.User.Email != address {
		t.Errorf("getUser: got %+v", s.User)
	}
	if s := n.do("post", "with an account"); s.Status != 201 || s.By != id {
		t.Errorf("posting: got %d %s", s.Status, s.Code)
	}
	if got := strings.Join(n.do("events").Events, " "); got != "INITIAL_SESSION SIGNED_IN USER_UPDATED TOKEN_REFRESHED" {
		t.Errorf("got the events %s", got)
	}
	count := map[string]int{}
	for _, a := range n.do("race", fmt.Sprintf("eve-%d@example.com", time.Now().UnixNano())).Answers {
		count[a]++
	}
	if count["200"] != 1 || count["422 email_exists"] != 19 {
		t.Errorf("20 for one address: got %v", count)
	}
}

// TestPage does on the page, in a browser, what the demo does.
func TestPage(t *testing.T) {
	f := start(t, "-database", testserver.PostgresURL(t))
	p := browser.NewPage(t, browser.Start(t, "chromium"))
	p.Open(f.URL + "/")
	waitFor(p, `document.getElementById('who').textContent === 'a guest' && document.querySelectorAll('#posts li').length > 0`)
	id := browser.Eval[string](p, `document.getElementById('id').textContent`)
	submit := func(form, field, value string) {
		t.Helper()
		browser.Eval[any](p, fmt.Sprintf(`(document.getElementById(%q).value = %q, document.getElementById(%q).requestSubmit())`, field, value, form))
	}
	submit("post", "text", "too early")
	waitFor(p, `document.getElementById('error').textContent.includes('42501')`)
	address := fmt.Sprintf("pia-%d@example.com", time.Now().UnixNano())
	submit("upgrade", "email", address)
	waitFor(p, `!document.getElementById('verify').hidden`)
	submit("verify", "code", f.code(address))
	waitFor(p, fmt.Sprintf(`document.getElementById('who').textContent === %q`, address))
	submit("post", "text", "posted by "+address)
	waitFor(p, fmt.Sprintf(`document.getElementById('posts').textContent.includes(%q)`, "posted by "+address))
	if got := browser.Eval[string](p, `document.getElementById('id').textContent`); got != id {
		t.Errorf("got the ID %s, want %s", got, id)
	}
	p.Open(f.URL + "/")
	waitFor(p, fmt.Sprintf(`document.getElementById('who').textContent === %q`, address))
}

// waitFor waits in the page until an expression is true.
func waitFor(p *browser.Page, expression string) {
	p.T.Helper()
	if !browser.Eval[bool](p, fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + 20000
		const look = () => (%s) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 30)
		look()
	})`, expression)) {
		p.T.Fatalf("not true after 20 seconds: %s; the page says %q", expression, p.Says())
	}
}

// TestOwnPostgres holds that the forum brings a database where none is named, and takes
// it along.
func TestOwnPostgres(t *testing.T) {
	testserver.Postgres(t) // or the test is skipped
	f := start(t)
	if s := f.client().good("start"); !s.User.Anonymous {
		t.Errorf("got %+v", s.User)
	}
}
