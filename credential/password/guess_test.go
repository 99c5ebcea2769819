package password_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

func TestRenewal(t *testing.T) {
	current := password.Cost{Time: 2, Memory: 32 << 10, Threads: 1}
	for _, tt := range []struct {
		name  string
		cost  password.Cost
		renew bool
	}{
		{"the same", current, false},
		{"more of both", password.Cost{Time: 3, Memory: 64 << 10, Threads: 1}, false},
		{"more memory, fewer passes, as much work", password.Cost{Time: 1, Memory: 64 << 10, Threads: 1}, false},
		{"other threads", password.Cost{Time: 2, Memory: 32 << 10, Threads: 4}, false},
		{"less memory", password.Cost{Time: 2, Memory: 19 << 10, Threads: 1}, true},
		{"less memory, more passes", password.Cost{Time: 10, Memory: 19 << 10, Threads: 1}, true},
		{"more memory, less work", password.Cost{Time: 1, Memory: 60 << 10, Threads: 1}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, func(cfg *password.Config) { cfg.Cost = tt.cost })
			s.signUp(t, name, secret)
			before := s.stored(t, name)
			now := newSiteOf(t, func(c *walkin.Config) { c.Store = s.store }, func(cfg *password.Config) { cfg.Cost = current })
			for range 2 {
				if _, err := now.SignIn(form(t, name, secret)); err != nil {
					t.Fatal(err)
				}
			}
			after := s.stored(t, name)
			cost, _, _, _, err := password.ParsePHC(after)
			if renewed := after != before; err != nil || renewed != tt.renew || renewed && cost != current {
				t.Errorf("renewed: %v, to %v, %v", renewed, cost, err)
			}
			if n, want := now.hashes.Load(), map[bool]int64{false: 2, true: 3}[tt.renew]; n != want {
				t.Errorf("hashed %d times, want %d", n, want)
			}
		})
	}
}

// TestShortHashesAreRenewed holds that a hash with a shorter salt or sum than ours, as of
// another system, is replaced when its owner signs in, and that a longer one is kept.
func TestShortHashesAreRenewed(t *testing.T) {
	for _, tt := range []struct {
		salt, sum int
		renew     bool
	}{{16, 32, false}, {15, 32, true}, {8, 32, true}, {64, 64, false}, {16, 31, true}, {16, 16, true}} {
		s := newSite(t, nil)
		salt := []byte(strings.Repeat("s", tt.salt))
		sum := quick([]byte(secret), salt, 2, 19456, 1, uint32(tt.sum))
		stored := fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%s$%s",
			base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
		s.own(t, walkin.Proof{Provider: password.Provider, Subject: name, Secret: []byte(stored)})
		if _, err := s.SignIn(form(t, name, secret)); err != nil {
			t.Fatal(err)
		}
		if renewed := s.stored(t, name) != stored; renewed != tt.renew {
			t.Errorf("%d bytes of salt and %d of hash: renewed %t, want %t", tt.salt, tt.sum, renewed, tt.renew)
		}
	}
}

func TestRenewalFails(t *testing.T) {
	old := newSite(t, nil)
	old.signUp(t, name, secret)
	before := old.stored(t, name)
	var log strings.Builder
	s := newSiteOf(t, func(c *walkin.Config) {
		c.Store, c.Logger = &broken{old.store, nil, errors.New("disk full")}, slog.New(slog.NewTextHandler(&log, nil))
	}, func(cfg *password.Config) { cfg.Cost = password.Cost{Time: 3, Memory: 19456, Threads: 1} })
	if _, err := s.SignIn(form(t, name, secret)); err != nil {
		t.Errorf("the sign-in failed with it: %v", err)
	}
	if old.stored(t, name) != before {
		t.Error("the transaction was not undone")
	}
	if got := log.String(); !strings.Contains(got, "disk full") || strings.Contains(got, name) || strings.Contains(got, secret) {
		t.Errorf("got log %q", got)
	}
}

