//go:build unix

package sqlstore_test

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// The four rules that hold after chaos.
const (
	ruleOwner   = "each identity has one owner"
	ruleSession = "no live token without its session"
	ruleUpgrade = "no anonymous token is alive after its upgrade"
	ruleKept    = "nothing is lost that was answered with 200"
)

// A history is what visitors of a site asked for, and what they were answered.
type history struct {
	next atomic.Int64 // note

	mu       sync.Mutex
	statuses map[int]int
	notes    map[int64]uuid.UUID           // written, and answered with 200: by whom
	proofs   map[string]map[uuid.UUID]bool // of each subject: who was told that it is theirs
	upgraded map[uuid.UUID]bool            // told so
	left     map[uuid.UUID]bool            // asked to be signed out as an anonymous user
	deleted  map[uuid.UUID]bool            // asked to be deleted
	unlinked map[string]bool               // a visitor asked for it, by subject
	tokens   map[string]tokenClaims        // all that were ever set
}

// tokenClaims are what the history has to know of a token.
type tokenClaims struct {
	User        uuid.UUID `json:"sub"`
	Session     uuid.UUID `json:"session_id"`
	Anonymous   bool      `json:"is_anonymous"`
	Provisional bool      `json:"prov"`
}

func newHistory() *history {
	return &history{
		statuses: make(map[int]int), notes: make(map[int64]uuid.UUID), proofs: make(map[string]map[uuid.UUID]bool),
		upgraded: make(map[uuid.UUID]bool), left: make(map[uuid.UUID]bool), deleted: make(map[uuid.UUID]bool),
		unlinked: make(map[string]bool), tokens: make(map[string]tokenClaims),
	}
}

// send sends requests of one browser at the same moment, each to a replica of
// chance, and keeps what they were answered.
func (h *history) send(t *testing.T, c *walkintest.Client, replicas []*replicaProcess, requests ...*http.Request) {
	for _, r := range requests {
		c.Carry(r)
		h.asked(r)
	}
	answers := make([]*http.Response, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() { answers[i], _ = c.On(replicas[rand.IntN(len(replicas))]).Serve(r) })
	}
	wg.Wait()
	for i, response := range answers {
		if response != nil {
			c.Keep(response)
			h.answered(t, requests[i], response)
		}
	}
}

// asked notes what a request may do although it is never answered.
func (h *history) asked(r *http.Request) {
	_ = r.ParseForm() // of the query: the values are sent there
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, cookie := range r.Cookies() {
		token, err := parseToken(cookie.Value)
		if err != nil {
			continue
		}
		switch r.URL.Path {
		case "/out":
			if token.Anonymous {
				h.left[token.User] = true
			}
		case "/delete":
			h.deleted[token.User] = true
		}
	}
	if r.URL.Path == "/unlink" {
		h.unlinked[r.Form.Get("name")] = true
	}
}

