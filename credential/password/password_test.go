package password_test

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/texts"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	name   = "ann@example.com"
	secret = "correct horse battery"
)

// A site is a Password over a store in memory, with a quick hash that counts.
type site struct {
	*password.Password
	store  *memstore.Store
	hashes atomic.Int64
}

func newSite(t *testing.T, change func(*password.Config)) *site {
	t.Helper()
	return newSiteOf(t, nil, change)
}

func newSiteOf(t *testing.T, config func(*walkin.Config), change func(*password.Config)) *site {
	t.Helper()
	s := &site{store: memstore.New()}
	var cfg password.Config
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Password, err = password.New(middleware(t, s.store, config), cfg); err != nil {
		t.Fatal(err)
	}
	s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		s.hashes.Add(1)
		return quick(password, salt, time, memory, threads, keyLen)
	})
	return s
}

// middleware returns one over a store.
func middleware(t testing.TB, store store.Store, change func(*walkin.Config)) *walkin.Middleware {
	t.Helper()
	cfg := walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store}
	if change != nil {
		change(&cfg)
	}
	wk, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return wk
}

func quick(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
	sum := sha512.Sum512(fmt.Appendf(nil, "%x %x %d %d %d", password, salt, time, memory, threads))
	return sum[:keyLen]
}

// own stores what a sign-up proved.
func (s *site) own(t *testing.T, proof walkin.Proof) {
	t.Helper()
	user := store.User{ID: uuid.Must(uuid.NewV7()), CreatedAt: time.Now(), SeenAt: time.Now()}
	err := errors.Join(s.store.CreateUser(t.Context(), user), s.store.CreateIdentity(t.Context(), store.Identity{
		Provider: proof.Provider, Subject: proof.Subject, Secret: proof.Secret, UserID: user.ID, CreatedAt: time.Now()}))
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) signUp(t *testing.T, name, secret string) {
	t.Helper()
	proof, err := s.SignUp(form(t, name, secret))
	if err != nil {
		t.Fatal(err)
	}
	s.own(t, proof)
}

