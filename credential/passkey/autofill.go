package passkey

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/walkin-go/walkin/store"
)

// A browser that suggests passkeys in a field needs a challenge before anything was
// pressed: at every view of the page, by a visitor or a bot. And a bot presses the
// button as often as it likes. A ticket for each would let bots fill the store. So the
// challenges of sign-ins are not stored: each states its own expiry, and a MAC shows
// that it is ours and which browser it is for. What is stored, once a key has signed
// one, is that it was used.
//
// A challenge is the time, a random number, and the MAC over both and the browser.
const (
	stampSize   = 8 + 16
	suggestSize = stampSize + sha256.Size

	// usedFor is how long after its end a challenge is still known as used: for
	// a replica whose clock is behind.
	usedFor = time.Minute
)

// conditional is what the browser's API calls it.
const conditional = "conditional"

// challenge returns a new one for a browser.
func (p *Passkeys) challenge(bound string) []byte {
	challenge := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(ceremonyTime).Unix()))
	challenge = append(challenge, make([]byte, stampSize-len(challenge))...)
	rand.Read(challenge[8:]) // never fails
	return append(challenge, mac(p.keys[0], bound, challenge)...)
}

// mac binds a challenge to a browser, whose name has no NUL in it.
func mac(key []byte, bound string, stamp []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(bound + "\x00"))
	h.Write(stamp)
	return h.Sum(nil)
}

// challenged returns the ceremony of a challenge that this site made for this browser.
// Any other is refused.
func (p *Passkeys) challenged(r *http.Request, challenge string) (ceremony, error) {
	b, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(b) != suggestSize {
		return ceremony{}, ceremonyOver()
	}
	for _, bound := range p.middleware.FlowIDs(r) {
		if !slices.ContainsFunc(p.keys, func(key []byte) bool { return hmac.Equal(b[stampSize:], mac(key, bound, b[:stampSize])) }) {
			continue
		}
		expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
		// One of next year was made by an attacker who has the key, and not by us.
		if now := time.Now(); !now.Before(expires) || expires.After(now.Add(ceremonyTime+usedFor)) {
			return ceremony{}, ceremonyOver()
		}
		// The change checks again. But a copied answer of a key does not mean a copied
		// key, and the counter would take it for one.
		if _, err := p.store.Ticket(r.Context(), usedKey(challenge), time.Now()); err == nil {
			return ceremony{}, ceremonyOver()
		} else if !errors.Is(err, store.ErrNotFound) {
			return ceremony{}, err
		}
		_, session, err := p.webauthn.BeginDiscoverableLogin(webauthn.WithChallenge(b))
		if err != nil {
			return ceremony{}, err
		}
		session.Expires = expires
		return ceremony{Session: *session, bound: bound}, nil
	}
	return ceremony{}, ceremonyOver()
}

func usedKey(challenge string) string {
	sum := sha256.Sum256([]byte(challenge))
	return "passkey:used:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// useUp refuses a challenge that was used, in the transaction of the change.
func (p *Passkeys) useUp(ctx context.Context, session webauthn.SessionData) error {
	added, err := p.store.AddTicket(ctx, store.Ticket{Key: usedKey(session.Challenge), ExpiresAt: session.Expires.Add(usedFor)}, time.Now())
	if err == nil && !added {
		return ceremonyOver()
	}
	return err
}
