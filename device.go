package walkin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// A limit that is keyed by what an attacker knows, a name or an address, can be used up
// by one. So a browser that has proven an identity gets a cookie (OWASP's device
// cookie), and credentials count it in a bucket of its own. The mark in the cookie
// grants no access: it only says that the browser is a known one. So it stays at a
// sign-out, and a thief gains only a few more tries.
//
// A mark is a random number and a MAC over it, the identity, its owner and the
// version of its secret: a new password, or another owner, makes all devices unknown.
// There is no name and no address in it. The cookie has several, since a
// household shares a browser.
const (
	maxMarks  = 8
	markNonce = 26 // of rand.Text
	markSize  = markNonce + 43
	markedFor = 180 * 24 * 60 * 60 // seconds

	deviceCookie = "device" // for Middleware.Cookie
)

// devices signs and verifies the marks.
type devices struct {
	keys    [][]byte // the first signs, all verify
	cookies *cookies
}

func newDevices(s *shared) (devices, error) {
	keys, err := s.derive("walkin device")
	if s.keys == nil {
		err = nil // what NewKeyring said is said
	}
	return devices{keys, &s.cookies}, err
}

// KnownDevice reports whether the browser of a request has proven an identity before,
// by a proof with Proof.Device, or is signed in as its user. The result device names
// the browser, for the key of a limit: it is not secret, and says nothing about the
// visitor. Use it only for limits that other clients could use up: such a browser has
// proven nothing today. The request must be one behind [Middleware.Handler]; every
// other comes from an unknown device.
func (m *Middleware) KnownDevice(r *http.Request, identity store.Identity) (device string, known bool) {
	v := visitFrom(r.Context())
	if v == nil || v.home != m.home || identity.UserID == uuid.Nil {
		return "", false
	}
	for _, mark := range m.devices.marks(r) {
		if m.devices.marked(mark, identity) {
			return "device:" + mark[:markNonce], true
		}
	}
	if c := v.claims.Load(); c != nil && !c.Anonymous && c.UserID == identity.UserID {
		return sessionFlowID(*c), true
	}
	return "", false
}

// marks returns the marks in a request, of the right size and no more than
// we set.
func (d *devices) marks(r *http.Request) []string {
	values := r.CookiesNamed(d.cookies.own(deviceCookie))
	if len(values) != 1 || len(values[0].Value) > maxMarks*(markSize+1) {
		return nil
	}
	marks := strings.Split(values[0].Value, "~")
	return slices.DeleteFunc(marks, func(mark string) bool { return len(mark) != markSize })
}

// marked reports whether a mark is ours and the identity's, under whichever key.
func (d *devices) marked(mark string, identity store.Identity) bool {
	return slices.ContainsFunc(d.keys, func(key []byte) bool {
		return hmac.Equal([]byte(mark), []byte(markOf(key, mark[:markNonce], identity)))
	})
}

func markOf(key []byte, nonce string, identity store.Identity) string {
	version := sha256.Sum256(identity.Secret)
	h := hmac.New(sha256.New, key)
	for _, part := range []string{nonce, identity.Provider, identity.Subject, string(identity.UserID[:]), string(version[:])} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash returns no error
		h.Write([]byte(part))
	}
	return nonce + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// mark returns the cookie that marks the browser of a request for an identity which
// it has just proven, beside the marks it has.
func (d *devices) mark(r *http.Request, identity store.Identity) *http.Cookie {
	nonce, marks := rand.Text(), d.marks(r)
	for i, mark := range marks {
		if d.marked(mark, identity) {
			nonce = mark[:markNonce] // the same device, perhaps under a newer key
			marks = slices.Delete(marks, i, i+1)
			break
		}
	}
	marks = slices.Insert(marks, 0, markOf(d.keys[0], nonce, identity))
	cookie := d.cookies.forPurpose(deviceCookie)
	cookie.Value, cookie.MaxAge = strings.Join(marks[:min(len(marks), maxMarks)], "~"), markedFor
	return cookie
}