// While a hash is renewed, its owner changes the password elsewhere: the old
// one must not come back.
func TestRenewalDoesNotUndoAChange(t *testing.T) {
	old := newSite(t, nil)
	old.signUp(t, name, secret)
	s := newSiteOf(t, func(c *walkin.Config) { c.Store = old.store },
		func(cfg *password.Config) { cfg.Cost = password.Cost{Time: 3, Memory: 19456, Threads: 1} })
	s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		if time == 3 {
			if err := old.Change(form(t, "", ""), name, secret, "another horse battery"); err != nil {
				t.Error(err)
			}
		}
		return quick(password, salt, time, memory, threads, keyLen)
	})
	_, err := s.SignIn(form(t, name, secret))
	refusal(t, err, http.StatusUnauthorized, "wrong_password")
	_, err = old.SignIn(form(t, name, secret))
	refusal(t, err, http.StatusUnauthorized, "wrong_password")
	if _, err := old.SignIn(form(t, name, "another horse battery")); err != nil {
		t.Error(err)
	}
}

// Two sign-ins at once both find a weak hash: the one that renews it must not
// make the other's password wrong.
func TestRenewalMeetsAnother(t *testing.T) {
	weak := newSite(t, nil)
	weak.signUp(t, name, secret)
	cost := func(cfg *password.Config) {
		cfg.Cost = password.Cost{Time: 3, Memory: 19456, Threads: 1}
	}
	over := func(c *walkin.Config) { c.Store = weak.store }
	first, second := newSiteOf(t, over, cost), newSiteOf(t, over, cost)
	met := false
	second.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		if time == 3 && !met {
			met = true
			if _, err := first.SignIn(form(t, name, secret)); err != nil {
				t.Error(err)
			}
		}
		return quick(password, salt, time, memory, threads, keyLen)
	})
	proof, err := second.SignIn(form(t, name, secret))
	if err != nil || !met {
		t.Fatalf("got %v, met %v", err, met)
	}
	if err := weak.store.InTx(t.Context(), proof.Redeem); err != nil {
		t.Errorf("the proof is no longer one: %v", err)
	}
}

// TestChangedMeanwhile holds that a password which was right when it was looked at
// signs in no user once its owner has changed it, or removed it, or gone.
func TestChangedMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name   string
		proven bool
		change func(t *testing.T, s *site, identity store.Identity)
	}{
		{"changed", false, func(t *testing.T, s *site, _ store.Identity) {
			if err := s.Change(form(t, "", ""), name, secret, "another horse battery"); err != nil {
				t.Error(err)
			}
		}},
		{"removed", false, func(t *testing.T, s *site, identity store.Identity) {
			if err := s.store.DeleteIdentity(t.Context(), identity.UserID, identity.Provider, name); err != nil {
				t.Error(err)
			}
		}},
		{"a removed address", true, func(t *testing.T, s *site, identity store.Identity) {
			if err := s.store.DeleteIdentity(t.Context(), identity.UserID, identity.Provider, name); err != nil {
				t.Error(err)
			}
		}},
		{"another user has it", false, func(t *testing.T, s *site, identity store.Identity) {
			if err := s.move(t, identity); err != nil {
				t.Error(err)
			}
		}},
		{"the user is deleted", true, func(t *testing.T, s *site, identity store.Identity) {
			if err := s.store.DeleteUser(t.Context(), store.Tombstone{UserID: identity.UserID, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, func(cfg *password.Config) { cfg.Proven = tt.proven })
			hash, err := s.NewSecret(form(t, name, secret))
			if err != nil {
				t.Fatal(err)
			}
			provider := password.Provider
			if tt.proven {
				provider = "email"
			}
			s.own(t, walkin.Proof{Provider: provider, Subject: name, Secret: hash})
			identity, err := s.store.Identity(t.Context(), provider, name)
			if err != nil {
				t.Fatal(err)
			}
			late := &late{Store: s.store}
			wk, err := walkin.New(walkin.Config{
				Store: late, Paths: walkin.Paths{SignIn: "/signin"}, Keys: []walkin.Key{{Secret: []byte("0123456789abcdef0123456789abcdef")}}})
			if err != nil {
				t.Fatal(err)
			}
			late.before = func() { tt.change(t, s, identity) }
			c := walkintest.NewClient(t, wk.Handler(wk.SignInHandler(s, nil)))
			r := c.Post("/signin", url.Values{"email": {name}, "password": {secret}})
			if r.StatusCode != http.StatusUnauthorized || c.Cookie("__Host-walkin") != "" {
				t.Errorf("got %d, signed in %t, want 401 and not", r.StatusCode, c.Cookie("__Host-walkin") != "")
			}
			if _, err := s.store.Identity(t.Context(), provider, name); (err == nil) != (tt.name == "changed" || tt.name == "another user has it") {
				t.Errorf("the identity: got %v", err)
			}
		})
	}
}

