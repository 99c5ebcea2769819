package walkin

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/token"
)

// A shared is what every part of the middleware knows: its settings, its keys and
// cookies, a clock, and how to tell the operator.
type shared struct {
	cfg     Config // with all defaults filled in
	log     *slog.Logger
	keys    *token.Keyring
	cookies cookies
	home    *home
	feed    feed // of what ended on other replicas
	began   time.Time

	mu   sync.Mutex
	told map[Reason]int64 // when the operator was told what goes on, by clock

	watchers watchers                                           // of Watch
	observe  atomic.Pointer[func(ctx context.Context, e Event)] // of AttachObserver, or nil
	factor   atomic.Pointer[secondFactor]                       // of AttachSecondFactor, or nil
}

func newShared(cfg Config, keys *token.Keyring, names cookies) *shared {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &shared{cfg: cfg, log: log, keys: keys, cookies: names, home: &home{basePath: cfg.Paths.Base, texts: cfg.Texts}, began: time.Now(), feed: feed{seed: maphash.MakeSeed()}}
}

// clock returns nanoseconds that no one can set forward or back. It is cheaper than
// time.Now and does not count while a machine sleeps, so what goes by it is bounded by
// RecheckAfter.
func (s *shared) clock() int64 { return int64(time.Since(s.began)) }

// emit hands an event of a request to the operator.
func (s *shared) emit(r *http.Request, e Event) {
	if e.UserID == uuid.Nil && e.Outcome == Refused {
		if c, ok := FromContext(r.Context()); ok {
			e.UserID, e.SessionID, e.ActorID = c.UserID, c.SessionID, c.Actor
		}
	}
	s.emitCtx(r.Context(), e)
}

// ours are the reasons of refusals that are no visitor's doing.
var ours = []Reason{ReasonStoreDown, ReasonConstraint, ReasonInternal}

func (s *shared) emitCtx(ctx context.Context, e Event) {
	if e.Outcome == Failed || e.Outcome == Refused && slices.Contains(ours, e.Reason) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "walkin: "+string(e.Outcome), slog.String("reason", string(e.Reason)), slog.Any("error", e.Err))
	}
	s.watchers.watched(e)
	if s.cfg.OnEvent != nil {
		s.cfg.OnEvent(ctx, e)
	}
	if observe := s.observe.Load(); observe != nil {
		(*observe)(ctx, e)
	}
}

// sometimes tells the operator what goes on, once in ten minutes and not for each
// request.
func (s *shared) sometimes(ctx context.Context, e Event) {
	now := s.clock()
	s.mu.Lock()
	last, told := s.told[e.Reason]
	if told = told && now-last < int64(10*time.Minute); !told {
		if s.told == nil {
			s.told = make(map[Reason]int64)
		}
		s.told[e.Reason] = now // the reasons are words of ours, and few
	}
	s.mu.Unlock()
	if !told {
		s.emitCtx(ctx, e)
	}
}

// skipped tells the operator why a visitor without a user got none.
func (s *shared) skipped(r *http.Request, token, reason Reason) {
	if s.cfg.OnEvent == nil {
		return
	}
	s.emit(r, Event{Outcome: Skipped, Reason: reason, Token: token})
}

// isActing reports whether a request has the cookie of an impersonation. A site that
// has no impersonation does not ask.
func (s *shared) isActing(r *http.Request) bool {
	if s.cfg.Impersonation.IsOperator == nil {
		return false
	}
	for _, line := range r.Header["Cookie"] {
		if strings.Contains(line, s.cookies.acting+"=") {
			return len(r.CookiesNamed(s.cookies.acting)) > 0
		}
	}
	return false
}

func (s *shared) deriveKeys(purpose string) ([][]byte, error) {
	if purpose == "" || strings.Contains(purpose, "\x00") {
		return nil, errors.New("walkin: DeriveKeys needs a purpose, without a NUL")
	}
	return s.derive(strings.Join([]string{purpose, s.cfg.Tokens.Issuer, s.cfg.Tokens.Audience}, "\x00"))
}

// derive derives a secret for a purpose from each key: the first signs, and all verify.
func (s *shared) derive(purpose string) (all [][]byte, _ error) {
	var wrong configErrors
	for i, key := range s.cfg.Keys {
		secret, err := key.Derive(purpose)
		if err != nil {
			wrong.add("Config.Keys[%d]: %w", i, err)
		}
		all = append(all, secret)
	}
	return all, errors.Join(wrong...)
}
