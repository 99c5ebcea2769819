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
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
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

// Start begins a handover of the visitor, who is stored if they are not yet. It ends
// the one that this browser began before. It is for an unsafe request.
func (h *Handovers) Start(w http.ResponseWriter, r *http.Request) error {
	if err := h.mayGive(w, r); err != nil {
		return err
	}
	c, err := h.wk.Ensure(w, r)
	if err != nil {
		return err
	}
	buckets := append(h.networks(r), limits.Bucket{Name: "user", Key: "handover:" + c.UserID.String(), Limit: h.cfg.PerUser})
	if err := h.take(r.Context(), buckets); err != nil {
		return err
	}
	at := place{c.UserID, c.SessionID}
	s := state{UserID: c.UserID, SessionID: c.SessionID, Nonce: rand.Text(), Stage: Waiting, EndsAt: time.Now().Add(Lifetime)}
	s.Code = hash("code", secret(h.keys[0], at, s.Nonce))
	store := h.wk.Store()
	return store.InTx(r.Context(), func(ctx context.Context) error {
		if _, err := store.LockUser(ctx, c.UserID); err != nil {
			return err
		}
		if err := h.put(ctx, at.key(), s, s); err != nil {
			return err
		}
		return h.put(ctx, s.Code, at, s)
	})
}

// mayGive refuses whoever has nothing to hand over, and requests of other sites.
func (h *Handovers) mayGive(w http.ResponseWriter, r *http.Request) error {
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		return refusal(ReasonGivePermanent, "handover.give_permanent")
	}
	_, err := h.wk.StartFlow(w, r)
	return err
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

// Offered returns the handover that this browser has begun: its stage; the link and its
// QR code as an SVG, while it is [Waiting]; and what Scan was told about the other
// browser. The error is store.ErrNotFound if there is none, or the store's.
func (h *Handovers) Offered(r *http.Request) (stage, link, svg, device string, err error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok || !c.Anonymous {
		return "", "", "", "", store.ErrNotFound
	}
	at := place{c.UserID, c.SessionID}
	ticket, err := h.wk.Store().Ticket(r.Context(), at.key(), time.Now())
	if err != nil {
		return "", "", "", "", err
	}
	var s state
	if err := json.Unmarshal(ticket.Data, &s); err != nil {
		return "", "", "", "", err
	}
	if s.Stage == Waiting {
		for _, key := range h.keys { // which may have rotated
			if typed := secret(key, at, s.Nonce); hash("code", typed) == s.Code {
				link = h.cfg.Link + "?" + Parameter + "=" + typed
			}
		}
		if svg, err = image(link); err != nil {
			return "", "", "", "", err
		}
	}
	return s.Stage, link, svg, s.Device, nil
}

// Confirm takes the number that the other browser shows, and lets it go on. A wrong one
// ends the handover: whoever reads it off their own device makes no mistake twice, and
// a thief gets one guess in ten thousand.
func (h *Handovers) Confirm(w http.ResponseWriter, r *http.Request, number string) error {
	if err := h.mayGive(w, r); err != nil {
		return err
	}
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return over()
	}
	number = strings.Join(strings.Fields(number), "")
	if len(number) != digits || strings.Trim(number, "0123456789") != "" {
		return &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonNumberMissing, Text: texts.Of("handover.missing")}
	}
	return h.change(r.Context(), place{c.UserID, c.SessionID}, func(s *state) error {
		switch {
		case s.Stage == Waiting:
			return refusal(ReasonNotOpened, "handover.not_yet")
		case s.Stage == Ended:
			return over()
		case subtle.ConstantTimeCompare([]byte(s.Number), []byte(number)) != 1 && s.Stage != Joined:
			s.Stage = Ended
			return refusal(ReasonWrongNumber, "handover.wrong")
		case s.Stage == Scanned:
			s.Stage = Confirmed
		}
		return nil // the second half of a double click
	})
}

