// Package code proves an e-mail address or a phone number by a code that is sent to it.
// The visitor types the code in, or follows a link that carries it. A [Codes] is a
// [walkin.Credential], for UpgradeHandler and SignInHandler. Its own handlers send the
// code and serve the link:
//
//	codes, err := code.New(wk, code.Config{Sender: sender, Link: "https://example.com/code"})
//	…
//	mux.Handle("/signin/send", codes.SendHandler("/signin", addressPage))
//	mux.Handle("/signin", wk.SignInHandler(codes, codePage))
//	mux.Handle("/code", codes.LinkHandler(nil))
//
// Name the first and the last in walkin.Config.Paths.Credentials, so that asking for a
// code creates no user.
//
// # One answer for every address
//
// To prove an address is to own it: the code signs in to the account of that address,
// and creates one if there is none. So signing up, signing in, linking and proving
// again are one thing. Both forms send a code to every address, with the same answer
// after the same work. Only the message says whether there is an account, see
// Message.Owned, and only its recipient can read that.
//
// # What a code is bound to
//
// A code is bound to the browser that asked for it, by walkin.Middleware.StartFlow. A
// browser has one code at a time: asking again, also for another address, ends the
// previous one. A code lives for ten minutes and for five tries, counted over all
// replicas. It ends with the session: after an upgrade, a sign-in by other means or a
// sign-out it is worth nothing. A second click within ten seconds counts as the same
// click. It gets the same answer while the session that the first one opened is alive.
//
// # What is stored
//
// Until it is proven, an address is in a ticket and in no identity. It is not unique,
// signs in no user, and does not keep other users from proving it. The ticket holds an
// HMAC of the code, since a million tries undo any plain hash of six digits. Codes are
// in no error and no log of ours.
//
// # What it does not do
//
// It does not stop its owner from typing a code into another site's page: a message has
// to say where the code belongs. It does not know whether a phone number has passed on
// to a new owner. It protects a mailbox from floods, and an account from guesses, by
// limits. Each process counts these for itself unless walkin.Config.Limiter is shared.
package code

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/internal/numerals"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

const (
	lifetime = 10 * time.Minute // NIST SP 800-63B, 5.1.3.2, allows no more
	tries    = 5

	// sameClick is how long the same browser may send a code again after it was used.
	sameClick = 10 * time.Second

	maxReturnTo = 2048 // bytes; the same as in walkin
)

// A Codes sends codes and checks them. Make one with [New]. Its methods may be called
// concurrently; it starts no goroutine.
type Codes struct {
	cfg      Config // with all defaults filled in
	wk       *walkin.Middleware
	store    store.Store
	provider string
	keys     [][]byte // derived, for every MAC: the first signs, all verify
	limits   limits.Limits
	mark     http.Cookie // that marks the browser which asked, without its value
}

var _ walkin.Credential = (*Codes)(nil)

// A pending code is the data of a ticket.
type pending struct {
	Address  string `json:"address"`
	Binding  string `json:"binding"`
	Browser  string `json:"browser"` // that asked, see mark; no two are alike
	MAC      []byte `json:"mac"`
	Secret   []byte `json:"secret,omitempty"` // of Config.Secret
	ReturnTo string `json:"return_to,omitempty"`
	Device   string `json:"device,omitempty"` // in whose own limits the message counts, if in any
}

