package supabasewalkin

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
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
	"github.com/walkin-go/walkin/internal/numerals"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// The codes of credential/code belong to the browser that asked. These clients check a
// code in a request that shows nothing but the API key. So here a code belongs to its
// address and its purpose. The request that brings the code gets in its answer what the
// code leads to. A code is stored as an HMAC, with five tries and one use.

const (
	codeLife  = time.Hour
	codeTries = 5
	flowLife  = 5 * time.Minute // of the code that PKCE exchanges
)

// A pending is what a code or link leads to.
type pending struct {
	Kind    string `json:"kind"`
	Address string `json:"address"`
	MAC     []byte `json:"mac,omitempty"`  // of the code
	Link    string `json:"link,omitempty"` // the key of the link's ticket

	// As is the session that asked for a change of address: the change is its user's,
	// and ends with it.
	As *walkin.Claims `json:"as,omitempty"`

	Secret    []byte         `json:"secret,omitempty"` // the hash of a password that was chosen with it
	Metadata  map[string]any `json:"metadata,omitempty"`
	Challenge string         `json:"challenge,omitempty"` // of PKCE, S256
	Browser   string         `json:"browser,omitempty"`   // the mark of the one that asked, without PKCE
	Target    uuid.UUID      `json:"target,omitzero"`     // whose address an admin has changed by it
	Asker     []byte         `json:"asker,omitempty"`     // the MAC of the password that was chosen with it, worth nothing without the keys
	Contested bool           `json:"contested,omitempty"` // another has asked for the address, see contest
}

// group is the purpose that codes share: clients ask for them by several names.
func group(kind string) string {
	switch kind {
	case "signup", "magiclink", "invite", "email":
		return "signin"
	case "email_change_current", "email_change_new":
		return "email_change"
	}
	return kind
}

func codeKey(kind, address string) string { return hashed("supabase-code:"+group(kind)+":", address) }

func linkKey(token string) string { return hashed("supabase-link:", token) }

// hashed is a key that neither holds a secret nor an address.
func hashed(prefix, text string) string {
	sum := sha256.Sum256([]byte(text))
	return prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (h *Handler) mac(key []byte, p pending, code string) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s%d:%s%s", len(p.Address), p.Address, len(group(p.Kind)), group(p.Kind), code)
	return mac.Sum(nil)
}

// A mailed is what goes out for a pending.
type mailed struct{ code, token string }

// keep stores what a new code leads to, in place of the code before.
func (h *Handler) keep(ctx context.Context, p pending) (mailed, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return mailed{}, err
	}
	m := mailed{code: fmt.Sprintf("%06d", n)}
	var random [28]byte
	_, _ = rand.Read(random[:]) // never fails
	m.token = hex.EncodeToString(random[:])
	if p.Challenge != "" {
		m.token = "pkce_" + m.token
	}
	p.MAC, p.Link = h.mac(h.keys[0], p, m.code), linkKey(m.token)
	data, err := json.Marshal(p)
	if err != nil {
		return mailed{}, err
	}
	key, until := codeKey(p.Kind, p.Address), time.Now().Add(codeLife)
	user := cmp.Or(userOf(p.As), p.Target)
	if err := h.store.PutTicket(ctx, store.Ticket{Key: key, Data: data, Tries: codeTries, ExpiresAt: until, UserID: user}); err != nil {
		return mailed{}, err
	}
	link, _ := json.Marshal(key)
	return m, h.store.PutTicket(ctx, store.Ticket{Key: p.Link, Data: link, Tries: reads, ExpiresAt: until, UserID: user})
}

var errExpired = fail(http.StatusForbidden, "otp_expired", "Token has expired or is invalid")

// byCode returns what a code leads to. Each wrong one costs a try.
func (h *Handler) byCode(ctx context.Context, kind, address, code string) (pending, error) {
	ticket, err := h.store.TryTicket(ctx, codeKey(kind, address), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return pending{}, errExpired
	} else if err != nil {
		return pending{}, err
	}
	var p pending
	if err := json.Unmarshal(ticket.Data, &p); err != nil {
		return pending{}, err
	}
	code = numerals.ASCII(code) // as visitors type or copy it
	right := 0
	for _, key := range h.keys {
		right |= subtle.ConstantTimeCompare(p.MAC, h.mac(key, p, code))
	}
	if right == 0 {
		return pending{}, errExpired
	}
	// A kind of its own: a visitor may type the code of a sign-up where a code to sign
	// in is asked for. They then get no password that they may not have chosen.
	if kind != p.Kind {
		p.Secret = nil
	}
	return p, nil
}

// byLink returns what a link leads to, which it does until it is used.
func (h *Handler) byLink(ctx context.Context, token string) (pending, error) {
	link, err := h.store.Ticket(ctx, linkKey(token), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return pending{}, errExpired
	} else if err != nil {
		return pending{}, err
	}
	var key string
	if err := json.Unmarshal(link.Data, &key); err != nil {
		return pending{}, err
	}
	ticket, err := h.store.Ticket(ctx, key, time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return pending{}, errExpired
	} else if err != nil {
		return pending{}, err
	}
	var p pending
	if err := json.Unmarshal(ticket.Data, &p); err != nil {
		return pending{}, err
	}
	if p.Link != linkKey(token) {
		return pending{}, errExpired // a newer code took its place
	}
	return p, nil
}

