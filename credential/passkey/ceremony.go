package passkey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A ceremony is what a challenge was given out for. That of a registration is kept in a
// ticket, and that of a sign-in is derived again from its challenge. It is found again
// by the browser that it is bound to and by its challenge. Another browser finds
// nothing, and so cannot even spend it, and two tabs do not get into each other's way.
type ceremony struct {
	Session webauthn.SessionData `json:"session"`
	Name    string               `json:"name,omitempty"` // of the new key

	bound string // the browser that it was found for
}

// ticketKey names the ticket of a ceremony without saying what its parts are.
func ticketKey(bound, challenge string) string {
	sum := sha256.Sum256([]byte(bound + "\x00" + challenge))
	return "passkey:" + string(protocol.CreateCeremony) + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (p *Passkeys) put(ctx context.Context, bound string, c ceremony) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	user, _ := walkin.FromContext(ctx)
	return p.store.PutTicket(ctx, store.Ticket{Key: ticketKey(bound, c.Session.Challenge), Data: data,
		ExpiresAt: c.Session.Expires, UserID: user.UserID})
}

// take ends the ceremony that a response belongs to, whatever is wrong with the
// response: a challenge is for one try.
func (p *Passkeys) take(r *http.Request, challenge string) (ceremony, error) {
	for _, bound := range p.middleware.FlowIDs(r) {
		ticket, err := p.store.TakeTicket(r.Context(), ticketKey(bound, challenge), time.Now())
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return ceremony{}, err
		}
		var c ceremony
		if err := json.Unmarshal(ticket.Data, &c); err != nil {
			return ceremony{}, err
		}
		c.bound = bound
		return c, nil
	}
	return ceremony{}, ceremonyOver()
}

// takeTicket takes one ticket of the request's networks: a bot that presses the button
// without end must not fill the store. The refusal is 429.
func (p *Passkeys) takeTicket(r *http.Request) (limits.Taken, error) {
	taken, full, err := p.limits.Take(r.Context(), limits.Networks("passkey:", p.middleware.ClientNetworks(r), p.perNetwork))
	if err != nil {
		return limits.Taken{}, fmt.Errorf("walkin: passkey: %w", err)
	}
	if full != nil {
		return limits.Taken{}, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: ReasonLimit, RetryAfter: max(full.Wait, time.Second),
			Text: texts.Of("oidc.too_many", "minutes", texts.Minutes(full.Wait))}
	}
	return taken, nil
}

func ceremonyOver() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusGone, Reason: ReasonCeremony,
		Text: texts.Of("passkey.over")}
}

// unverified is the refusal of a response that the library does not accept. It finds
// the reason itself: the library's texts quote the response, which comes from the
// client.
func (p *Passkeys) unverified(client protocol.CollectedClientData, device protocol.AuthenticatorData, asked protocol.UserVerificationRequirement) *walkin.Refusal {
	refusal := &walkin.Refusal{Status: http.StatusUnauthorized, Reason: ReasonBad,
		Text: texts.Of("passkey.unverified")}
	rpID := sha256.Sum256([]byte(p.webauthn.Config.RPID))
	switch {
	case !protocol.IsOriginInHaystack(client.Origin, p.origins):
		refusal.Reason = ReasonOrigin
	case client.CrossOrigin:
		refusal.Reason = ReasonFramed
	case string(device.RPIDHash) != string(rpID[:]):
		refusal.Reason = ReasonRPID
	case asked == protocol.VerificationRequired && !device.Flags.UserVerified():
		refusal.Reason = ReasonUserUnverified
		refusal.Message = "Your device did not ask for its PIN, your finger or your face. Please set one up there and try again."
	}
	return refusal
}

// An account is a user as the library wants one.
type account struct {
	handle []byte
	name   string
	keys   []webauthn.Credential
}

func (a account) WebAuthnID() []byte                         { return a.handle }
func (a account) WebAuthnName() string                       { return a.name }
func (a account) WebAuthnDisplayName() string                { return a.name }
func (a account) WebAuthnCredentials() []webauthn.Credential { return a.keys }
