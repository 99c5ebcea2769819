package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
	"golang.org/x/oauth2"
)

const roundTrip = 15 * time.Minute // as long as the cookie of StartFlow

// A ticket is what is remembered of a login flow. It is in the store, where the browser
// cannot change it and every replica finds it.
type ticket struct {
	Provider string    `json:"provider"`
	Binding  string    `json:"binding"` // of the browser, see walkin.Middleware.StartFlow
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	ReturnTo string    `json:"return_to"`
	Started  time.Time `json:"started"`
	Reproof  bool      `json:"reproof,omitempty"`
	Link     bool      `json:"link,omitempty"`
	Existing bool      `json:"existing,omitempty"`

	// Answer is what a provider posted, until the visitor's browser comes
	// for it with its cookies.
	Answer answer `json:"answer,omitzero"`
}

// A reader of the store finds no state that a browser could send.
func stateKey(state string) string   { return key("oidc-state", state) }
func postedKey(posted string) string { return key("oidc-posted", posted) }

func key(kind, secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return kind + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// start sends the visitor to a provider. FormHandler has checked that the request comes
// from a page of this site.
func (h *Handler) start(w http.ResponseWriter, r *http.Request) (string, error) {
	p := h.providers[r.FormValue("provider")]
	if p == nil {
		return "", &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonUnknownProvider,
			Text: texts.Of("oidc.unknown")}
	}
	binding, err := h.middleware.StartFlow(w, r)
	if err != nil {
		return "", err
	}
	// Before the provider is asked, too. A bot that presses the button without end must
	// not fill the store.
	taken, full, err := h.limits.Take(r.Context(), h.buckets(r))
	if err != nil {
		return "", fmt.Errorf("walkin: oidc: %w", err)
	}
	if full != nil {
		return "", &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: ReasonLimit, RetryAfter: max(full.Wait, time.Second),
			Text: texts.Of("oidc.too_many", "minutes", texts.Minutes(full.Wait))}
	}
	at, err := p.endpoints(r.Context())
	if err != nil {
		taken.GiveBack(r.Context()) // nothing is stored
		return "", providerDown(err)
	}
	now := time.Now()
	state := rand.Text()
	t := ticket{
		Provider: p.Name, Binding: binding, Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		ReturnTo: walkin.ReturnTo(r), Started: now, Reproof: r.FormValue("reproof") != "", Link: r.FormValue("link") != "",
		Existing: r.FormValue("existing") != "",
	}
	user, _ := walkin.FromContext(r.Context())
	if err := h.keep(r.Context(), stateKey(state), t, user.UserID, now.Add(roundTrip)); err != nil {
		return "", err // it may be there all the same
	}
	var options []oauth2.AuthCodeOption
	set := func(name, value string) { options = append(options, oauth2.SetAuthURLParam(name, value)) }
	for _, name := range slices.Sorted(maps.Keys(p.Params)) {
		set(name, p.Params[name])
	}
	options = append(options, oauth2.S256ChallengeOption(t.Verifier))
	if p.Fetch == nil {
		options = append(options, goidc.Nonce(t.Nonce))
	}
	if p.FormPost {
		set("response_mode", "form_post")
	}
	if t.Reproof {
		set("prompt", "login")
		set("max_age", "0") // also for auth_time, which a provider must send then
	}
	return at.oauth.AuthCodeURL(state, options...), nil
}

func (h *Handler) buckets(r *http.Request) []limits.Bucket {
	return limits.Networks("oidc:", h.middleware.ClientNetworks(r), h.perNetwork)
}

// keep stores a flow. It goes with the user who started it.
func (h *Handler) keep(ctx context.Context, key string, t ticket, user uuid.UUID, until time.Time) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return h.store.PutTicket(ctx, store.Ticket{Key: key, Data: data, ExpiresAt: until, UserID: user})
}

// take returns what was kept under a key, once. A provider that it is not for
// is a mix-up: an answer that one provider gave, sent to another's callback.
func (h *Handler) take(ctx context.Context, key, name string) (ticket, store.Ticket, error) {
	kept, err := h.store.TakeTicket(ctx, key, time.Now())
	if err != nil {
		return ticket{}, kept, notKept(err)
	}
	var t ticket
	if err := json.Unmarshal(kept.Data, &t); err != nil {
		return ticket{}, kept, err
	}
	if t.Provider != name {
		return ticket{}, kept, mixedUp()
	}
	return t, kept, nil
}
