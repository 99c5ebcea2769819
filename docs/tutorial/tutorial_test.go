// Package tutorial tests the programs of docs/tutorial.md: each is built, started in an
// empty folder, and driven over HTTP as a browser does.
package tutorial

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walkin-go/walkin/internal/testserver"
)

// A program is a step that runs.
type program struct {
	t         *testing.T
	step, dir string
	env       []string
	addr, URL string

	mu  sync.Mutex
	out bytes.Buffer
	cmd *exec.Cmd
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start builds a step and starts it in an empty folder.
func start(t *testing.T, step string, env ...string) *program {
	t.Helper()
	p := &program{t: t, step: step, dir: t.TempDir(), env: env}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(p.dir, "site"), "./"+step)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.addr = freeAddr(t)
	p.URL = "http://" + p.addr
	p.run()
	return p
}

// run starts the program, which may have been stopped before, and waits until it serves.
func (p *program) run() {
	p.t.Helper()
	p.cmd = exec.Command(filepath.Join(p.dir, "site"))
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, p, p
	p.cmd.Env = append(append(os.Environ(), "ADDR="+p.addr), p.env...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	cmd := p.cmd
	go func() { _ = cmd.Wait(); close(ended) }()
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for range 1200 {
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			p.t.Fatalf("%s ended: %s", p.step, p.printed())
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.t.Fatalf("%s does not serve: %s", p.step, p.printed())
}

// stop ends the program as a deploy does, and waits for it.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	for range 600 {
		if conn, err := net.Dial("tcp", p.addr); err != nil {
			return
		} else {
			conn.Close()
		}
		time.Sleep(50 * time.Millisecond) // another process
	}
	p.t.Fatalf("%s goes on", p.step)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A visitor is a browser without a window.
type visitor struct {
	t    *testing.T
	base string
	http.Client
}

func newVisitor(t *testing.T, base string, transport http.RoundTripper) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, base: base, Client: http.Client{Jar: jar, Transport: transport}}
}

func (v *visitor) do(method, path string, form url.Values) (status int, text string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header = http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
		"Accept": {"text/html"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	}
	response, err := v.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// open opens a page that must be there.
func (v *visitor) open(path string) string {
	v.t.Helper()
	status, text := v.do("GET", path, nil)
	if status != http.StatusOK {
		v.t.Fatalf("%s: got %d: %s", path, status, text)
	}
	return text
}

// post fills in a form, and follows where it leads.
func (v *visitor) post(path string, fields ...string) (text string) {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	status, text := v.do("POST", path, form)
	if status != http.StatusOK {
		v.t.Fatalf("%s: got %d: %s", path, status, text)
	}
	return text
}

var userID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// id returns the user ID that the front page shows.
func (v *visitor) id() string {
	v.t.Helper()
	text := v.open("/")
	id := userID.FindString(text)
	if id == "" {
		v.t.Fatalf("the front page shows no user: %s", text)
	}
	return id
}

func (v *visitor) sees(text string, words ...string) {
	v.t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			v.t.Errorf("no %q in %s", word, text)
		}
	}
}

const secret = "correct horse battery"

func TestSteps(t *testing.T) {
	t.Run("1", func(t *testing.T) {
		v := newVisitor(t, start(t, "step1").URL, nil)
		v.sees(v.open("/"), "Notes")
	})
	t.Run("2", func(t *testing.T) {
		p := start(t, "step2")
		v := newVisitor(t, p.URL, nil)
		if first := v.id(); v.id() != first || newVisitor(t, p.URL, nil).id() == first {
			t.Error("a visitor is not the same user, or two visitors are")
		}
	})
	t.Run("3", func(t *testing.T) {
		p := start(t, "step3")
		v := newVisitor(t, p.URL, nil)
		v.sees(v.post("/notes", "body", "buy milk"), "buy milk", "without an account")
		if strings.Contains(newVisitor(t, p.URL, nil).open("/"), "buy milk") {
			t.Error("another visitor sees the note")
		}
	})
	t.Run("4", func(t *testing.T) { upgrade(t, start(t, "step4"), "/upgrade") })
	t.Run("5", func(t *testing.T) {
		p := start(t, "step5")
		v := upgrade(t, p, "/upgrade")
		restart(t, p, v)
		merge(t, p, v, "/signin")
	})
	t.Run("6", func(t *testing.T) {
		p := start(t, "step6")
		v := upgrade(t, p, "/account/sign-up")
		restart(t, p, v)
		merge(t, p, v, "/account/sign-in")
		v.sees(v.open("/account/"), "ann@example.com")
	})
	t.Run("7", func(t *testing.T) {
		p := start(t, "step7")
		restart(t, p, proveByMail(t, p, newVisitor(t, p.URL, nil)))
	})
	t.Run("8", func(t *testing.T) {
		p := start(t, "step8", "DATABASE_URL="+testserver.PostgresURL(t), "WALKIN_KEYS="+newKeys())
		restart(t, p, proveByMail(t, p, newVisitor(t, p.URL, nil)))
	})
	t.Run("9", func(t *testing.T) {
		p, v := behindProxy(t, "step9", "DATABASE_URL="+testserver.PostgresURL(t), "WALKIN_KEYS="+newKeys())
		proveByMail(t, p, v)
		at, _ := url.Parse(v.base)
		var names strings.Builder
		for _, cookie := range v.Jar.Cookies(at) {
			names.WriteString(cookie.Name + " ")
		}
		if !strings.Contains(names.String(), "__Host-walkin ") {
			t.Errorf("got the cookies %s", names.String())
		}
	})
	t.Run("10", func(t *testing.T) {
		database, private := testserver.PostgresURL(t), freeAddr(t)
		p, v := behindProxy(t, "step10", "DATABASE_URL="+database, "WALKIN_KEYS="+newKeys(), "METRICS_ADDR="+private)
		proveByMail(t, p, v)
		v.sees(newVisitor(t, "http://"+private, nil).open("/metrics"), `walkin_changes_total{outcome="upgraded",provider="email"} 1`)
		backup(t, database, p, v)
	})
}