// Scan opens the code in the visitor's browser: the first one that does gets a number,
// see Scanned. A second one ends the handover, since one of the two may be a thief's.
// The device is what the first browser is told about this one, such as "phone". It is
// for an unsafe request: opening the link itself changes nothing.
func (h *Handovers) Scan(w http.ResponseWriter, r *http.Request, code, device string) error {
	c, ok := walkin.FromContext(r.Context())
	if ok && !c.Anonymous {
		return refusal(walkin.ReasonHandoverPermanent, "handover.permanent")
	}
	if _, err := h.wk.StartFlow(w, r); err != nil { // who may begin a sign-in may scan
		return err
	}
	if err := h.take(r.Context(), h.networks(r)); err != nil {
		return err
	}
	var at place
	if err := h.get(r.Context(), hash("code", code), &at); err != nil {
		return err
	}
	if ok && c.UserID == at.UserID {
		return refusal(walkin.ReasonHandoverSame, "handover.same")
	}
	value, ok := h.browser(r)
	if !ok {
		value = rand.Text()
	}
	number, err := rand.Int(rand.Reader, big.NewInt(10_000))
	if err != nil {
		return err
	}
	err = h.change(r.Context(), at, func(s *state) error {
		switch {
		case s.Code != hash("code", code), s.Stage == Ended:
			return over()
		case s.Stage == Waiting:
			s.Stage, s.Browser, s.Device = Scanned, hash("browser", value), device
			s.Number = fmt.Sprintf("%0*d", digits, number)
		case s.Browser == hash("browser", value): // the second half of a double click
		case s.Stage == Joined:
			return over()
		default:
			s.Stage = Ended
			return refusal(ReasonOpenedTwice, "handover.over")
		}
		return nil
	})
	if err != nil {
		return err
	}
	cookie := h.cookie
	cookie.Value, cookie.MaxAge = value, int(Lifetime.Seconds())
	http.SetCookie(w, &cookie)
	return nil
}

const digits = 4

// browser returns the value of the second browser's cookie, if we may have set it.
func (h *Handovers) browser(r *http.Request) (string, bool) {
	values := r.CookiesNamed(h.cookie.Name)
	if len(values) != 1 || len(values[0].Value) != len(rand.Text()) {
		return "", false
	}
	return values[0].Value, true
}

// Scanned returns the handover that this browser has opened: its stage, and the number
// to type in the first one. The error is a *[walkin.Refusal] if it is over.
func (h *Handovers) Scanned(r *http.Request) (stage, number string, err error) {
	s, err := h.scanned(r)
	return s.Stage, s.Number, err
}

func (h *Handovers) scanned(r *http.Request) (s state, err error) {
	value, ok := h.browser(r)
	if !ok {
		return s, over()
	}
	var at place
	if err = h.get(r.Context(), hash("browser", value), &at); err == nil {
		err = h.get(r.Context(), at.key(), &s)
	}
	if err != nil {
		return state{}, err
	}
	if s.Browser != hash("browser", value) || s.Stage == Ended {
		return state{}, over()
	}
	return s, nil
}

// Join lets this browser go on as the user of the first one, which has confirmed it. If
// leave is set, an anonymous user of this browser's own is left behind; otherwise the
// error says that there is one. It is for an unsafe request. Call it before the response
// begins.
func (h *Handovers) Join(w http.ResponseWriter, r *http.Request, leave bool) error {
	s, err := h.scanned(r)
	if err != nil {
		return err
	}
	err = h.wk.Join(w, r, walkin.Handover{UserID: s.UserID, SessionID: s.SessionID, Leave: leave, Redeem: func(ctx context.Context) error {
		at, browser := place{s.UserID, s.SessionID}, s.Browser
		var now state
		if err := h.get(ctx, at.key(), &now); err != nil {
			return err
		}
		switch {
		case now.Browser != browser, now.Stage == Ended:
			return over()
		case now.Stage == Scanned:
			return refusal(ReasonWaiting, "handover.waiting")
		case now.Stage == Joined:
			again := over()
			again.Err = walkin.ErrRedeemed
			return again
		}
		now.Stage = Joined
		return h.put(ctx, at.key(), now, now)
	}})
	if errors.Is(err, walkin.ErrRedeemed) {
		return nil // the second half of a double click: the first has the session
	}
	return err
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
		if _, err := st.LookupSession(ctx, at.UserID, at.SessionID); errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSessionEnded) {
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