// Send sends a code to an address, for the browser that asks. The code replaces the
// browser's previous one. Send writes nothing but cookies. The answer is the caller's,
// and must be the same whether the address has an account or not.
//
// An error that the visitor can fix is a *[walkin.Refusal] for
// walkin.Middleware.Refuse: 422 for an invalid address, 429 at a limit, 503 when the
// message could not be sent or the store does not answer. 403 and 405 come from
// walkin.Middleware.StartFlow.
//
// It waits for the Sender, for Config.Timeout at most, also when the client has gone
// away.
func (c *Codes) Send(w http.ResponseWriter, r *http.Request, address string) error {
	binding, err := c.wk.StartFlow(w, r)
	if err != nil {
		return err
	}
	if address, err = c.cfg.Normalise(address); err != nil {
		return err
	}
	// The same lookup for an address with an account and for one without. It is done
	// before the limits: a browser that the address's owner has used before has its own
	// limits.
	identity, err := c.store.Identity(r.Context(), c.provider, address)
	owned := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	device := ""
	taken, err := c.take(r.Context(), c.buckets(r, binding, address, ""))
	if _, full := errors.AsType[*walkin.Refusal](err); full {
		// Only when others have used up the common limits: what a known device has
		// besides is little, since a proof does not give it back.
		if name, known := c.wk.KnownDevice(r, identity); known {
			device = name
			taken, err = c.take(r.Context(), c.buckets(r, binding, address, device))
		}
	}
	if err != nil {
		return err
	}
	var secret []byte
	if c.cfg.Secret != nil {
		secret = c.again(r, address)
	}
	if c.cfg.Secret != nil && secret == nil {
		// Behind the limits, since it costs a hash.
		if secret, err = c.cfg.Secret(r); err != nil {
			taken.GiveBack(r.Context())
			return err
		}
	}
	typed, err := c.put(w, r, pending{Address: address, Binding: binding, Secret: secret, Device: device})
	if err != nil {
		return err
	}
	message := Message{Kind: c.cfg.Kind, To: address, Code: typed, Owned: owned, ExpiresIn: lifetime, Texts: c.wk.Texts(r)}
	if c.cfg.Link != "" {
		message.Link = c.cfg.Link + "?" + linkParameter + "=" + typed
	}
	// A client that hangs up must not get a message that counts for nothing.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.cfg.Timeout)
	defer cancel()
	if err := c.cfg.Sender.Send(ctx, message); err != nil {
		if ctx.Err() == nil {
			// Nothing was sent, or after a timeout perhaps it was. What was taken from
			// the browser and the network stays taken: without that limit, any client
			// could ask the relay which mailboxes exist.
			taken.Of(isOfAddress).GiveBack(ctx)
		}
		return &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonSendFailed, Err: err, RetryAfter: 30 * time.Second,
			Text: texts.Of("code.not_sent")}
	}
	return nil
}

// again returns the secret that goes on with another code: a page that sends one again
// does not ask for the password a second time. Only for the browser that chose it, which
// has the mark of the code before: one that shares a planted session has another.
func (c *Codes) again(r *http.Request, address string) []byte {
	if r.Form.Get(againField) == "" {
		return nil
	}
	if p, ok := c.pending(r); ok && p.Address == address && p.Browser != "" && p.Browser == c.browser(r) {
		return p.Secret
	}
	return nil
}

// put makes a code and keeps its ticket, the only one of this browser.
func (c *Codes) put(w http.ResponseWriter, r *http.Request, p pending) (typed string, err error) {
	typed = c.newCode()
	p.Browser = c.setMark(w)
	if to := r.Form.Get("return_to"); len(to) <= maxReturnTo {
		p.ReturnTo = to
	}
	p.MAC = mac(c.keys[0], p, typed)
	// A browser that asked without a user, and then again as a new user, has two
	// names. It must not have two codes, with five tries each.
	for _, name := range c.wk.FlowIDs(r) {
		if name == p.Binding {
			continue
		}
		if _, err := c.store.TakeTicket(r.Context(), c.ticketKey(name), time.Now()); err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	user, _ := walkin.FromContext(r.Context())
	return typed, c.store.PutTicket(r.Context(), store.Ticket{Key: c.ticketKey(p.Binding), Data: data, Tries: tries,
		ExpiresAt: time.Now().Add(lifetime), UserID: user.UserID})
}

// newCode returns Config.Digits digits, each code as likely as any other.
func (c *Codes) newCode() string {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.cfg.Digits)), nil)
	n, _ := rand.Int(rand.Reader, most) // never fails
	return fmt.Sprintf("%0*d", c.cfg.Digits, n)
}

