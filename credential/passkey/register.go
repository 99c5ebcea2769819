package passkey

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// leastTime is how long a visitor needs to find their key, touch it and wait.
const leastTime = time.Minute

// An outcome answers a ceremony that is complete. A client without cookies finds its
// new token there, since the old one may have ended.
type outcome struct {
	Outcome   walkin.Outcome `json:"outcome"`
	Token     string         `json:"access_token,omitempty"`
	Type      string         `json:"token_type,omitempty"`
	ExpiresAt int64          `json:"expires_at,omitempty"` // in Unix seconds
}

func outcomeOf(r *http.Request, did walkin.Outcome) outcome {
	token, ok := walkin.IssuedToken(r.Context())
	if !ok {
		return outcome{Outcome: did}
	}
	return outcome{did, token.Text, "bearer", token.ExpiresAt.Unix()}
}

func (p *Passkeys) beginRegister(w http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	bound, err := p.middleware.StartFlow(w, r)
	if err != nil {
		return nil, err
	}
	var form struct {
		Name      string `json:"name"`
		Mediation string `json:"mediation"`
	}
	if json.Unmarshal(body, &form) != nil {
		return nil, malformed()
	}
	if form.Name, err = checkName(form.Name); err != nil {
		return nil, err
	}
	c, ok := walkin.FromContext(r.Context())
	automatic := form.Mediation == conditional
	// A key that a browser makes without asking is one more of an account that was just
	// proven. It makes no account.
	switch {
	case automatic && !ok:
		return nil, &walkin.Refusal{Status: http.StatusUnauthorized, Reason: walkin.ReasonNoUser}
	case automatic && c.Anonymous:
		return nil, walkin.ErrAnonymous
	}
	taken, err := p.takeTicket(r)
	if err != nil {
		return nil, err
	}
	user := account{name: p.nameFor(r)}
	timeout := ceremonyTime
	if ok && !c.Anonymous {
		// Continue would say so in the end, and the device would have a key that
		// belongs to nothing.
		left := p.recentProof - time.Since(c.ProvenAt)
		if left < min(leastTime, p.recentProof/2) {
			return nil, &walkin.Refusal{Status: http.StatusForbidden, Reason: walkin.ReasonNotRecent,
				Text: texts.Of("error.not_recent")}
		}
		timeout = min(timeout, left)
		_, records, err := p.keysOf(r.Context(), c.UserID)
		if err != nil {
			return nil, err
		}
		for _, k := range records {
			user.handle = records[0].Handle
			user.keys = append(user.keys, k.credential())
		}
	}
	if user.handle == nil {
		// A device keeps one key for each handle, and forgets the one it had. So a
		// user's keys share one handle: the device's own list keeps it from making a
		// second. A new user's handle is new, even if another user was at this browser
		// before.
		user.handle = make([]byte, 32)
		rand.Read(user.handle)
	}
	mediation, verification := protocol.MediationDefault, protocol.VerificationRequired
	if automatic {
		// The device is not asked: it verifies its user when the key signs in.
		mediation, verification = protocol.MediationConditional, protocol.VerificationPreferred
	}
	options, session, err := p.webauthn.BeginMediatedRegistration(user, mediation,
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()),
		webauthn.WithExclusions(webauthn.Credentials(user.keys).CredentialDescriptors()),
		func(o *protocol.PublicKeyCredentialCreationOptions) error {
			o.Timeout, o.AuthenticatorSelection.UserVerification = int(timeout.Milliseconds()), verification
			return nil
		})
	if err != nil {
		return nil, err
	}
	if err := p.put(r.Context(), bound, ceremony{Session: *session, Name: form.Name}); err != nil {
		taken.GiveBack(r.Context())
		return nil, err
	}
	return options, nil
}

// transports returns the known transports of those that a browser named. Otherwise the
// store would hold whatever the browser says.
func transports(said []protocol.AuthenticatorTransport) []protocol.AuthenticatorTransport {
	known := []protocol.AuthenticatorTransport{protocol.BLE, protocol.Hybrid, protocol.Internal, protocol.NFC, protocol.SmartCard, protocol.USB}
	return slices.DeleteFunc(known, func(t protocol.AuthenticatorTransport) bool { return !slices.Contains(said, t) })
}

func (p *Passkeys) nameFor(r *http.Request) string {
	if p.userName != nil {
		if name := p.userName(r); name != "" {
			return name
		}
	}
	return p.webauthn.Config.RPDisplayName + ", " + time.Now().Format("2 January 2006")
}

func (p *Passkeys) finishRegister(w http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	response, err := protocol.ParseCredentialCreationResponseBytes(body)
	if err != nil {
		return nil, malformed()
	}
	c, err := p.take(r, response.Response.CollectedClientData.Challenge)
	if err != nil {
		return nil, err
	}
	made := &response.Response.AttestationObject
	// We asked for no attestation. One that came all the same is ignored: parsers of
	// certificates must not see a client's input.
	made.Format, made.AttStatement = string(protocol.AttestationFormatNone), nil
	key, err := p.webauthn.CreateCredential(account{handle: c.Session.UserID}, c.Session, response)
	if err != nil {
		return nil, p.unverified(response.Response.CollectedClientData, made.AuthData, c.Session.UserVerification)
	}
	if !usable(key.PublicKey) {
		return nil, &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonUnusable,
			Text: texts.Of("passkey.unusable")}
	}
	k := record{
		ID: key.ID, PublicKey: key.PublicKey, Handle: c.Session.UserID, Name: c.Name,
		SignCount: key.Authenticator.SignCount, AAGUID: key.Authenticator.AAGUID, Transports: transports(key.Transport),
		BackupEligible: key.Flags.BackupEligible, BackupState: key.Flags.BackupState,
	}
	secret, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	// New: to make a key proves that one has it, and nothing about an identity that
	// exists. The browser states the ID; with that of another user's key it must open
	// nothing.
	proof := walkin.Proof{Provider: Provider, Subject: subject(k.ID), Method: k.method(), Secret: secret, Chosen: true, FlowID: c.bound}
	if c.Session.Mediation == protocol.MediationConditional {
		// The browser has made it without its user, so no one has proven anything: the
		// session stays as old as it is, and as strong.
		user, ok := walkin.FromContext(r.Context())
		if !ok || user.Anonymous {
			return nil, ceremonyOver()
		}
		proof.Method, proof.At = user.Method, user.ProvenAt
	}
	did, err := p.middleware.Continue(w, r, proof)
	if errors.Is(err, store.ErrIdentityTaken) {
		return nil, &walkin.Refusal{Status: http.StatusConflict, Reason: walkin.ReasonIdentityTaken, Err: err,
			Text: texts.Of("passkey.known")}
	}
	return outcomeOf(r, did), err
}
