package totp

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonWrong      walkin.Reason = "factor_wrong"       // the code is wrong
	ReasonUsed       walkin.Reason = "factor_used"        // the code was accepted before
	ReasonOver       walkin.Reason = "factor_over"        // the sign-in took too long, or is of another browser
	ReasonMissing    walkin.Reason = "factor_missing"     // no code was typed
	ReasonLimit      walkin.Reason = "factor_limit"       // too many wrong codes
	ReasonOn         walkin.Reason = "factor_on"          // it is on already
	ReasonOff        walkin.Reason = "factor_off"         // it is off
	ReasonNoPassword walkin.Reason = "factor_no_password" // the user has no password
	ReasonSetUpOver  walkin.Reason = "factor_set_up_over" // the set-up took too long
	ReasonSessions   walkin.Reason = "factor_sessions"    // of Failed: session data of ended sessions could not be deleted
)
