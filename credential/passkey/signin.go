package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

func (p *Passkeys) beginSignIn(w http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	bound, err := p.middleware.StartFlow(w, r)
	if err != nil {
		return nil, err
	}
	var form struct {
		Mediation string `json:"mediation"`
	}
	_ = json.Unmarshal(body, &form) // what cannot be read asks for nothing special
	if form.Mediation == conditional {
		request, _, err := p.webauthn.BeginDiscoverableLogin(webauthn.WithChallenge(p.challenge(bound)))
		return request, err
	}
	// A permanent user's own: another account's would be refused in the end.
	own, err := p.ownKeys(r)
	if err != nil {
		return nil, err
	}
	request, _, err := p.webauthn.BeginDiscoverableLogin(webauthn.WithAllowedCredentials(own.CredentialDescriptors()), webauthn.WithChallenge(p.challenge(bound)))
	return request, err
}

// ownKeys returns the keys of a permanent visitor, and none for other visitors.
func (p *Passkeys) ownKeys(r *http.Request) (own webauthn.Credentials, err error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok || c.Anonymous {
		return nil, nil
	}
	_, records, err := p.keysOf(r.Context(), c.UserID)
	if err != nil {
		return nil, err
	}
	for _, k := range records {
		own = append(own, k.credential())
	}
	return own, nil
}

func (p *Passkeys) finishSignIn(w http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	response, err := protocol.ParseCredentialRequestResponseBytes(body)
	if err != nil {
		return nil, malformed()
	}
	c, err := p.challenged(r, response.Response.CollectedClientData.Challenge)
	if err != nil {
		return nil, err
	}
	if len(response.Response.UserHandle) == 0 {
		// A device may leave it out if it was asked for keys by name, which the
		// challenge does not say: then they are the visitor's own.
		own, err := p.ownKeys(r)
		if err != nil {
			return nil, err
		}
		for _, k := range own {
			c.Session.AllowedCredentialIDs = append(c.Session.AllowedCredentialIDs, k.ID)
		}
	}
	identity, err := p.store.Identity(r.Context(), Provider, subject(response.RawID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	k, err := recordOf(identity)
	if err != nil {
		return nil, err
	}
	proven, err := p.verify(c.Session, k, response)
	if err != nil {
		return nil, p.unverified(response.Response.CollectedClientData, response.Response.AuthenticatorData, c.Session.UserVerification)
	}
	if proven.Authenticator.CloneWarning {
		// Fails closed. A key whose counter stays at 0 has no counter, and never comes
		// here.
		return nil, &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonCloned,
			Err:  fmt.Errorf("walkin: passkey: the counter of a key of user %s went back", identity.UserID),
			Text: texts.Of("passkey.cloned")}
	}
	use := func(k *record) {
		// Of two proofs at once the later one may be stored first.
		k.SignCount = max(k.SignCount, proven.Authenticator.SignCount)
		k.BackupState, k.UsedAt = proven.Flags.BackupState, time.Now().UTC()
	}
	if err := p.update(r.Context(), identity.UserID, identity.Subject, use); err != nil {
		// They have proven who they are, even if this fails.
		p.middleware.Report(r.Context(), ReasonCounter, err)
	}
	did, err := p.middleware.Continue(w, r, walkin.Proof{
		Provider: Provider, Subject: identity.Subject, Method: k.method(), FlowID: c.bound,
		Redeem: func(ctx context.Context) error {
			// A key that was removed a moment ago must not come back with an owner.
			again, err := p.store.Identity(ctx, Provider, identity.Subject)
			if errors.Is(err, store.ErrNotFound) || err == nil && again.UserID != identity.UserID {
				return unknown()
			}
			if err != nil {
				return err
			}
			return p.useUp(ctx, c.Session)
		}})
	return outcomeOf(r, did), err
}

func unknown() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: ReasonUnknown,
		Text: texts.Of("passkey.unknown")}
}

// verify checks the response of a key. If keys were asked for by name, a device may
// leave out the user handle, and the key must be among them.
func (p *Passkeys) verify(session webauthn.SessionData, k record, response *protocol.ParsedCredentialAssertionData) (*webauthn.Credential, error) {
	user := account{handle: k.Handle, keys: []webauthn.Credential{k.credential()}}
	if len(session.AllowedCredentialIDs) == 0 {
		_, proven, err := p.webauthn.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return user, nil }, session, response)
		return proven, err
	}
	if !slices.ContainsFunc(session.AllowedCredentialIDs, func(id []byte) bool { return string(id) == string(k.ID) }) {
		return nil, errors.New("walkin: passkey: a key that was not asked for")
	}
	session.UserID, session.AllowedCredentialIDs = k.Handle, nil // all of them are the visitor's, and this one is among them
	return p.webauthn.ValidateLogin(user, session, response)
}
