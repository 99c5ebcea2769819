package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
	"golang.org/x/oauth2"
)

// notKept is for a ticket that could not be taken.
func notKept(err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonState,
		Text: texts.Of("oidc.over")}
}

func malformed() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusBadRequest, Reason: ReasonMalformed,
		Text: texts.Of("oidc.malformed")}
}

func mixedUp() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonMixUp,
		Text: texts.Of("oidc.mixed_up")}
}

// providerDown is for a provider that does not answer, or not as it should.
func providerDown(err error) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonProviderDown, Err: err, RetryAfter: 30 * time.Second,
		Text: texts.Of("oidc.down")}
}

// notBelieved is for an answer that proves nothing.
func notBelieved(err error) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNotBelieved, Err: err,
		Text: texts.Of("oidc.unproven")}
}

// refusedThere is for an error that the provider sent the visitor back with.
func refusedThere(code string) *walkin.Refusal {
	switch code {
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required",
		"user_cancelled_login", "user_cancelled_authorize", "user_cancelled_authorization":
		return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonDenied,
			Text: texts.Of("oidc.cancelled")}
	}
	return providerDown(fmt.Errorf("walkin: oidc: the provider answered %s", known(code)))
}

// exchangeFailed is for a code that got no token, and for what follows. A code that the
// provider refuses was not meant for this login flow.
func exchangeFailed(err error) *walkin.Refusal {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && (e.ErrorCode == "invalid_grant" || e.ErrorCode == "bad_verification_code") {
		return notBelieved(describe(err))
	}
	return providerDown(describe(err))
}

// noKeys is how go-oidc begins to say that it could not verify a signature.
const noKeys = "failed to verify signature: fetching keys"

// describe says what went wrong in words of ours. Errors of the libraries quote what
// came over the wire: bodies, descriptions, and with them text of an attacker.
func describe(err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		status := 0
		if e.Response != nil {
			status = e.Response.StatusCode
		}
		return fmt.Errorf("walkin: oidc: the token endpoint answered %d, %s", status, known(e.ErrorCode))
	}
	if e, ok := errors.AsType[*goidc.IssuerMismatchError](err); ok {
		return fmt.Errorf("walkin: oidc: the provider calls itself another issuer than %q", e.Provided)
	}
	if e, ok := errors.AsType[*goidc.TokenExpiredError](err); ok {
		return fmt.Errorf("walkin: oidc: the ID token expired at %v", e.Expiry)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("walkin: oidc: the provider did not answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("walkin: oidc: the visitor went away: %w", context.Canceled)
	}
	// go-oidc keeps the text alone.
	if tooLong := new(http.MaxBytesError).Error(); strings.Contains(err.Error(), tooLong) {
		return fmt.Errorf("walkin: oidc: the provider's answer has more than %d bytes", maxAnswer)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("walkin: oidc: the provider cannot be reached: %w", e.Err) // without the URL
	}
	for prefix, is := range map[string]string{
		"oidc: malformed jwt":                              "the ID token is malformed, or signed by an algorithm that is not allowed",
		"oidc: id token signed with unsupported algorithm": "the ID token is signed by an algorithm that is not allowed",
		"oidc: failed to unmarshal claims":                 "the claims of the ID token are malformed",
		"failed to verify signature: failed to verify":     "the signature of the ID token is not the provider's",
		noKeys: "the provider's keys could not be fetched",
		"oidc: id token issued by a different provider":     "the ID token is another issuer's",
		"oidc: expected audience":                           "the ID token is for another client",
		"oidc: current time":                                "the ID token is not valid yet",
		"oidc: failed to decode provider discovery object:": "the document is malformed",
	} {
		if strings.HasPrefix(err.Error(), prefix) {
			return errors.New("walkin: oidc: " + is)
		}
	}
	return errors.New("walkin: oidc: the provider did not answer as it should")
}

// known returns an error code of OAuth or OpenID as it is, and nothing else that
// came from elsewhere.
func known(code string) string {
	switch code {
	case "":
		return "without an error code"
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "server_error",
		"temporarily_unavailable", "invalid_client", "invalid_grant", "unsupported_grant_type",
		"invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported", "registration_not_supported",
		"incorrect_client_credentials", "redirect_uri_mismatch", "bad_verification_code", "application_suspended": // GitHub's
		return code
	}
	return "an unknown error code"
}