// A late store lets something happen before its next transaction.
type late struct {
	store.Store
	before func()
}

func (s *late) InTx(ctx context.Context, fn func(context.Context) error) error {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	return s.Store.InTx(ctx, fn)
}

func TestChange(t *testing.T) {
	const next = "another horse battery"
	s := newSite(t, nil)
	s.signUp(t, name, secret)
	change := func(name, current, next string) error { return s.Change(form(t, "", ""), name, current, next) }
	refusal(t, change(name, "wrong horse battery", next), http.StatusUnauthorized, "wrong_password", next)
	refusal(t, change("bob", secret, next), http.StatusUnauthorized, "unknown_name", next)
	refusal(t, change(name, secret, "short"), http.StatusUnprocessableEntity, "password_short")
	refusal(t, change(name, "", next), http.StatusUnprocessableEntity, "no_password")
	refusal(t, change(name, secret, ""), http.StatusUnprocessableEntity, "no_password")
	refusal(t, change(name, secret, strings.Repeat("kx7!pqmw", 17)), http.StatusUnprocessableEntity, "password_long")
	refusal(t, change(name, secret, next+"\xff"), http.StatusUnprocessableEntity, "password_encoding")
	refusal(t, change("", secret, next), http.StatusUnprocessableEntity, "no_name")
	if err := change(" ANN@example.com", secret, next); err != nil {
		t.Fatal(err)
	}
	_, err := s.SignIn(form(t, name, secret))
	refusal(t, err, http.StatusUnauthorized, "wrong_password")
	if _, err := s.SignIn(form(t, name, next)); err != nil {
		t.Error(err)
	}
	for range 8 { // two wrong ones are above
		refusal(t, change(name, secret, next), http.StatusUnauthorized, "wrong_password")
	}
	refusal(t, change(name, next, secret), http.StatusTooManyRequests, "too_many_attempts")

	down := errors.New("disk full")
	s = newSiteOf(t, func(c *walkin.Config) { c.Store = &broken{s.store, nil, down} }, nil)
	if err := change(name, next, secret); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	} else {
		refusal(t, err, http.StatusServiceUnavailable, "store_down")
	}
}

// TestChangeMeetsAnother holds that a password is not changed when what was verified is
// no longer what is stored: another password, no identity, or the identity of another user.
func TestChangeMeetsAnother(t *testing.T) {
	const next = "another horse battery"
	for _, tt := range []struct {
		name string
		meet func(*site, *testing.T, store.Identity) error
		want string // what signs in afterwards
	}{
		{"another change", func(s *site, t *testing.T, _ store.Identity) error {
			return s.Change(form(t, "", ""), name, secret, "a third horse battery")
		}, "a third horse battery"},
		{"the identity is removed", func(s *site, t *testing.T, i store.Identity) error {
			return s.store.DeleteIdentity(t.Context(), i.UserID, i.Provider, i.Subject)
		}, ""},
		{"the user is deleted", func(s *site, t *testing.T, i store.Identity) error {
			return s.store.DeleteUser(t.Context(), store.Tombstone{UserID: i.UserID, ExpiresAt: time.Now().Add(time.Hour)})
		}, ""},
		{"another user has it", (*site).move, secret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, nil)
			s.signUp(t, name, secret)
			identity, err := s.store.Identity(t.Context(), password.Provider, name)
			if err != nil {
				t.Fatal(err)
			}
			late := &late{Store: s.store, before: func() {
				if err := tt.meet(s, t, identity); err != nil {
					t.Error(err)
				}
			}}
			slow := newSiteOf(t, func(c *walkin.Config) { c.Store = late }, nil)
			refusal(t, slow.Change(form(t, "", ""), name, secret, next), http.StatusConflict, walkin.ReasonRaced, next)
			for _, password := range []string{secret, next, "a third horse battery"} {
				if _, err := s.SignIn(form(t, name, password)); (err == nil) != (password == tt.want) {
					t.Errorf("%q: got %v", password, err)
				}
			}
		})
	}
}

