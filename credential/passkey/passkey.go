// Package passkey lets visitors sign up, sign in and prove themselves again with a
// passkey (WebAuthn): no name, no password, nothing to phish. [Passkeys] is an
// http.Handler. Give it a path of its own, and add that to
// walkin.Config.Paths.Credentials. It also serves the script for the page:
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
// A form with the action /passkey/register makes a passkey for the current visitor. An
// anonymous user is upgraded and keeps their ID. A visitor without a user becomes a new
// user. A permanent user gets one more key. /passkey/signin signs a visitor in by the
// key they choose. It asks a permanent user for one of their own keys, as a fresh
// proof.
//
// Browsers also suggest passkeys in a field of the page before a button is pressed: one
// with autocomplete="username webauthn".
//
// # What is believed
//
// A signature over a challenge, made at one of Config.Origins for Config.RPID, by a key
// that is in the store. This site gave the challenge to this browser, for one use and
// five minutes. The browser is the one that asked, by [walkin.Middleware.StartFlow]. The
// device must have verified its user, by PIN, finger or face: the key is the only
// factor, so having the device must not be enough. The make of the device does not
// matter: attestation is not requested, and is ignored.
//
// The key's counter must go up if it has one. If it does not, there may be two copies
// of the key, and the sign-in is refused: the event's reason is "cloned".
//
// # What is stored
//
// Nothing for a sign-in that only began: its challenge is signed, and the store learns
// which challenges were used. A registration that began is a ticket for five minutes.
// Their number is limited, see Config.PerNetwork.
//
// A passkey is an identity of the provider "passkey". Its subject is the key's ID, and
// its secret is the public key with what belongs to it, as JSON. The user handle that
// the device keeps is random and the same for all keys of a user. It is not the user
// ID: so the finder of a device learns nothing that the site shows elsewhere, and a
// visitor needs no user ID before they have a key.
//
// # What it does not do
//
// It is not a second factor beside a password. It recovers no lost key: let users have
// two keys, or another credential.
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
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Provider is the provider of all identities of this package. Their subject is the
// key's ID in base64url without padding. For an ID above 191 bytes, which is too long,
// the subject is "sha256." and the ID's hash.
const Provider = "passkey"

const (
	ceremonyTime = 5 * time.Minute
	maxBody      = 32 << 10 // bytes; what a browser sends has about 2 KB
)

// Passkeys registers keys and signs visitors in by them. Make one with [New]. Its
// methods may be called concurrently; it starts no goroutine.
type Passkeys struct {
	middleware  *walkin.Middleware
	store       store.Store
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
// Posts carry JSON, and are answered with JSON: the options for the browser's API, an
// outcome, or a refusal as [walkin.Middleware.Refuse] has it. Posts from other origins
// are refused. If any step fails, the visitor stays who they were.
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
		p.middleware.Refuse(w, r, &walkin.Refusal{Status: http.StatusNotFound, Reason: walkin.ReasonNoRoute})
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
		return nil, &walkin.Refusal{Status: http.StatusUnsupportedMediaType, Reason: ReasonNotJSON,
			Text: texts.Of("passkey.no_script")}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: ReasonLarge}
	}
	if err != nil {
		return nil, malformed()
	}
	return body, nil
}

func malformed() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusBadRequest, Reason: ReasonMalformed,
		Text: texts.Of("passkey.malformed")}
}