// ticketKey is what a ticket is found by: one for a browser and a kind of
// address, whatever the code is for.
func (c *Codes) ticketKey(binding string) string { return "code:" + c.provider + ":" + binding }

// usedKey is where the ticket of a code goes that was used.
func (c *Codes) usedKey(browser string) string { return "code:" + c.provider + ":used:" + browser }

// mac binds a code to all that it is for.
func mac(key []byte, p pending, typed string) []byte {
	return sum(key, "code", p.Binding, p.Browser, p.Address, string(p.Secret), typed)
}

// isRight reports whether a code is the one that was sent, under whichever key.
func (c *Codes) isRight(p pending, typed string) bool {
	return slices.ContainsFunc(c.keys, func(key []byte) bool { return hmac.Equal(p.MAC, mac(key, p, typed)) })
}

// sum authenticates a list of strings: no two lists look alike to it.
func sum(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash returns no error
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// SignUp implements [walkin.Credential]: it reads the code from the form, and returns a
// proof of the address that it was sent to. Each call spends a try. The proof's Redeem
// uses the code up. An error that the visitor can fix is a *[walkin.Refusal]: 422 for
// what is not a code, 401 for a wrong or an expired one; 400, 413 or 415 for an invalid
// form; 503 when the store does not answer.
func (c *Codes) SignUp(r *http.Request) (walkin.Proof, error) { return c.proof(r) }

// SignIn implements [walkin.Credential]; it does what SignUp does.
func (c *Codes) SignIn(r *http.Request) (walkin.Proof, error) { return c.proof(r) }

func (c *Codes) proof(r *http.Request) (walkin.Proof, error) {
	if err := form.Parse(r); err != nil {
		return walkin.Proof{}, err
	}
	typed, err := form.Field(r, c.cfg.CodeField)
	if err != nil {
		return walkin.Proof{}, err
	}
	return c.SignInWith(r, typed)
}

// SignInWith is SignIn, and SignUp, with a code that the app has read itself, such as
// from JSON. Of the request it uses the cookies and where it comes from. Pass the proof to
// [walkin.Middleware.Continue], which refuses requests of other sites.
func (c *Codes) SignInWith(r *http.Request, typed string) (walkin.Proof, error) {
	typed, ok := c.isCode(typed)
	if !ok {
		return walkin.Proof{}, form.Unfit(ReasonNoCode, "code.missing", "count", c.cfg.Digits)
	}
	ticket, used, err := c.try(r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return walkin.Proof{}, over()
	case err != nil:
		return walkin.Proof{}, err
	}
	var p pending
	if err := json.Unmarshal(ticket.Data, &p); err != nil {
		return walkin.Proof{}, fmt.Errorf("walkin: code: a stored ticket: %w", err)
	}
	key := c.ticketKey(p.Binding)
	if used {
		key = c.usedKey(p.Browser)
	}
	switch {
	case c.isRight(p, typed) && ticket.Key == key:
	case ticket.Tries == 0:
		return walkin.Proof{}, wrong(ReasonWrongCodeLast, "wrong_code", "code.wrong_last")
	default:
		return walkin.Proof{}, wrong(ReasonWrongCode, "wrong_code", "code.wrong")
	}
	if len(p.Secret) > 0 && c.browser(r) != p.Browser {
		return walkin.Proof{}, wrong(ReasonOtherBrowser, "", "code.other_browser")
	}
	proof := walkin.Proof{Provider: c.provider, Subject: p.Address, Method: "otp", Secret: p.Secret, Device: true, FlowID: p.Binding,
		Redeem: func(ctx context.Context) error {
			if used {
				return redeemed()
			}
			return c.use(ctx, r, ticket, p.Browser)
		}}
	if ticket.Tries == tries-1 && p.Device == "" {
		// The first try; a code that was used has spent it. There is one for each message, and so it is given back once,
		// whether the proof succeeds or not. What the browser and the network took
		// stays taken: a fraudster who is paid for messages to their own numbers proves
		// them all. What a device has for itself is not given back either: no network
		// counts it.
		c.limits.GiveBack(r.Context(), c.addressBuckets(r, p.Address, ""))
	}
	return proof, nil
}

// isCode returns a code as it was sent, from the ways in which visitors type it.
func (c *Codes) isCode(typed string) (string, bool) {
	if len(typed) > 64 {
		return "", false
	}
	typed = numerals.ASCII(typed)
	return typed, len(typed) == c.cfg.Digits && strings.Trim(typed, "0123456789") == ""
}

// try spends one of the tries of this browser's code before it compares anything: so a
// hundred concurrent guesses get no further than a hundred in a row. It looks for the
// code under the session first, and takes the first one found. If there is none, the
// code may be one that was used a moment ago.
func (c *Codes) try(r *http.Request) (ticket store.Ticket, used bool, err error) {
	for _, binding := range c.wk.FlowIDs(r) {
		ticket, err = c.store.TryTicket(r.Context(), c.ticketKey(binding), time.Now())
		if !errors.Is(err, store.ErrNotFound) {
			return ticket, false, err
		}
	}
	browser := c.browser(r)
	if browser == "" {
		return store.Ticket{}, false, store.ErrNotFound
	}
	ticket, err = c.store.TryTicket(r.Context(), c.usedKey(browser), time.Now())
	return ticket, true, err
}

// use ends a code that was right, in the transaction of the change that it is for: a
// visitor who was stopped by a failure can try again. For a moment the code can still
// be recognised, in the browser that it was typed in and with the tries that are left.
// The second half of a double click is the one whose answer is seen, and Continue
// answers it as it answered the first. use refuses when another code took the place of
// this one, which stays as it is.
func (c *Codes) use(ctx context.Context, r *http.Request, tried store.Ticket, browser string) error {
	now := time.Now()
	ticket, err := c.store.TakeTicket(ctx, tried.Key, now)
	if errors.Is(err, store.ErrNotFound) && c.browser(r) == browser {
		_, err = c.store.Ticket(ctx, c.usedKey(browser), now) // the other half was faster
		if err == nil {
			return redeemed()
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !bytes.Equal(ticket.Data, tried.Data):
		return over()
	case err != nil:
		return err
	}
	ticket.Key = c.usedKey(browser)
	if until := now.Add(sameClick); until.Before(ticket.ExpiresAt) {
		ticket.ExpiresAt = until
	}
	return c.store.PutTicket(ctx, ticket)
}

// Pending returns the address that this browser's last code was sent to, for the page
// that asks for the code. ok is false when no code still works, and when the store does
// not answer. Show the address to the visitor alone.
func (c *Codes) Pending(r *http.Request) (address string, ok bool) {
	p, ok := c.pending(r)
	return p.Address, ok
}

// pending looks without spending a try, and so must compare nothing.
func (c *Codes) pending(r *http.Request) (pending, bool) {
	for _, binding := range c.wk.FlowIDs(r) {
		ticket, err := c.store.Ticket(r.Context(), c.ticketKey(binding), time.Now())
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		var p pending
		if err == nil {
			err = json.Unmarshal(ticket.Data, &p)
		}
		if err != nil {
			c.wk.Report(r.Context(), ReasonPending, err)
			return pending{}, false
		}
		return p, ticket.Tries > 0
	}
	return pending{}, false
}

func over() *walkin.Refusal {
	return wrong(ReasonOver, "code_expired", "code.over")
}

// redeemed is the refusal of a code that was used a moment ago, when Continue finds no
// live session of it.
func redeemed() *walkin.Refusal {
	refusal := over()
	refusal.Err = walkin.ErrRedeemed
	return refusal
}

func wrong(reason walkin.Reason, code, key string) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: reason, Code: code, Text: texts.Of(key)}
}