// move gives an identity to another user, as it is.
func (s *site) move(t *testing.T, i store.Identity) error {
	if err := s.store.DeleteIdentity(t.Context(), i.UserID, i.Provider, i.Subject); err != nil {
		return err
	}
	s.own(t, walkin.Proof{Provider: i.Provider, Subject: i.Subject, Secret: i.Secret})
	return nil
}

// TestChangeFindsNoPlace holds that a new password for whose hash there is no place
// leaves the old one as it is, and says so.
func TestChangeFindsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *site
		gate := make(chan struct{})
		s = newSite(t, func(cfg *password.Config) {
			cfg.Hashes, cfg.Waiting = 1, 1
			cfg.Breaches = breaches(func(_ context.Context, next string) (bool, error) {
				if next == secret {
					return false, nil
				}
				s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
					<-gate
					return quick(password, salt, time, memory, threads, keyLen)
				})
				for range 2 { // while the new password is looked up, others come
					go s.SignIn(form(t, name, secret))
				}
				synctest.Wait()
				return false, nil
			})
		})
		s.signUp(t, name, secret)
		before := s.stored(t, name)
		err := s.Change(form(t, "", ""), name, secret, "another horse battery")
		refusal(t, err, http.StatusServiceUnavailable, "busy")
		if s.stored(t, name) != before {
			t.Error("the stored hash is another one")
		}
		close(gate)
		synctest.Wait()
	})
}

// TestLimitedAttemptsTakeNoPlace holds that an attempt over the limit is refused as such,
// also while all places are taken, and that of two attempts which wait for a place the
// second counts, too.
func TestLimitedAttemptsTakeNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(cfg *password.Config) {
			cfg.Hashes, cfg.Waiting = 1, 2
			cfg.PerNameAndNetwork = limit.Limit{Count: 1, Per: time.Hour}
		})
		gate := make(chan struct{})
		s.fails(t, 1, "carl", "192.0.2.1:1")
		s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
			s.hashes.Add(1)
			<-gate
			return quick(password, salt, time, memory, threads, keyLen)
		})
		s.hashes.Store(0)
		reasons := make(chan walkin.Reason, 3)
		for _, name := range []string{"bob", "ann", "ann"} {
			go func() {
				_, err := s.SignIn(form(t, name, "wrong horse battery"))
				r, _ := errors.AsType[*walkin.Refusal](err)
				reasons <- r.Reason
			}()
			synctest.Wait()
		}
		_, err := s.SignIn(form(t, "carl", "wrong horse battery"))
		refusal(t, err, http.StatusTooManyRequests, tooMany)
		_, err = s.SignIn(form(t, "dora", "wrong horse battery"))
		refusal(t, err, http.StatusServiceUnavailable, "busy")
		close(gate)
		synctest.Wait()
		got := map[walkin.Reason]int{<-reasons: 1}
		got[<-reasons]++
		got[<-reasons]++
		if got[tooMany] != 1 || got["unknown_name"] != 2 || s.hashes.Load() != 2 {
			t.Errorf("got %v and %d hashes, want two guesses and one over the limit", got, s.hashes.Load())
		}
	})
}

