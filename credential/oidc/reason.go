package oidc

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonUnknownProvider walkin.Reason = "oidc_unknown_provider" // there is no provider of that name
	ReasonLimit           walkin.Reason = "oidc_limit"            // too many sign-ins were begun from one network
	ReasonDenied          walkin.Reason = "oidc_denied"           // the visitor cancelled at the provider
	ReasonState           walkin.Reason = "oidc_state"            // the answer belongs to no sign-in, or came too late
	ReasonBrowser         walkin.Reason = "oidc_browser"          // the answer came from another browser
	ReasonMalformed       walkin.Reason = "oidc_malformed"        // the answer cannot be read
	ReasonMixUp           walkin.Reason = "oidc_mix_up"           // the answer is another provider's
	ReasonNotBelieved     walkin.Reason = "oidc_not_believed"     // the answer proves nothing
	ReasonNotFresh        walkin.Reason = "oidc_not_fresh"        // the provider did not ask the user again
	ReasonOtherAccount    walkin.Reason = "oidc_other_account"    // the proof is of another account
	ReasonNoAccount       walkin.Reason = "oidc_no_account"       // no user has the identity, and none was to be made
	ReasonProviderDown    walkin.Reason = "oidc_provider_down"    // the provider did not answer
)
