// Package passkey lets visitors sign up, sign in and prove themselves again with
// a passkey (WebAuthn): no name, no password, nothing to phish. [Passkeys] is an
// http.Handler for a path of its own, which goes into walkin.Config.Paths.Credentials,
// and brings the script for the page:
//
//	passkeys, err := passkey.New(wk, passkey.Config{
//		RPID: "example.com", Origins: []string{"https://example.com"}, DisplayName: "Example",
//	})
//	…
//	mux.Handle("/passkey/", passkeys)
//
//	<form data-passkey method="post" action="/passkey/signin">
//		<input type="hidden" name="return_to" value="{{.ReturnTo}}">
//		<button>Sign in with a passkey</button>
//		<p aria-live="polite"></p>
//	</form>
//	<script src="/passkey/script.js" defer></script>
//
// A form with the action /passkey/register makes a passkey for whoever the
// visitor is: an anonymous user is upgraded and keeps their ID, nobody becomes a
// new user, a permanent user gets one more key. /passkey/signin signs anybody in
// by whichever key they choose, and asks a permanent user for one of their own,
// as a fresh proof.
//
// Browsers suggest passkeys in a field of the page as well, before any button is
// pressed: one with autocomplete="username webauthn".
//
// # What is believed
//
// A signature over a challenge that this site gave to this browser for one use
// and five minutes, made at one of Config.Origins for Config.RPID, by a key that
// is in the store. The browser is the one that asked, by [walkin.Middleware.Bind].
// The device must have verified its user, by PIN, finger or face: the key is all
// there is, so having the device cannot be enough. Which make of device it is
// does not matter; attestation is not asked for, and not looked at.
//
// The key's counter must go up where it has one. When it does not, there may be
// two copies of the key, and it is refused: the event's reason is "cloned".
//
// # What is stored
//
// Nothing for a sign-in that only began: its challenge is signed, and the store learns which ones were used. A registration that began is a ticket
// for five minutes, and limited, see Config.PerNetwork.
//
// An identity of the provider "passkey" whose subject is the key's ID and whose
// secret is the public key with what belongs to it, as JSON. The user handle that
// the device keeps is random and the same for all keys of a user: it is not the
// user ID, so whoever finds a device learns nothing that the site shows
// elsewhere, and nobody needs a user ID before they have a key.
//
// # What it does not do
//
// It is not a second factor beside a password. It recovers no lost key: let people have two keys, or
// another credential.
package passkey

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/texts"
)

// Provider is the provider of all identities of this package. Their subject is
// the key's ID in base64url without padding; of an ID above 191 bytes, which has
// no room there, "sha256." and its hash.
const Provider = "passkey"

const (
	ceremonyTime = 5 * time.Minute
	maxBody      = 32 << 10 // bytes; what a browser sends has about 2 KB
)

// Passkeys registers keys and signs people in by them. Make one with [New]. Its
// methods may be called concurrently; it starts no goroutine.
type Passkeys struct {
	middleware  *walkin.Middleware
	store       walkin.Store
	webauthn    *webauthn.WebAuthn
	origins     []string
	userName    func(*http.Request) string
	recentProof time.Duration
	perNetwork  limit.Limit
	limits      limits.Limits
	keys        [][]byte     // of the challenges that are not kept: the first signs, all verify
	posts       http.Handler // inside of the middleware
}

var _ http.Handler = (*Passkeys)(nil)

// ServeHTTP serves, by the last part of the path, whatever stands before it:
//
//   - POST register and register-finish: make a key for the visitor
//   - POST signin and signin-finish: prove the owner of a key
//   - GET script.js: the script that calls these for the forms of a page
//
// Posts carry JSON, and answer with JSON: the options for the browser's API, an
// outcome, or a refusal as [walkin.Middleware.Refuse] has it. They are refused
// from other origins. Whatever fails, the visitor stays who they were.
func (p *Passkeys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Base(r.URL.Path) == "script.js" {
		p.serveScript(w, r)
		return
	}
	p.posts.ServeHTTP(w, r)
}

func (p *Passkeys) post(w http.ResponseWriter, r *http.Request) {
	var step func(http.ResponseWriter, *http.Request, []byte) (any, error)
	switch path.Base(r.URL.Path) {
	case "register":
		step = p.beginRegister
	case "register-finish":
		step = p.finishRegister
	case "signin":
		step = p.beginSignIn
	case "signin-finish":
		step = p.finishSignIn
	default:
		p.middleware.Refuse(w, r, &walkin.Refusal{Status: http.StatusNotFound, Reason: "no_route"})
		return
	}
	if r.Method != http.MethodPost {
		p.middleware.RefuseMethod(w, r, "POST")
		return
	}
	body, err := read(w, r)
	if err != nil {
		p.middleware.Refuse(w, r, err)
		return
	}
	answer, err := step(w, r, body)
	if err != nil {
		p.middleware.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	response.NoStore(w.Header(), "private, no-store")
	// The only error is a client that went away.
	_ = json.NewEncoder(w).Encode(answer)
}

// read returns the body of a post. That it is JSON keeps forms of other sites
// out once more, and tells a page without its script from one with it.
func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &walkin.Refusal{Status: http.StatusUnsupportedMediaType, Reason: "not_json",
			Text: texts.Of("passkey.no_script")}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: "passkey_large"}
	}
	if err != nil {
		return nil, malformed()
	}
	return body, nil
}

func malformed() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusBadRequest, Reason: "passkey_malformed",
		Text: texts.Of("passkey.malformed")}
}