// TestPlaces holds how many hashes run at once and how many attempts wait for that, with
// the defaults of both.
func TestPlaces(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	for _, tt := range []struct{ hashes, waiting, run, wait int }{
		{0, 0, cores, 32 * cores},
		{cores + 1, 0, cores + 1, 32 * (cores + 1)},
		{1, 2, 1, 2},
		{0, 1, cores, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, func(cfg *password.Config) { cfg.Hashes, cfg.Waiting = tt.hashes, tt.waiting })
			gate := make(chan struct{})
			s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
				s.hashes.Add(1)
				<-gate
				return quick(password, salt, time, memory, threads, keyLen)
			})
			var refused atomic.Int64
			for i := range tt.run + tt.wait + 3 {
				go func() {
					_, err := s.SignIn(from(form(t, fmt.Sprint("user", i), secret), fmt.Sprintf("192.0.2.%d:1", i)))
					if r, ok := errors.AsType[*walkin.Refusal](err); ok && r.Reason == "busy" {
						refused.Add(1)
					}
				}()
				synctest.Wait()
			}
			if s.hashes.Load() != int64(tt.run) || refused.Load() != 3 {
				t.Errorf("%+v: %d hashes run and %d attempts were refused, want %d and 3", tt, s.hashes.Load(), refused.Load(), tt.run)
			}
			_, err := s.SignUp(form(t, name, secret))
			refusal(t, err, http.StatusServiceUnavailable, "busy")
			hash, err := s.NewSecret(form(t, name, secret))
			if refusal(t, err, http.StatusServiceUnavailable, "busy"); hash != nil {
				t.Errorf("got the secret %q", hash)
			}
			close(gate)
			synctest.Wait()
		})
	}
}

// Of ten sign-ins at once, two hash, three wait, and five are asked to come back; one
// that stops waiting costs no hash.
func TestHashesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(cfg *password.Config) { cfg.Hashes, cfg.Waiting = 2, 3 })
		s.signUp(t, name, secret)
		s.hashes.Store(0)
		gate := make(chan struct{})
		var running, most atomic.Int64
		s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
			s.hashes.Add(1)
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			gate <- struct{}{}
			running.Add(-1)
			return quick(password, salt, time, memory, threads, keyLen)
		})
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 10)
		signIn := func(ctx context.Context) {
			go func() {
				_, err := s.SignIn(form(t, name, secret).WithContext(ctx))
				errs <- err
			}()
			synctest.Wait()
		}
		for range 4 {
			signIn(t.Context())
		}
		signIn(ctx)
		for range 5 {
			signIn(t.Context())
			if r := refusal(t, <-errs, http.StatusServiceUnavailable, "busy"); r.RetryAfter <= 0 {
				t.Error("no Retry-After")
			}
		}
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		for range 4 {
			<-gate
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != 2 || s.hashes.Load() != 4 {
			t.Errorf("%d hashes, %d at once, want 4 and 2", s.hashes.Load(), most.Load())
		}
	})
}

// TestSignUpsLeaveRoom holds that a flood of the sign-up form, which nothing limits,
// does not keep users from signing in.
func TestSignUpsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(cfg *password.Config) { cfg.Hashes, cfg.Waiting = 2, 4 })
		s.signUp(t, name, secret)
		gate := make(chan struct{})
		s.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
			<-gate
			return quick(password, salt, time, memory, threads, keyLen)
		})
		signUps, signIns := make(chan error, 20), make(chan error, 20)
		for i := range 20 {
			go func() {
				_, err := s.SignUp(form(t, fmt.Sprint("robot", i), secret))
				signUps <- err
			}()
			synctest.Wait()
		}
		for range 17 {
			refusal(t, <-signUps, http.StatusServiceUnavailable, "busy")
		}
		for range 3 {
			go func() {
				_, err := s.SignIn(form(t, name, secret))
				signIns <- err
			}()
			synctest.Wait()
		}
		close(gate)
		for range 3 {
			if err := <-signUps; err != nil {
				t.Error(err)
			}
			if err := <-signIns; err != nil {
				t.Errorf("somebody who signs in: %v", err)
			}
		}
	})
}
