// Package handover lets an anonymous user go on on a second device, without an account:
// one browser shows a QR code, the other opens it, and both are the same user.
//
//	h, err := handover.New(wk, handover.Config{Link: "https://margin.example/account/device/join"})
//	…
//	pages.New(wk, pages.Config{Handover: h, …})
//
// Package pages has the pages. An app with pages of its own calls the methods: the
// first browser [Handovers.Start], [Handovers.Offered] and [Handovers.Confirm], the
// second [Handovers.Scan], [Handovers.Scanned] and [Handovers.Join].
//
// # Trust
//
// Whoever photographs the code can open it first. So opening it opens no session: the
// second browser shows a number of four digits, and only if the user of the first
// browser types it there may the second one go on. A second browser that opens the
// code, and a wrong number, end the handover. It lasts two minutes, and no longer than the
// session of the first browser. The store has no secret that could be sent: the link's
// is hashed.
//
// # What it does not do
//
// It hands over no account: a permanent user signs in on the other device. It never
// replaces a permanent user, and an anonymous one only if their browser agrees. An
// upgrade on one of the devices ends the sessions of all others.
package handover

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Lifetime is how long a handover lasts, from the code to the session.
const Lifetime = 2 * time.Minute

// Parameter is that of the link's URL which has the secret.
const Parameter = "code"

// The stages of a handover.
const (
	Waiting   = "waiting"   // the code is shown
	Scanned   = "scanned"   // another browser has opened it and shows a number
	Confirmed = "confirmed" // the number was typed
	Joined    = "joined"    // the other browser has its session
	Ended     = "ended"     // by a second browser or a wrong number
)

// Config says where the second browser arrives.
type Config struct {
	// Link is the absolute URL of the page that the code opens, without a query. It is
	// required, and never taken from a request.
	Link string

	// PerUser is how many handovers one user may start. Zero is 10 an hour.
	PerUser limit.Limit

	// PerNetwork is how many may be started and opened, together, per network of
	// walkin.Middleware.ClientNetworks, and four times as many for the larger one of
	// IPv6. Zero is 60 an hour.
	PerNetwork limit.Limit
}

// Handovers are made with [New]. The methods may be called concurrently. They start no
// goroutine.
type Handovers struct {
	wk     *walkin.Middleware
	cfg    Config
	keys   [][]byte
	limits limits.Limits
	cookie http.Cookie // of the second browser
}

// New returns Handovers, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Handovers, error) {
	if wk == nil {
		return nil, errors.New("walkin: handover: New needs a middleware")
	}
	if cfg.PerUser == (limit.Limit{}) {
		cfg.PerUser = limit.Limit{Count: 10, Per: time.Hour}
	}
	if cfg.PerNetwork == (limit.Limit{}) {
		cfg.PerNetwork = limit.Limit{Count: 60, Per: time.Hour}
	}
	var mistakes []error
	if u, err := url.Parse(cfg.Link); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		mistakes = append(mistakes, fmt.Errorf("walkin: handover: Config.Link %q is not a URL like https://margin.example/account/device/join", cfg.Link))
	}
	for name, l := range map[string]limit.Limit{"PerUser": cfg.PerUser, "PerNetwork": cfg.PerNetwork} {
		if err := limits.Check(l); err != nil {
			mistakes = append(mistakes, fmt.Errorf("walkin: handover: Config.%s is %w", name, err))
		}
	}
	keys, err := wk.DeriveKeys("walkin handover")
	if err != nil {
		mistakes = append(mistakes, fmt.Errorf("walkin: handover: %w", err))
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	h := &Handovers{wk: wk, cfg: cfg, keys: keys, limits: limits.Limits{Limiter: wk.Limiter()}, cookie: wk.Cookie("handover")}
	wk.ClearAtSignOut(h.cookie)
	return h, nil
}

// A state is what the store has of a handover. It changes with the user locked, in a
// transaction, so that of any number of requests on any number of replicas one is the
// first.
type state struct {
	UserID    uuid.UUID `json:"user_id"`
	SessionID uuid.UUID `json:"session_id"` // of the first browser
	Nonce     string    `json:"nonce"`      // with a key it makes the link's secret
	Code      string    `json:"code"`       // that secret, hashed
	Stage     string    `json:"stage"`
	Browser   string    `json:"browser,omitempty"` // the cookie of the second browser, hashed
	Device    string    `json:"device,omitempty"`
	Number    string    `json:"number,omitempty"`
	EndsAt    time.Time `json:"ends_at"`
}

// A place is where the state of a handover is.
type place struct {
	UserID    uuid.UUID `json:"user_id"`
	SessionID uuid.UUID `json:"session_id"`
}

func (p place) key() string { return "handover:" + p.SessionID.String() }

// hash keeps a secret out of the store: its reader must not be able to send it.
func hash(kind, secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "handover-" + kind + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// secret returns that of the link. It is made again for each page that shows it.
func secret(key []byte, p place, nonce string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(p.key() + " " + nonce))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// put stores something for as long as the handover lasts, or its user.
func (h *Handovers) put(ctx context.Context, key string, value any, s state) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return h.wk.Store().PutTicket(ctx, store.Ticket{Key: key, Data: data, ExpiresAt: s.EndsAt, UserID: s.UserID})
}

// get reads what put stored. What is not there is over.
func (h *Handovers) get(ctx context.Context, key string, value any) error {
	ticket, err := h.wk.Store().Ticket(ctx, key, time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return over()
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(ticket.Data, value)
}

// change changes a handover, with its user locked. What fn has changed is kept even if
// it refuses.
func (h *Handovers) change(ctx context.Context, at place, fn func(*state) error) error {
	st := h.wk.Store()
	var answer error
	err := st.InTx(ctx, func(ctx context.Context) error {
		user, err := st.LockUser(ctx, at.UserID)
		if errors.Is(err, store.ErrNotFound) || err == nil && !user.Anonymous {
			return over()
		}
		if err != nil {
			return err
		}
		// The handover ends with the session that began it.
		if _, err := st.LookupSession(ctx, at.UserID, at.SessionID); errors.Is(err, store.ErrSessionEnded) {
			return over()
		} else if err != nil {
			return err
		}
		var s state
		if err := h.get(ctx, at.key(), &s); err != nil {
			return err
		}
		before := s
		if answer = fn(&s); s == before {
			return nil
		}
		if s.Browser != before.Browser {
			if err := h.put(ctx, s.Browser, at, s); err != nil {
				return err
			}
		}
		return h.put(ctx, at.key(), s, s)
	})
	if err != nil {
		return err
	}
	return answer
}

func (h *Handovers) networks(r *http.Request) []limits.Bucket {
	return limits.Networks("handover:", h.wk.ClientNetworks(r), h.cfg.PerNetwork)
}

func (h *Handovers) take(ctx context.Context, buckets []limits.Bucket) error {
	_, full, err := h.limits.Take(ctx, buckets)
	if err != nil {
		return fmt.Errorf("walkin: handover: %w", err)
	}
	if full != nil {
		reason := ReasonLimitNetwork
		if full.Name == "user" {
			reason = ReasonLimitUser
		}
		return &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: reason, RetryAfter: max(full.Wait, time.Second),
			Text: texts.Of("handover.too_many", "minutes", texts.Minutes(full.Wait))}
	}
	return nil
}

func refusal(reason walkin.Reason, key string) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusConflict, Reason: reason, Text: texts.Of(key)}
}

// over says the same for every reason: a stranger learns nothing about a code.
func over() *walkin.Refusal { return refusal(walkin.ReasonHandoverOver, "handover.over") }