// spend deletes what a pending depends on, in the transaction of what it leads to. If
// two requests bring one code, one of them succeeds.
func (h *Handler) spend(p pending) func(context.Context) error {
	return func(ctx context.Context) error {
		ticket, err := h.store.TakeTicket(ctx, codeKey(p.Kind, p.Address), time.Now())
		if errors.Is(err, store.ErrNotFound) {
			return spent()
		} else if err != nil {
			return err
		}
		var again pending
		if err := json.Unmarshal(ticket.Data, &again); err != nil {
			return err
		}
		if again.Link != p.Link {
			return spent() // a newer one, whose own code is still to come
		}
		_, err = h.store.TakeTicket(ctx, p.Link, time.Now())
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
}

func spent() error {
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonOTPExpired, Err: errExpired}
}

// send makes a code and sends it. The answer takes no longer for an address that is
// known, and says no more.
func (h *Handler) send(c *call, p pending, redirectTo string) error {
	if h.sender(p.Address) == nil {
		return noSender(p.Address)
	}
	if err := h.takeSend(c, p.Address); err != nil {
		return err
	}
	if p.Challenge == "" && p.Browser == "" { // one that is sent again stays with the browser that asked first
		p.Browser = h.bind(c)
	}
	if err := h.contest(c.Context(), &p); err != nil {
		return err
	}
	m, err := h.keep(c.Context(), p)
	if err != nil {
		return err
	}
	message := Message{To: p.Address, Kind: p.Kind, Code: m.code}
	if strings.Contains(p.Address, "@") && p.Kind != "reauthentication" {
		message.Link = h.mailLink(m, p, redirectTo)
	}
	return h.deliver(c, message)
}

// contest looks at what is pending for an address. Its owner gets a message for each who
// asks, and types the newest code, so a stranger who asks last would have their password
// on the owner's account. Where it is not the same one who asked before, no password
// comes along, the owner's neither: who of them is the owner is not known. It stays so
// until none is pending.
func (h *Handler) contest(ctx context.Context, p *pending) error {
	ticket, err := h.store.Ticket(ctx, codeKey(p.Kind, p.Address), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	var before pending
	if err := json.Unmarshal(ticket.Data, &before); err != nil {
		return err
	}
	if p.Contested = before.Contested || !isSameAsker(before, *p); p.Contested {
		p.Secret = nil
	}
	return nil
}

// isSameAsker reports whether two requests for an address are surely one user's: of one
// user, from one browser, or with one password. A password is not compared by its hash,
// which is another each time.
func isSameAsker(a, b pending) bool {
	if a.As != nil || b.As != nil {
		return userOf(a.As) == userOf(b.As)
	}
	return a.Browser != "" && a.Browser == b.Browser || len(a.Asker) > 0 && hmac.Equal(a.Asker, b.Asker)
}

// sender returns what sends to an address, or nil.
func (h *Handler) sender(address string) func(context.Context, Message) error {
	if kindOf(address) == byPhone {
		return h.cfg.SendSMS
	}
	return h.cfg.Send
}

func noSender(address string) error {
	return fail(http.StatusBadRequest, kindOf(address)+"_provider_disabled", "Messages cannot be sent to such an address here")
}

// deliver sends a message. If that fails, the reason is for the operator. It is not a
// 5xx, since the client would try again by itself, and send once more.
func (h *Handler) deliver(c *call, m Message) error {
	err := h.sender(m.To)(c.Context(), m)
	if err == nil {
		return nil
	}
	h.wk.Refuse(&captured{header: http.Header{}}, c.Request, &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonSendFailed, Err: err})
	code := "email_address_not_authorized"
	if kindOf(m.To) == byPhone {
		code = "sms_send_failed"
	}
	return fail(http.StatusUnprocessableEntity, code, "The message could not be sent")
}

// mailLink is the one in a message.
func (h *Handler) mailLink(m mailed, p pending, redirectTo string) string {
	// As the original spells it, with colons and slashes unescaped, for clients that
	// parse the link.
	to := strings.NewReplacer("%3A", ":", "%2F", "/").Replace(url.QueryEscape(h.redirect(redirectTo, p.Challenge != "")))
	kind := p.Kind
	if group(kind) == "email_change" {
		kind = "email_change"
	}
	return h.cfg.URL + "/verify?token=" + m.token + "&type=" + kind + "&redirect_to=" + to
}

// A bucket is one of a limit.
type bucket struct {
	key   string
	limit limit.Limit
}

// networks returns the buckets of the network that asks.
func (h *Handler) networks(c *call, prefix string, limit limit.Limit) (buckets []bucket) {
	for _, network := range h.wk.ClientNetworks(c.Request) {
		buckets = append(buckets, bucket{prefix + network, limit})
	}
	return buckets
}

// takeAll takes one of each bucket, or reports that one is full. All are looked at before
// anything is taken: a network that is full must not use up an address.
func (h *Handler) takeAll(c *call, buckets []bucket) (isFull bool, err error) {
	now := time.Now()
	for n := range 2 {
		for _, b := range buckets {
			verdict, err := h.limiter.Take(c.Context(), b.key, b.limit, n, now)
			if err != nil {
				return false, err
			}
			if !verdict.OK {
				c.w.Header().Set("Retry-After", fmt.Sprint(int(verdict.RetryAfter/time.Second)+1))
				return true, nil
			}
		}
	}
	return false, nil
}

// takeSend counts a message against its address and against the network that asks.
func (h *Handler) takeSend(c *call, address string) error {
	wide := h.cfg.SendLimit
	wide.Count *= 4
	isFull, err := h.takeAll(c, append(h.networks(c, "supabase-send:", wide), bucket{"supabase-send:" + hashed("", address), h.cfg.SendLimit}))
	switch {
	case err != nil || !isFull:
		return err
	case kindOf(address) == byPhone:
		return fail(http.StatusTooManyRequests, "over_sms_send_rate_limit", "SMS rate limit exceeded")
	}
	return fail(http.StatusTooManyRequests, "over_email_send_rate_limit", "email rate limit exceeded")
}