// upgrade writes as an anonymous user, is refused what needs an account, makes one, and
// is the same user.
func upgrade(t *testing.T, p *program, path string) *visitor {
	t.Helper()
	v := newVisitor(t, p.URL, nil)
	before := v.id()
	v.post("/notes", "body", "buy milk")
	if text := v.open("/publish"); strings.Contains(text, "Published.") {
		t.Error("published without an account")
	} else {
		v.sees(text, `name="return_to" value="/publish"`)
	}
	v.sees(v.post(path, "email", "ann@example.com", "password", secret, "return_to", "/publish"), "Published.")
	v.sees(v.open("/"), before, "with an account", "buy milk")
	return v
}

// restart holds that the visitor is who they were after the program was stopped.
func restart(t *testing.T, p *program, v *visitor) {
	t.Helper()
	before := v.id()
	p.stop()
	p.run()
	v.sees(v.open("/"), before, "with an account", "buy milk")
}

// merge writes on another device, and signs in there: the note comes along.
func merge(t *testing.T, p *program, v *visitor, path string) {
	t.Helper()
	other := newVisitor(t, p.URL, nil)
	other.id()
	other.post("/notes", "body", "buy bread")
	other.sees(other.post(path, "email", "ann@example.com", "password", secret), v.id(), "buy milk", "buy bread")
}

var codeInMail = regexp.MustCompile(`\b\d{6}\b`)

// proveByMail makes an account by the code in the mail that the program prints.
func proveByMail(t *testing.T, p *program, v *visitor) *visitor {
	t.Helper()
	before := v.id()
	v.post("/notes", "body", "buy milk")
	text := v.post("/account/sign-up", "email", "ann@example.com", "password", secret)
	code := codeInMail.FindString(p.printed())
	if code == "" {
		t.Fatalf("no code in %s, after %s", p.printed(), text)
	}
	v.post("/account/sign-up/code", "code", code)
	v.sees(v.open("/"), before, "with an account", "buy milk")
	return v
}

// newKeys is a key set as walkin keys generate prints it.
func newKeys() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	return fmt.Sprintf(`{"keys":[{"kty":"oct","kid":"1","alg":"HS256","k":"%s"}]}`, base64.RawURLEncoding.EncodeToString(secret))
}

// behindProxy starts a step behind a proxy that speaks https.
func behindProxy(t *testing.T, step string, env ...string) (*program, *visitor) {
	t.Helper()
	var to *url.URL
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetXForwarded()
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewTLSServer(proxy)
	t.Cleanup(server.Close)
	p := start(t, step, append(env, "URL="+server.URL, "PROXIES=127.0.0.1/32 ::1/128")...)
	to, _ = url.Parse(p.URL)
	return p, newVisitor(t, server.URL, server.Client().Transport)
}

// backup runs the commands of the page: what a dump has is there after a restore, and
// every permanent user signs in again.
func backup(t *testing.T, database string, p *program, v *visitor) {
	t.Helper()
	before := v.id()
	walkin := filepath.Join(p.dir, "walkin")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", walkin, "../../cmd/walkin")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	page, err := os.ReadFile("../tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(page), "<!-- TestSteps -->\n```console\n$ ")
	shown, _, _ = strings.Cut(shown, "```")
	commands := strings.Split(strings.TrimSpace(shown), "\n$ ")
	if len(commands) < 3 {
		t.Fatalf("the page has the commands %q", commands)
	}
	shell := func(command string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir = p.dir
		cmd.Env = append(os.Environ(), "DATABASE_URL="+database, "PATH="+p.dir+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	shell(commands[0])
	v.post("/notes", "body", "after the backup")
	p.stop()
	for _, command := range commands[1:] {
		shell(command)
	}
	p.run()
	text := v.open("/")
	if strings.Contains(text, "with an account") || strings.Contains(text, "after the backup") {
		t.Errorf("got %s", text)
	}
	v.sees(v.post("/account/sign-in", "email", "ann@example.com", "password", secret), before, "buy milk")
}
