package supabasewalkin

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/walkin-go/walkin/store"
)

type empty struct{}

// otp is POST /otp and POST /magiclink: a code or a link to sign in with.
func (h *Handler) otp(c *call) (any, error) {
	provider, address, err := c.address()
	if err != nil {
		return nil, err
	}
	challenge, err := c.challenge()
	if err != nil {
		return nil, err
	}
	create := true
	if err := c.field("create_user", &create); err != nil {
		return nil, err
	}
	var data map[string]any
	if err := c.field("data", &data); err != nil {
		return nil, err
	}
	if provider == byPhone && h.cfg.SendSMS == nil {
		return nil, fail(http.StatusBadRequest, "phone_provider_disabled", "Unsupported phone provider")
	}
	if !create || h.cfg.NoSignUp {
		// The site chose to say who has an account, as the original does.
		if _, err := h.store.Identity(c.Context(), provider, address); errors.Is(err, store.ErrNotFound) {
			return nil, fail(http.StatusUnprocessableEntity, "otp_disabled", "Signups not allowed for otp")
		} else if err != nil {
			return nil, err
		}
	}
	kind := "magiclink"
	if provider == byPhone {
		kind = "sms"
	}
	err = h.send(c, pending{Kind: kind, Address: address, Metadata: data, Challenge: challenge}, c.URL.Query().Get("redirect_to"))
	if err != nil {
		return nil, err
	}
	if provider == byPhone {
		return map[string]string{"message_id": ""}, nil
	}
	return empty{}, nil
}

// recover is POST /recover. The answer is the same for every address; a message goes
// to those that have an account.
func (h *Handler) recover(c *call) (any, error) {
	address, err := emailOf(c.text("email"))
	if err != nil {
		return nil, err
	}
	challenge, err := c.challenge()
	if err != nil {
		return nil, err
	}
	owned, err := h.store.Identity(c.Context(), byEmail, address)
	if errors.Is(err, store.ErrNotFound) {
		return empty{}, h.takeSend(c, address) // so that the limit says no more than the answer
	} else if err != nil {
		return nil, err
	}
	if err := h.send(c, pending{Kind: "recovery", Address: address, Challenge: challenge}, c.URL.Query().Get("redirect_to")); err != nil {
		return nil, err
	}
	_, err = h.update(c.Context(), owned.UserID, func(p *Profile) { p.RecoverySentAt = time.Now() })
	return empty{}, err
}

// resend is POST /resend. A message that was not asked for before is not sent. The
// answer is the same.
func (h *Handler) resend(c *call) (any, error) {
	provider, address, err := c.address()
	if err != nil {
		return nil, err
	}
	kind := c.text("type")
	switch kind {
	case "signup", "email_change":
		if provider != byEmail {
			return nil, fail(http.StatusBadRequest, "validation_failed", "Type provided requires an email address")
		}
	case "sms", "phone_change":
		if provider != byPhone {
			return nil, fail(http.StatusBadRequest, "validation_failed", "Type provided requires a phone number")
		}
	default:
		return nil, fail(http.StatusBadRequest, "validation_failed", "Missing one of these types: signup, email_change, sms, phone_change")
	}
	ticket, err := h.store.Ticket(c.Context(), codeKey(kind, address), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return empty{}, nil
	} else if err != nil {
		return nil, err
	}
	var p pending
	if err := json.Unmarshal(ticket.Data, &p); err != nil {
		return nil, err
	}
	return empty{}, h.send(c, p, c.URL.Query().Get("redirect_to"))
}

// verify is POST /verify: a code that was typed in, or the hash of a link.
func (h *Handler) verify(c *call) (any, error) {
	kind := c.text("type")
	if kind == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "Verify requires a verification type")
	}
	if hash := c.text("token_hash"); hash != "" {
		if c.has("email") || c.has("phone") || c.has("token") {
			return nil, fail(http.StatusBadRequest, "validation_failed", "Only the token_hash and type should be provided")
		}
		p, err := h.byLink(c.Context(), hash)
		if err != nil {
			return nil, err
		}
		if p.Challenge != "" || group(p.Kind) != group(kind) {
			return nil, errExpired // a link with PKCE is for who has the verifier
		}
		if p, err = h.byWhoever(c, p); err != nil {
			return nil, err
		}
		return h.complete(c, p)
	}
	_, address, err := c.address()
	if err != nil {
		return nil, err
	}
	switch kind {
	case "signup", "invite", "magiclink", "recovery", "email_change", "email", "sms", "phone_change":
	default:
		return nil, fail(http.StatusBadRequest, "validation_failed", "Unsupported verification type")
	}
	if c.text("token") == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "Verify requires a token or a token hash")
	}
	p, err := h.byCode(c.Context(), kind, address, c.text("token"))
	if err != nil {
		return nil, err
	}
	if p.Contested && p.As != nil && !p.As.Anonymous && !h.isBound(c, p.Browser) {
		// The code may be one that another user's change has sent to the owner of the
		// address. That user signs in otherwise too, and would stay in the account.
		return nil, errExpired
	}
	return h.complete(c, p)
}

