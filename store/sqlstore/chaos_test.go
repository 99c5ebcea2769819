//go:build unix

package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

var chaosFor = flag.Duration("chaos", 3*time.Second, "how long replicas of a site are killed and cut off on each database")

const chaosEnv = "WALKIN_TEST_CHAOS"

// replicaSite is what a replica is told.
type replicaSite struct {
	Dialect     sqlstore.Dialect
	Driver, DSN string
}

// chaos plays a site of two replicas, each a process of its own, whose visitors do
// everything at random, while replicas are killed and connections to the database
// are cut. Then four rules hold, asked by SQL and of replicas that remember
// nothing. Each rule is broken on purpose at the end, and seen to be.
func chaos(t *testing.T, d database) {
	_, db := d.migrated(t)
	createNotes(t, d, db)
	through, cut := d, func() {}
	if d.dialect != sqlstore.SQLite {
		proxied, p := d.behind(t)
		through, cut = proxied, p.cut
	}
	replicas := []*replicaProcess{startReplica(t, through), startReplica(t, through)}
	h := newHistory()

	ctx, stop := context.WithTimeout(t.Context(), *chaosFor)
	defer stop()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for ctx.Err() == nil {
				chaosVisitor(t, ctx, h, replicas)
			}
		})
	}
	kills, cuts := 0, 0
	for ctx.Err() == nil {
		select {
		case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
		case <-ctx.Done():
			continue
		}
		if rand.IntN(2) == 0 {
			cut()
			cuts++
			continue
		}
		replicas[rand.IntN(len(replicas))].restart(t)
		kills++
	}
	wg.Wait()
	calmVisitor(t, h, replicas)
	for _, r := range replicas { // they may believe what they saw for RecheckAfter
		r.restart(t)
	}
	t.Logf("%d replicas killed, connections cut %d times; statuses %v; %d notes, %d proofs, %d tokens",
		kills, cuts, h.statuses, len(h.notes), len(h.proofs), len(h.tokens))
	if n := h.statuses[http.StatusInternalServerError]; n > 0 {
		t.Errorf("%d answers of 500", n)
	}
	for rule, violations := range h.violations(h.ask(t, replicas[0]), readTruth(t, d, db)) {
		for _, v := range violations {
			t.Errorf("%s: %s", rule, v)
		}
	}
	breakRules(t, d, db, h, replicas[0])
}

// breakRules breaks each rule by SQL: what looks for it has to find it.
func breakRules(t *testing.T, d database, db *sql.DB, h *history, replica *replicaProcess) {
	t.Helper()
	tried := make(map[string]bool)
	broken := func(rule, query string, args ...any) {
		t.Helper()
		result, err := db.ExecContext(t.Context(), d.sql(query), args...)
		ok(t, err)
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			t.Errorf("%s: broke %d rows, want 1 (%v)", rule, n, err)
		}
		tried[rule] = true
		if len(h.violations(h.ask(t, replica), readTruth(t, d, db))[rule]) == 0 {
			t.Errorf("%q was broken by SQL, and not seen", rule)
		}
	}
	truth := readTruth(t, d, db)
	for n, owner := range h.notes {
		if _, there := truth.notes[n]; there && !h.mayBeGone(owner) && !h.mayBeGone(truth.now(owner)) {
			broken(ruleKept, "DELETE FROM notes WHERE n = ?", n)
			break
		}
	}
	for subject, owners := range h.proofs {
		owner := truth.identities[subject]
		if !owners[owner] || h.unlinked[subject] || h.mayBeGone(owner) {
			continue
		}
		for other := range truth.users {
			if other != owner {
				broken(ruleOwner, "UPDATE walkin_identities SET user_id = ? WHERE subject = ?", d.bind(other), subject)
				break
			}
		}
		break
	}
	// The feed tells a replica of an ended session at once, so its answers are those
	// it gave before: what a replica would say that was told nothing.
	said := h.ask(t, replica)
	for token, is := range said {
		if is.User == uuid.Nil || is.Provisional || h.tokens[token].Session != is.Session {
			continue
		}
		_, err := db.ExecContext(t.Context(), d.sql("DELETE FROM walkin_sessions WHERE id = ?"), d.bind(is.Session))
		ok(t, err)
		tried[ruleSession] = true
		if len(h.violations(said, readTruth(t, d, db))[ruleSession]) == 0 {
			t.Errorf("%q was broken by SQL, and not seen", ruleSession)
		}
		break
	}
	// An upgrade that left the old session, on a replica that remembers nothing.
	truth = readTruth(t, d, db)
	for _, token := range h.tokens {
		if !token.Anonymous || token.Provisional || !h.upgraded[token.User] || h.deleted[token.User] {
			continue
		}
		if _, signedIn := truth.session(token.User); !signedIn {
			continue
		}
		_, err := db.ExecContext(t.Context(), d.sql("UPDATE walkin_users SET anonymous = TRUE WHERE id = ?"), d.bind(token.User))
		ok(t, err)
		replica.restart(t)
		for text, other := range h.tokens { // a permanent token of theirs would end it at sight
			if other.User == token.User && other.Session != token.Session {
				delete(h.tokens, text)
			}
		}
		broken(ruleUpgrade, `INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
			SELECT ?, user_id, created_at, renewed_at, expires_at FROM walkin_sessions WHERE user_id = ? LIMIT 1`,
			d.bind(token.Session), d.bind(token.User))
		break
	}
	for _, rule := range []string{ruleOwner, ruleSession, ruleUpgrade, ruleKept} {
		if !tried[rule] {
			t.Errorf("%q could not be broken", rule)
		}
	}
}