// answered notes what the site has promised with an answer.
func (h *history) answered(t *testing.T, r *http.Request, response *http.Response) {
	body, err := io.ReadAll(response.Body)
	ok(t, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses[response.StatusCode]++
	for _, cookie := range response.Cookies() {
		if token, err := parseToken(cookie.Value); err == nil {
			h.tokens[cookie.Name+"="+cookie.Value] = token
		}
	}
	if response.StatusCode != http.StatusOK {
		return
	}
	switch words := strings.Fields(string(body)); r.URL.Path {
	case "/note":
		n, err := strconv.ParseInt(r.Form.Get("n"), 10, 64)
		ok(t, err)
		h.notes[n] = uuid.MustParse(words[0])
	case "/prove":
		user, subject := uuid.MustParse(words[1]), r.Form.Get("name")
		if h.proofs[subject] == nil {
			h.proofs[subject] = make(map[uuid.UUID]bool)
		}
		h.proofs[subject][user] = true
		if words[0] == string(walkin.Upgraded) {
			h.upgraded[user] = true
		}
	}
}

func parseToken(text string) (claims tokenClaims, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return claims, fmt.Errorf("%d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims, err
	}
	return claims, json.Unmarshal(b, &claims)
}

// mayBeGone reports whether a user asked for the end of all that is theirs. A
// sign-out of an anonymous user is none once they were told that they are upgraded.
func (h *history) mayBeGone(user uuid.UUID) bool {
	return h.deleted[user] || h.left[user] && !h.upgraded[user]
}

// ask asks a replica who it takes the bearer of each token for.
func (h *history) ask(t *testing.T, replica *replicaProcess) map[string]tokenClaims {
	t.Helper()
	said := make(map[string]tokenClaims)
	for token := range h.tokens {
		c := walkintest.NewClient(t, replica)
		r := navigation(c, "/claims")
		r.Header.Set("Cookie", token)
		response, err := c.Serve(r)
		ok(t, err)
		if response.StatusCode != http.StatusOK {
			t.Fatalf("got %d for a token", response.StatusCode)
		}
		var claims tokenClaims
		ok(t, json.NewDecoder(response.Body).Decode(&claims))
		said[token] = claims
	}
	return said
}

// violations returns what of the rules does not hold, going by what a replica said of
// the tokens and by what the database holds.
func (h *history) violations(said map[string]tokenClaims, truth truth) map[string][]string {
	found := make(map[string][]string)
	report := func(rule, format string, args ...any) {
		found[rule] = append(found[rule], fmt.Sprintf(format, args...))
	}
	for subject, owners := range h.proofs {
		for owner := range owners {
			if got := truth.identities[subject]; got != truth.now(owner) && !h.unlinked[subject] && !h.mayBeGone(owner) && !h.mayBeGone(truth.now(owner)) {
				report(ruleOwner, "%s was said to be of %v, and is of %v", subject, owner, got)
			}
		}
	}
	for subject, owner := range truth.identities {
		if anonymous, there := truth.users[owner]; !there || anonymous {
			report(ruleOwner, "%s is of %v, there=%t, anonymous=%t", subject, owner, there, anonymous)
		}
	}
	for token, is := range said {
		was := h.tokens[token]
		if is.User != was.User || is.Session != was.Session {
			continue // a new user in place of one who is gone
		}
		_, stored := truth.users[is.User]
		if (!is.Provisional || stored) && truth.sessions[is.Session] != is.User {
			report(ruleSession, "%v is %v by a session that is not there (provisional=%t, stored=%t)", is.Session, is.User, is.Provisional, stored)
		}
		if is.Anonymous && h.upgraded[is.User] {
			report(ruleUpgrade, "%v reads as anonymous", is.User)
		}
	}
	for n, owner := range h.notes {
		got, there := truth.notes[n]
		if want := truth.now(owner); !there && !h.mayBeGone(owner) && !h.mayBeGone(want) {
			report(ruleKept, "note %d of %v, now %v, is gone", n, owner, want)
		} else if there && got != want {
			report(ruleKept, "note %d of %v, now %v, is with %v", n, owner, want, got)
		}
	}
	return found
}

// A truth is what the database has.
type truth struct {
	users      map[uuid.UUID]bool // anonymous
	sessions   map[uuid.UUID]uuid.UUID
	identities map[string]uuid.UUID
	merged     map[uuid.UUID]uuid.UUID // anonymous user: the account
	notes      map[int64]uuid.UUID
}

func readTruth(t *testing.T, d database, db *sql.DB) truth {
	t.Helper()
	is := truth{make(map[uuid.UUID]bool), make(map[uuid.UUID]uuid.UUID), make(map[string]uuid.UUID), make(map[uuid.UUID]uuid.UUID), make(map[int64]uuid.UUID)}
	each := func(query string, row func(scan func(...any) error) error) {
		t.Helper()
		rows, err := db.QueryContext(t.Context(), query)
		ok(t, err)
		defer rows.Close()
		for rows.Next() {
			ok(t, row(rows.Scan))
		}
		ok(t, rows.Err())
	}
	var a, b uuid.UUID
	each("SELECT id, anonymous FROM walkin_users", func(scan func(...any) error) error {
		var anonymous bool
		err := scan(&a, &anonymous)
		is.users[a] = anonymous
		return err
	})
	each("SELECT id, user_id FROM walkin_sessions", func(scan func(...any) error) error {
		err := scan(&a, &b)
		is.sessions[a] = b
		return err
	})
	each("SELECT subject, user_id FROM walkin_identities", func(scan func(...any) error) error {
		var subject string
		err := scan(&subject, &a)
		is.identities[subject] = a
		return err
	})
	each("SELECT user_id, merged_into FROM walkin_tombstones WHERE merged_into IS NOT NULL", func(scan func(...any) error) error {
		err := scan(&a, &b)
		is.merged[a] = b
		return err
	})
	each("SELECT n, user_id FROM notes", func(scan func(...any) error) error {
		var n int64
		err := scan(&n, &a)
		is.notes[n] = a
		return err
	})
	return is
}

// now returns who a user became by merges.
func (is truth) now(user uuid.UUID) uuid.UUID {
	for {
		into, merged := is.merged[user]
		if !merged {
			return user
		}
		user = into
	}
}

// session returns one of a user's, or false.
func (is truth) session(user uuid.UUID) (uuid.UUID, bool) {
	for session, of := range is.sessions {
		if of == user {
			return session, true
		}
	}
	return uuid.Nil, false
}

// TestChaosChild is a replica, in a process that is killed; it does nothing by itself.
func TestChaosChild(t *testing.T) {
	told := os.Getenv(chaosEnv)
	if told == "" {
		t.SkipNow()
	}
	var site replicaSite
	ok(t, json.Unmarshal([]byte(told), &site))
	ok(t, mysql.SetLogger(&mysql.NopLogger{})) // it would tell of each connection that was cut
	d := database{dialect: site.Dialect, driver: site.Driver, dsn: site.DSN}
	s, db := d.store(t)
	wk, err := walkin.New(loadConfig(d, s))
	ok(t, err)
	go func() { _ = wk.RunFeed(t.Context()) }()
	mux := loadSite(wk, d, db)
	mux.HandleFunc("GET /claims", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		_ = json.NewEncoder(w).Encode(tokenClaims{c.UserID, c.SessionID, c.Anonymous, c.Provisional})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	fmt.Println("listening on", l.Addr())
	go func() { _ = http.Serve(l, wk.Handler(mux)) }()
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or its parent is gone
}