// byWhoever returns what is left of a pending for the browser that brings its link. In
// the browser that asked, that is all of it. Elsewhere the address is proven, and no
// more: no password comes along that another may have chosen, and no session is
// upgraded.
func (h *Handler) byWhoever(c *call, p pending) (pending, error) {
	if h.isBound(c, p.Browser) {
		return p, nil
	}
	if p.As != nil {
		// Nothing is spent: the link goes on working where it was asked for.
		return p, fail(http.StatusForbidden, "otp_expired", "Please open this link in the browser that asked for it, or type the code there")
	}
	p.Secret = nil
	return p, nil
}

// verifyLink is GET /verify: the link in a message, in whatever browser opens it.
//
// With PKCE it leads to a code that only the client with the verifier can exchange. It
// changes nothing by itself: mail scanners open links too. Without PKCE the tokens are
// in the fragment, for a place that Config names exactly.
func (h *Handler) verifyLink(c *call) (any, error) {
	query := c.URL.Query()
	token := query.Get("token")
	if token == "" {
		token = query.Get("token_hash")
	}
	if query.Get("type") == "" || token == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "Verify requires a token and a verification type")
	}
	pkce := strings.HasPrefix(token, "pkce_")
	to := h.redirect(query.Get("redirect_to"), pkce)
	p, err := h.byLink(c.Context(), token)
	if err == nil && group(p.Kind) != group(query.Get("type")) {
		err = errExpired
	}
	if err != nil {
		return h.failed(c, to, err), nil
	}
	if p.Challenge != "" {
		var key string
		err := h.try(c.Context(), linkKey(token), &key)
		if errors.Is(err, store.ErrNotFound) {
			return h.failed(c, to, errExpired), nil
		} else if err != nil {
			return nil, err
		}
		code, err := h.keepFlow(c, flow{Challenge: p.Challenge, Token: token})
		if err != nil {
			return nil, err
		}
		return elsewhere{to: withQuery(to, url.Values{"code": {code}})}, nil
	}
	if p, err = h.byWhoever(c, p); err != nil {
		return h.failed(c, to, err), nil
	}
	answer, err := h.complete(c, p)
	if err != nil {
		return h.failed(c, to, err), nil
	}
	return h.withTokens(to, answer, p.Kind), nil
}

// keepFlow returns the code of a redirect.
func (h *Handler) keepFlow(c *call, f flow) (string, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	code := rand.Text()
	return code, h.store.PutTicket(c.Context(), store.Ticket{Key: flowKey(code), Data: data, ExpiresAt: time.Now().Add(flowLife)})
}

// withTokens leads a browser on with its session in the fragment, which no server sees.
func (h *Handler) withTokens(to string, answer any, kind string) elsewhere {
	s, ok := answer.(session)
	if !ok {
		return elsewhere{to: to}
	}
	fragment := url.Values{
		"access_token": {s.AccessToken}, "refresh_token": {s.RefreshToken}, "token_type": {s.TokenType}, "sb": {""},
		"expires_in": {strconv.FormatInt(s.ExpiresIn, 10)}, "expires_at": {strconv.FormatInt(s.ExpiresAt, 10)},
	}
	if kind != "" {
		fragment.Set("type", kind)
	}
	to, _, _ = strings.Cut(to, "#")
	return elsewhere{to: to + "#" + fragment.Encode()}
}

// failed leads a browser back with the error.
func (h *Handler) failed(c *call, to string, err error) elsewhere {
	f := h.failure(c, err)
	values := url.Values{"error": {"access_denied"}, "error_code": {f.code}, "error_description": {f.message}, "sb": {""}}
	if f == errExpired {
		values.Set("error_description", "Email link is invalid or has expired")
	}
	if f.status >= 500 {
		values.Set("error", "server_error")
	}
	to, _, _ = strings.Cut(to, "#")
	return elsewhere{to: to + "#" + values.Encode()}
}

// withQuery adds to the existing query of a place, and leaves the rest as it is.
func withQuery(to string, add url.Values) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += add.Encode()
	return u.String()
}
