package supabasewalkin

import (
	"errors"
	"net/http"
	"net/mail"
	"regexp"
	"strings"

	"github.com/walkin-go/walkin/internal/numerals"
	"github.com/walkin-go/walkin/store"
)

// emailOf returns the one spelling of an address, as credential/code and
// credential/password keep it: ASCII, in lower case.
func emailOf(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	address := strings.ToLower(typed)
	parsed, err := mail.ParseAddress(address)
	_, domain, _ := strings.Cut(address, "@")
	bad := err != nil || parsed.Address != address || len(address) > 254 || domain == "" || strings.HasPrefix(domain, "[")
	for _, c := range []byte(typed) { // before lower case: the Kelvin sign's is a k
		bad = bad || c <= ' ' || c >= 0x7f || strings.IndexByte(`"()<>,;:\`, c) >= 0
	}
	if bad {
		return "", fail(http.StatusBadRequest, "validation_failed", "Unable to validate email address: invalid format")
	}
	return address, nil
}

var e164 = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)

// phoneOf returns the one spelling of a number.
func phoneOf(typed string) (string, error) {
	digits := strings.TrimPrefix(numerals.ASCII(typed), "+")
	if !e164.MatchString(digits) {
		return "", fail(http.StatusBadRequest, "validation_failed", "Invalid phone number format (E.164 required)")
	}
	return "+" + digits, nil
}

// kindOf returns the provider of an address in the one spelling.
func kindOf(address string) string {
	if strings.HasPrefix(address, "+") {
		return byPhone
	}
	return byEmail
}

var (
	errBoth    = fail(http.StatusBadRequest, "validation_failed", "Only an email address or phone number should be provided")
	errNeither = fail(http.StatusBadRequest, "validation_failed", "One of email or phone must be set")
)

// address returns the address that a call is about, and its provider. Two are refused, and
// none is passed over: the client would take it for accepted.
func (c *call) address() (provider, address string, err error) {
	switch {
	case c.has("email") && c.has("phone"):
		return "", "", errBoth
	case c.has("email"):
		address, err = emailOf(c.text("email"))
		return byEmail, address, err
	case c.has("phone"):
		address, err = phoneOf(c.text("phone"))
		return byPhone, address, err
	}
	return "", "", errNeither
}

func taken(provider string) error {
	return fail(http.StatusUnprocessableEntity, provider+"_exists", "A user with this "+provider+" address has already been registered")
}

// notTaken is an error if an address has an account. It tells who has one, as the
// original does and as its clients expect. Each try costs one message of the address's
// and the network's limit.
func (h *Handler) notTaken(c *call, provider, address string) error {
	_, err := h.store.Identity(c.Context(), provider, address)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := h.takeSend(c, address); err != nil {
		return err
	}
	return taken(provider)
}

// challenge returns the PKCE challenge of a call, or "". The plain method is refused:
// it shows the verifier to all who see the request.
func (c *call) challenge() (string, error) {
	text, method := c.text("code_challenge"), c.text("code_challenge_method")
	if text == "" && method == "" { // half of it is an error, and no flow without PKCE
		text, method = c.URL.Query().Get("code_challenge"), c.URL.Query().Get("code_challenge_method")
	}
	return checkChallenge(text, method)
}

var challengeText = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

func checkChallenge(text, method string) (string, error) {
	switch {
	case text == "" && method == "":
		return "", nil
	case !strings.EqualFold(method, "s256") || !challengeText.MatchString(text):
		return "", fail(http.StatusBadRequest, "validation_failed", "PKCE needs a code_challenge with the method S256")
	}
	return text, nil
}