func (s *site) stored(t *testing.T, name string) string {
	t.Helper()
	identity, err := s.store.Identity(t.Context(), password.Provider, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(identity.Secret)
}

// form is a posted form, from 192.0.2.1.
func form(t testing.TB, name, secret string) *http.Request {
	return post(t, "application/x-www-form-urlencoded", url.Values{"email": {name}, "password": {secret}}.Encode())
}

func post(t testing.TB, contentType, body string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

func from(r *http.Request, addr string) *http.Request {
	r.RemoteAddr = addr
	return r
}

// refusal checks that err is a refusal with the status and reason, that it
// has a sentence for the visitor, and that it quotes nothing they typed.
func refusal(t testing.TB, err error, status int, reason walkin.Reason, typed ...string) *walkin.Refusal {
	t.Helper()
	r, ok := errors.AsType[*walkin.Refusal](err)
	if !ok {
		t.Fatalf("got error %v, want a refusal", err)
	}
	if r.Status != status || r.Reason != reason {
		t.Errorf("got %d %s, want %d %s", r.Status, r.Reason, status, reason)
	}
	if status == http.StatusUnauthorized && r.Code != "wrong_credentials" { // which of the two was wrong is not told
		t.Errorf("%s: got the code %q", reason, r.Code)
	}
	message := texts.English().Say(r.Text)
	if !strings.HasSuffix(message, ".") {
		t.Errorf("message %q is no sentence", message)
	}
	for _, s := range append(typed, name, secret) {
		if len(s) > 2 && strings.Contains(r.Error()+message, s) {
			t.Errorf("%q quotes what was typed", r.Error()+" / "+message)
		}
	}
	return r
}

func TestNewNamesEveryMistake(t *testing.T) {
	if _, err := password.New(nil, password.Config{}); err == nil || !strings.HasPrefix(err.Error(), "walkin: password: ") {
		t.Errorf("without a middleware: got %v", err)
	}
	_, err := password.New(middleware(t, memstore.New(), nil), password.Config{
		NameField: "x", PasswordField: "x", MinLength: 7, Hashes: -1,
		Cost:       password.Cost{Time: 1, Memory: 19456, Threads: 1},
		PerAddress: limit.Limit{Count: -1, Per: time.Hour}, PerNameAndNetwork: limit.Limit{Count: 1},
		PerName: limit.Limit{Count: 1_000_001, Per: time.Hour},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"NameField", "MinLength", "Hashes", "Cost: with Time 1, Memory is at least 47104",
		"PerAddress", "PerNameAndNetwork", "PerName is"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !strings.HasPrefix(line, "walkin: password: ") {
			t.Errorf("%q does not say where it comes from", line)
		}
	}
}

// TestNewBounds holds the least and the most of each setting, and which do not go together.
func TestNewBounds(t *testing.T) {
	cost := func(time, memory uint32, threads uint8) password.Config {
		return password.Config{Cost: password.Cost{Time: time, Memory: memory, Threads: threads}}
	}
	for _, tt := range []struct {
		name string
		cfg  password.Config
		want string // in the error; empty is none
	}{
		{"the zero value", password.Config{}, ""},
		{"7 characters", password.Config{MinLength: 7}, "Config.MinLength"},
		{"8 characters", password.Config{MinLength: 8}, ""},
		{"64 characters", password.Config{MinLength: 64}, ""},
		{"65 characters", password.Config{MinLength: 65}, "Config.MinLength"},
		{"less than no hashes", password.Config{Hashes: -1}, "Config.Hashes and Waiting"},
		{"fewer than none waiting", password.Config{Waiting: -1}, "Config.Hashes and Waiting"},
		{"phone numbers", password.Config{Proven: true, Phones: true}, ""},
		{"phone numbers that were not proven", password.Config{Phones: true}, "Config.Phones needs Proven"},
		{"as many guesses as there may be", password.Config{PerName: limit.Limit{Count: 1_000_000, Per: time.Hour}}, ""},
		{"one more", password.Config{PerName: limit.Limit{Count: 1_000_001, Per: time.Hour}}, "Config.PerName is"},
		{"a limit that is no more than its time when it is multiplied", password.Config{PerName: limit.Limit{Count: 1_000_000, Per: 2 * time.Millisecond}}, "Config.PerName is"},
		{"the names of the fields", password.Config{NameField: "password"}, "NameField and PasswordField"},
		{"no passes", cost(0, 47104, 1), "Config.Cost: the time"},
		{"one pass", cost(1, 47104, 1), ""},
		{"one pass over too little", cost(1, 47103, 1), "Config.Cost: with Time 1, Memory is at least 47104"},
		{"five passes", cost(5, 7168, 1), ""},
		{"five passes over too little", cost(5, 7167, 1), "Config.Cost: with Time 5, Memory is at least 7168"},
		{"ten passes", cost(10, 7168, 1), ""},
		{"ten passes over too little", cost(10, 7167, 1), "Config.Cost: with Time 10, Memory is at least 7168"},
		{"eleven passes", cost(11, 47104, 1), "Config.Cost: the time"},
		{"no threads", cost(2, 19456, 0), "Config.Cost: the threads"},
		{"16 threads", cost(2, 19456, 16), ""},
		{"17 threads", cost(2, 19456, 17), "Config.Cost: the threads"},
		{"256 MiB", cost(2, 256<<10, 1), ""},
		{"more than 256 MiB", cost(2, 256<<10+1, 1), "Config.Cost: the memory"},
	} {
		_, err := password.New(middleware(t, memstore.New(), nil), tt.cfg)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// The real argon2id, end to end: sign-up and sign-in by one request.
func TestSignUpThenSignInWithOneRequest(t *testing.T) {
	store := memstore.New()
	p, err := password.New(middleware(t, store, nil), password.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := form(t, " Ann@Example.com", secret)
	proof, err := p.SignUp(r)
	if err != nil {
		t.Fatal(err)
	}
	if proof.Provider != "password" || proof.Subject != name || proof.Method != "pwd" || !proof.Chosen || proof.StateChecked {
		t.Errorf("got proof %+v", proof)
	}
	if !strings.HasPrefix(string(proof.Secret), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("got secret %q", proof.Secret)
	}
	cost, salt, sum, _, err := password.ParsePHC(string(proof.Secret))
	if err != nil || cost != (password.Cost{Time: 2, Memory: 19456, Threads: 1}) || len(salt) != 16 || len(sum) != 32 {
		t.Errorf("got cost %v, %d bytes of salt, %d of hash, %v", cost, len(salt), len(sum), err)
	}
	(&site{store: store}).own(t, proof)
	known, err := p.SignIn(r)
	if err != nil {
		t.Fatal(err)
	}
	if known.Provider != "password" || known.Subject != name || known.Method != "pwd" || known.Chosen {
		t.Errorf("got proof %+v", known)
	}
}

func TestUnknownAndWrongAreTheSame(t *testing.T) {
	s := newSite(t, nil)
	s.signUp(t, name, secret)
	var cost [2]string
	var got [2]*walkin.Refusal
	for i, tt := range []struct{ name, reason string }{{name, "wrong_password"}, {"bob@example.com", "unknown_name"}} {
		calls := 0
		s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
			calls++
			cost[i] = fmt.Sprint(len(password), len(salt), time, memory, threads, keyLen)
			return quick(password, salt, time, memory, threads, keyLen)
		})
		_, err := s.SignIn(form(t, tt.name, "wrong horse battery"))
		got[i] = refusal(t, err, http.StatusUnauthorized, walkin.Reason(tt.reason), tt.name)
		if calls != 1 {
			t.Errorf("%s: hashed %d times", tt.reason, calls)
		}
	}
	if cost[0] != cost[1] {
		t.Errorf("a wrong password costs %s, an unknown name %s", cost[0], cost[1])
	}
	got[0].Reason, got[1].Reason = "", ""
	if *got[0] != *got[1] {
		t.Errorf("got %+v and %+v", *got[0], *got[1])
	}
}

// The dummy hash is no user's, even if a password had it.
func TestUnknownNameNeverMatches(t *testing.T) {
	s := newSite(t, nil)
	s.SetIDKey(func(_, _ []byte, _, _ uint32, _ uint8, keyLen uint32) []byte { return make([]byte, keyLen) })
	_, err := s.SignIn(form(t, name, secret))
	refusal(t, err, http.StatusUnauthorized, "unknown_name")
}

// A broken is a store with faults.
type broken struct {
	*memstore.Store
	identity, setSecret error
}

func (b *broken) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	if b.identity != nil {
		return store.Identity{}, b.identity
	}
	return b.Store.Identity(ctx, provider, subject)
}

func (b *broken) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	return errors.Join(b.setSecret, b.Store.SetSecret(ctx, provider, subject, secret))
}

func TestStoreDown(t *testing.T) {
	down := errors.New("connection refused")
	s := newSiteOf(t, func(c *walkin.Config) { c.Store = &broken{c.Store.(*memstore.Store), down, nil} }, nil)
	for range 20 { // not counted: no guess was answered
		_, err := s.SignIn(form(t, name, secret))
		if r := refusal(t, err, http.StatusServiceUnavailable, "store_down"); !errors.Is(err, down) || r.RetryAfter <= 0 {
			t.Fatalf("got %v, retry after %v", err, r.RetryAfter)
		}
	}
	if n := s.hashes.Load(); n != 0 {
		t.Errorf("hashed %d times", n)
	}
}

func TestStoredHashThatCannotBeUsed(t *testing.T) {
	for _, stored := range []string{
		"", "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		s := newSite(t, nil)
		s.own(t, walkin.Proof{Provider: password.Provider, Subject: name, Secret: []byte(stored)})
		_, err := s.SignIn(form(t, name, secret))
		if _, refused := errors.AsType[*walkin.Refusal](err); err == nil || refused {
			t.Errorf("%q: got %v, want an error that is no refusal", stored, err)
		}
		if n := s.hashes.Load(); n != 0 {
			t.Errorf("%q: hashed %d times", stored, n)
		}
		if stored != "" && strings.Contains(err.Error(), stored) {
			t.Errorf("%q is quoted", stored)
		}
	}
}

func TestWithMiddleware(t *testing.T) {
	var reasons []string
	s := &site{store: memstore.New()}
	wk := middleware(t, s.store, func(c *walkin.Config) {
		c.Paths.Upgrade, c.Paths.SignIn = "/upgrade", "/signin"
		c.OnEvent = func(_ context.Context, e walkin.Event) {
			if e.Outcome == walkin.Refused {
				reasons = append(reasons, string(e.Reason))
			}
		}
	})
	var err error
	if s.Password, err = password.New(wk, password.Config{}); err != nil {
		t.Fatal(err)
	}
	s.SetIDKey(quick)
	mux := http.NewServeMux()
	mux.Handle("/upgrade", wk.UpgradeHandler(s, nil))
	mux.Handle("/signin", wk.SignInHandler(s, nil))
	handler := wk.Handler(mux)
	act := func(path, name, secret string) *http.Response {
		return walkintest.NewClient(t, handler).From("198.51.100.7:1").Post(path, url.Values{"email": {name}, "password": {secret}})
	}
	for _, tt := range []struct {
		name, path, user, secret string
		status                   int
	}{
		{"sign up", "/upgrade", name, secret, 303},
		{"a name that is taken", "/upgrade", name, "another horse battery", 409},
		{"who forgot they had signed up", "/upgrade", name, secret, 303},
		{"sign in", "/signin", name, secret, 303},
		{"a wrong password", "/signin", name, "another horse battery", 401},
		{"an unknown name", "/signin", "bob", secret, 401},
		{"a weak password", "/upgrade", "bob", "password1", 422},
	} {
		if got := act(tt.path, tt.user, tt.secret).StatusCode; got != tt.status {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.status)
		}
	}
	for range 8 {
		act("/signin", name, "another horse battery")
	}
	response := act("/signin", name, secret)
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "90" {
		t.Errorf("after ten failures: got %d, Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
	}
	got := strings.Join(reasons, " ")
	want := "identity_taken wrong_password unknown_name password_common" + strings.Repeat(" wrong_password", 8) + " too_many_attempts"
	if got != want {
		t.Errorf("events:\n got %s\nwant %s", got, want)
	}
}

// With Config.Proven a password belongs to an address that credential/code proved: no
// visitor signs up by it, and an address without a password has none to guess.
func TestProven(t *testing.T) {
	s := newSite(t, func(cfg *password.Config) { cfg.Proven = true })
	if _, err := s.SignUp(form(t, name, secret)); err == nil {
		t.Error("somebody signed up with an address that nobody proved")
	} else if _, refused := errors.AsType[*walkin.Refusal](err); refused {
		t.Errorf("got refusal %v for a mistake of the app", err)
	}
	if _, err := s.NewSecret(form(t, name, "12345678")); err == nil {
		t.Error("a simple password was taken")
	}
	hash, err := s.NewSecret(form(t, name, secret))
	if err != nil {
		t.Fatal(err)
	}
	s.own(t, walkin.Proof{Provider: "email", Subject: name, Secret: hash})
	s.own(t, walkin.Proof{Provider: "email", Subject: "bob@example.com"})
	s.own(t, walkin.Proof{Provider: password.Provider, Subject: "eve@example.com", Secret: hash}) // of another Password

	proof, err := s.SignIn(form(t, " Ann@Example.com", secret))
	if err != nil || proof.Provider != "email" || proof.Subject != name || proof.Method != "pwd" || proof.Chosen {
		t.Errorf("got %+v, %v", proof, err)
	}
	for _, unknown := range []string{"bob@example.com", "eve@example.com", "nobody@example.com"} {
		before := s.hashes.Load()
		_, err := s.SignIn(form(t, unknown, secret))
		refusal(t, err, http.StatusUnauthorized, "unknown_name", unknown, secret)
		if got := s.hashes.Load() - before; got != 1 {
			t.Errorf("%s: hashed %d times", unknown, got)
		}
	}
	if err := s.Change(form(t, "", ""), name, secret, "another password of hers"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(form(t, name, "another password of hers")); err != nil {
		t.Error(err)
	}
}

// TestNewSecret holds that a form which cannot be a sign-up makes no secret, and that
// two users with one password have two hashes.
func TestNewSecret(t *testing.T) {
	s := newSite(t, nil)
	for _, tt := range []struct {
		name, password, reason string
	}{
		{"", secret, "no_name"},
		{name, "", "no_password"},
		{name, "short", "password_short"},
		{name, name, "password_is_name"},
	} {
		hash, err := s.NewSecret(form(t, tt.name, tt.password))
		if refusal(t, err, http.StatusUnprocessableEntity, walkin.Reason(tt.reason)); hash != nil {
			t.Errorf("%s: got the secret %q", tt.reason, hash)
		}
	}
	salts := map[string]bool{}
	for range 3 {
		hash, err := s.NewSecret(form(t, name, secret))
		if err != nil {
			t.Fatal(err)
		}
		_, salt, _, _, err := password.ParsePHC(string(hash))
		if err != nil {
			t.Fatal(err)
		}
		salts[string(salt)] = true
	}
	if len(salts) != 3 || salts[string(make([]byte, 16))] {
		t.Errorf("the salts of three hashes are %q", slices.Collect(maps.Keys(salts)))
	}
}

// TestSignUpWith holds that a name and a password that the app has read itself are taken
// as those of a form are.
func TestSignUpWith(t *testing.T) {
	s := newSite(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	proof, err := s.SignUpWith(r, "Ann ", "four words in a row")
	if err != nil {
		t.Fatal(err)
	}
	s.own(t, proof)
	for _, name := range []string{"ann", "ANN"} {
		got, err := s.SignInWith(r, name, "four words in a row")
		if err != nil || got.Subject != proof.Subject || got.Redeem(t.Context()) != nil {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, tt := range []struct {
		name, password string
		signUp, signIn walkin.Reason
	}{
		{"", "four words in a row", password.ReasonNoName, password.ReasonNoName},
		{"bob", "", password.ReasonNoPassword, password.ReasonNoPassword},
		{"bo\x00b", "four words in a row", password.ReasonNameBlank, password.ReasonNameBlank},
		{"ann", "\xff\xfe", password.ReasonEncoding, password.ReasonEncoding},
		{"bob", "short", password.ReasonShort, password.ReasonUnknownName},
	} {
		before := s.hashes.Load()
		_, err := s.SignUpWith(r, tt.name, tt.password)
		refusal(t, err, http.StatusUnprocessableEntity, tt.signUp)
		if s.hashes.Load() != before {
			t.Errorf("%q: a sign-up hashed what it refused", tt.password)
		}
		status := http.StatusUnprocessableEntity
		if tt.signIn == password.ReasonUnknownName {
			status = http.StatusUnauthorized
		}
		_, err = s.SignInWith(r, tt.name, tt.password)
		refusal(t, err, status, tt.signIn)
	}
	_, err = s.SignInWith(r, "ann", "another four words")
	refusal(t, err, http.StatusUnauthorized, password.ReasonWrongPassword)
}