// A replicaProcess is a process that can be killed; its address stays.
type replicaProcess struct {
	site  database
	mu    sync.Mutex
	child *exec.Cmd
	stdin io.Closer
	to    atomic.Pointer[url.URL]
	proxy *httputil.ReverseProxy
}

func startReplica(t *testing.T, site database) *replicaProcess {
	t.Helper()
	r := &replicaProcess{site: site}
	r.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(r.to.Load())
			p.Out.Host = p.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	r.start(t)
	t.Cleanup(r.kill)
	return r
}

func (r *replicaProcess) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.proxy.ServeHTTP(w, request)
}

// start starts the process, and waits until it listens.
func (r *replicaProcess) start(t *testing.T) {
	t.Helper()
	told, err := json.Marshal(replicaSite{r.site.dialect, r.site.driver, r.site.dsn})
	ok(t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestChaosChild$")
	child.Env = append(os.Environ(), chaosEnv+"="+string(told))
	child.Stderr = os.Stderr
	r.stdin, err = child.StdinPipe() // the child ends when it closes, however this process ended
	ok(t, err)
	out, err := child.StdoutPipe()
	ok(t, err)
	ok(t, child.Start())
	r.child = child
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, found := strings.CutPrefix(lines.Text(), "listening on "); found {
			r.to.Store(&url.URL{Scheme: "http", Host: addr})
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	t.Fatal("a replica does not listen")
}

func (r *replicaProcess) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.child.Process.Kill() // SIGKILL
	_ = r.child.Wait()
	r.stdin.Close()
}

func (r *replicaProcess) restart(t *testing.T) {
	t.Helper()
	r.kill()
	r.start(t)
}

// chaosVisitor is a browser that does some things, often two at once.
func chaosVisitor(t *testing.T, ctx context.Context, h *history, replicas []*replicaProcess) {
	c := walkintest.NewClient(t, replicas[rand.IntN(2)])
	h.send(t, c, replicas, navigation(c, "/"))
	for range 2 + rand.IntN(8) {
		if ctx.Err() != nil {
			return
		}
		var requests []*http.Request
		for range 1 + rand.IntN(2) {
			path := []string{"/note", "/note", "/note", "/prove", "/prove", "/prove", "/out", "/delete", "/unlink", "/everywhere"}[rand.IntN(10)]
			values := url.Values{"name": {fmt.Sprint("name", rand.IntN(200))}, "n": {fmt.Sprint(h.next.Add(1))}}
			requests = append(requests, post(c, path+"?"+values.Encode(), nil))
		}
		h.send(t, c, replicas, requests...)
	}
}

// calmVisitor does what all rules are about, once all is quiet: however slow the
// machine was, there is something to break. The first requests may still meet a
// connection that was cut before, and are sent again.
func calmVisitor(t *testing.T, h *history, replicas []*replicaProcess) {
	t.Helper()
	c := walkintest.NewClient(t, replicas[0])
	for n := int64(1_000_000_001); n < 1_000_000_021; n += 2 {
		h.send(t, c, replicas, navigation(c, "/"))
		for _, path := range []string{fmt.Sprint("/note?n=", n), "/prove?name=calm", fmt.Sprint("/note?n=", n+1)} {
			h.send(t, c, replicas, post(c, path, nil))
		}
		if h.proofs["calm"] != nil && h.notes[n] != uuid.Nil {
			return
		}
	}
	t.Error("what was asked for without any disturbance was not done")
}
