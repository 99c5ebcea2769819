package supabasewalkin

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonOTPExpired        walkin.Reason = "otp_expired"         // the code or link is wrong, used or expired
	ReasonSendFailed        walkin.Reason = "send_failed"         // of Refused: a message could not be sent; the client is told nothing
	ReasonSignUpDisabled    walkin.Reason = "sign_up_disabled"    // the site takes no new users
	ReasonEmailNotConfirmed walkin.Reason = "email_not_confirmed" // the address was not proven yet
)
