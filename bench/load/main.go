// Command load serves a small site on loopback, with walkin and without, and sends it
// the requests of a crowd. It makes a table of requests per second and of how long they
// take. Run it in the folder of the module:
//
//	go run ./load -write ../docs/performance.md
//
// It is bounded: every scene has a fixed number of requests, and nothing leaves
// the machine.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/sqlstore"
	_ "modernc.org/sqlite"
)

func main() {
	requests := flag.Int("requests", 20_000, "requests of each scene, on each site, in each round")
	rounds := flag.Int("rounds", 7, "how often the sites take turns")
	connections := flag.Int("connections", 32, "how many clients at once")
	visitors := flag.Int("visitors", 1_000_000, "how many distinct visitors, for the memory they take")
	write := flag.String("write", "", "the markdown `file` to bring up to date")
	flag.Parse()
	if err := run(*requests, *rounds, *connections, *visitors, *write); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// A site is what the crowd is let at.
type site struct {
	name string
	wk   *walkin.Middleware // nil: without walkin
	peer bool               // another library's, which knows only readers
	http.Handler
	address string
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>Notes</title><h1>Notes of {{.ID}}</h1>
<ul>{{range .Notes}}<li><a href="/notes/{{.}}">Note {{.}}</a> was written on a rainy day{{end}}</ul>`))

// newSite returns a site that shows a page of twenty notes, and takes new ones.
func newSite(name string, store store.Store) (*site, error) {
	s := &site{name: name}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		var b bytes.Buffer
		if err := page.Execute(&b, map[string]any{"ID": c.UserID, "Notes": [20]int{}}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
		_, _ = b.WriteTo(w)
	})
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("text") == "" {
			http.Error(w, "an empty note", http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Length", "0")
	})
	s.Handler = mux
	if store == nil {
		return s, nil
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	var err error
	s.wk, err = walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: secret}}, Store: store,
		NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}}}) // the whole crowd has one address
	if err != nil {
		return nil, err
	}
	s.Handler = s.wk.Handler(mux)
	return s, nil
}

// serve serves the site on loopback until ctx ends.
func (s *site) serve(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = l.Addr().String()
	server := &http.Server{Handler: s.Handler}
	go func() { _ = server.Serve(l) }()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return nil
}

const browser = "Host: app.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n" +
	"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: identity\r\n" +
	"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"

// get and post write a request of a visitor with a cookie, or without one.
func get(cookie string) []byte {
	return []byte("GET / HTTP/1.1\r\n" + browser + "Sec-Fetch-Site: none\r\n" + line(cookie) + "\r\n")
}

func post(cookie string) []byte {
	const form = "text=rain"
	return []byte("POST /notes HTTP/1.1\r\n" + browser + "Sec-Fetch-Site: same-origin\r\nOrigin: https://app.example\r\n" +
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(form)) + "\r\n" + line(cookie) + "\r\n" + form)
}

func line(cookie string) string {
	if cookie == "" {
		return ""
	}
	return "Cookie: theme=dark; " + cookie + "\r\n"
}

// mint returns the cookie of a new visitor, without the network.
func (s *site) mint() string {
	if s.wk == nil && !s.peer {
		return "session=" + strings.Repeat("x", 440) // as long as a token
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(get(""))))
	if err != nil {
		panic(err) // of our own making
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	set, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	return set
}

// act lets a visitor write, and returns the cookie that they have then.
func (s *site) act(cookie string) string {
	if s.wk == nil {
		return cookie
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(post(cookie))))
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	set, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	return set
}

// A scene is what a crowd does. requests makes what n clients send, before the
// measurement starts.
type scene struct {
	name     string
	writes   bool
	requests func(s *site, n int) [][]byte
}

var scenes = []scene{
	{"a reader who was here before", false, func(s *site, n int) [][]byte {
		known := make([][]byte, min(n, 1000))
		for i := range known {
			known[i] = get(s.mint())
		}
		return repeat(known, n)
	}},
	{"a first visit", false, func(_ *site, n int) [][]byte { return repeat([][]byte{get("")}, n) }},
	{"a first write", true, func(s *site, n int) [][]byte {
		all := make([][]byte, n)
		for i := range all {
			all[i] = post(s.mint())
		}
		return all
	}},
	{"a later write", true, func(s *site, n int) [][]byte {
		known := make([][]byte, min(n, 1000))
		for i := range known {
			known[i] = post(s.act(s.mint()))
		}
		return repeat(known, n)
	}},
}

func repeat(some [][]byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = some[i%len(some)]
	}
	return all
}

// A result is one scene on one site, in one round.
type result struct {
	rate     float64 // requests per second
	p50, p99 time.Duration
	cpu      time.Duration // of the process
}

// attack sends the requests over so many connections.
func attack(address string, requests [][]byte, connections int) (result, error) {
	took := make([]time.Duration, len(requests))
	var next atomic.Int64
	errs := make([]error, connections)
	var wg sync.WaitGroup
	start, before := time.Now(), processorTime()
	for c := range connections {
		wg.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				errs[c] = err
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				at := time.Now()
				if _, err := conn.Write(requests[i]); err != nil {
					errs[c] = err
					return
				}
				if err := answer(in); err != nil {
					errs[c] = err
					return
				}
				took[i] = time.Since(at)
			}
		})
	}
	wg.Wait()
	all, cpu := time.Since(start), processorTime()-before
	slices.Sort(took)
	return result{float64(len(requests)) / all.Seconds(), took[len(took)/2], took[len(took)*99/100], cpu}, errors.Join(errs...)
}

// answer reads a response as cheaply as possible: the clients share the processors with
// the server.
func answer(in *bufio.Reader) error {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("got %q", line)
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	_, err := in.Discard(length)
	return err
}

func run(requests, rounds, connections, visitors int, write string) error {
	dir, err := os.MkdirTemp("", "walkin-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	lite, err := sqlite(filepath.Join(dir, "walkin.db"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sites []*site
	for _, one := range []struct {
		name  string
		store store.Store
	}{{"without walkin", nil}, {"walkin, memstore", memstore.New()}, {"walkin, SQLite, synchronous=FULL", lite}} {
		s, err := newSite(one.name, one.store)
		if err != nil {
			return err
		}
		if err := s.serve(ctx); err != nil {
			return err
		}
		sites = append(sites, s)
	}
	for _, p := range peers() {
		if err := p.serve(ctx); err != nil {
			return err
		}
		sites = append(sites, p)
	}
	results := make(map[[2]int][]result)
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, rounds)
		for i, scene := range scenes {
			for j, s := range sites {
				if s.peer && scene.writes {
					continue
				}
				all := scene.requests(s, requests)
				runtime.GC()
				r, err := attack(s.address, all, connections)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", scene.name, s.name, err)
				}
				results[[2]int{i, j}] = append(results[[2]int{i, j}], r)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, %d cores for server and clients together, %d connections, %d requests, medians of %d rounds.\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), connections, requests, rounds)
	b.WriteString("| who comes | site | throughput ÷ without | p50 ÷ without | p99 ÷ without | processor time ÷ without |\n|---|---|---|---|---|---|\n")
	for i, scene := range scenes {
		for j, s := range sites {
			if j == 0 || s.peer && scene.writes {
				continue
			}
			ratio := func(of func(result) float64) float64 {
				var all []float64
				for round := range rounds {
					all = append(all, of(results[[2]int{i, j}][round])/of(results[[2]int{i, 0}][round]))
				}
				slices.Sort(all)
				return all[len(all)/2]
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.2f | %.2f |\n", scene.name, s.name,
				ratio(func(r result) float64 { return r.rate }),
				ratio(func(r result) float64 { return float64(r.p50) }),
				ratio(func(r result) float64 { return float64(r.p99) }),
				ratio(func(r result) float64 { return float64(r.cpu) }))
		}
	}
	text, err := memory(visitors)
	if err != nil {
		return err
	}
	b.WriteString("\n" + text)
	fmt.Print(b.String())
	if write == "" {
		return nil
	}
	return update(write, b.String())
}

// sqlite returns a store in a file, as the docs say.
func sqlite(file string) (store.Store, error) {
	dsn := "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)&_txlock=immediate"
	writer, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	reader, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: writer, Reader: reader})
	if err != nil {
		return nil, err
	}
	return s, s.Migrate(context.Background())
}

// memory says how much memory the tokens of that many visitors leave behind. Each
// visitor comes twice and never writes.
func memory(visitors int) (string, error) {
	s, err := newSite("", memstore.New())
	if err != nil {
		return "", err
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC() // what finalizers held back
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	w := &nowhere{header: make(http.Header)}
	before := heap()
	for range visitors {
		cookie := s.mint()
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(get(cookie))))
		if err != nil {
			return "", err
		}
		clear(w.header)
		s.ServeHTTP(w, r)
	}
	after := heap()
	runtime.KeepAlive(s)
	return fmt.Sprintf("%d distinct visitors who opened two pages each left %.0f MB behind, with the default `Config.CacheSize`.\n", visitors, after-before), nil
}

type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(int)             {}
func (n *nowhere) Write(b []byte) (int, error) { return io.Discard.Write(b) }

const (
	begin = "<!-- load: made by make load -->\n"
	end   = "<!-- end of load -->\n"
)

// update replaces what is between the marks of a file.
func update(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s lacks the marks of the table", path)
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}
