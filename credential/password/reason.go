package password

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonUnknownName     walkin.Reason = "unknown_name"         // there is no such name
	ReasonWrongPassword   walkin.Reason = "wrong_password"       // the password is wrong
	ReasonChanged         walkin.Reason = "password_changed"     // the password was changed during the sign-in
	ReasonNoName          walkin.Reason = "no_name"              // no name was typed
	ReasonNameNumber      walkin.Reason = "name_number"          // the name is not a phone number
	ReasonNameLong        walkin.Reason = "name_long"            // the name is too long
	ReasonNameBlank       walkin.Reason = "name_blank"           // the name has a blank
	ReasonNameASCII       walkin.Reason = "name_ascii"           // the name has a letter outside ASCII
	ReasonNameAddress     walkin.Reason = "name_address"         // the name is not an e-mail address
	ReasonNameLength      walkin.Reason = "name_length"          // the name is too short or too long
	ReasonNameSigns       walkin.Reason = "name_signs"           // the name has a sign that is not allowed
	ReasonNoPassword      walkin.Reason = "no_password"          // no password was typed
	ReasonShort           walkin.Reason = "password_short"       // the new password is too short
	ReasonLong            walkin.Reason = "password_long"        // the password is too long
	ReasonEncoding        walkin.Reason = "password_encoding"    // the password is not UTF-8
	ReasonIsName          walkin.Reason = "password_is_name"     // the new password is the name
	ReasonPattern         walkin.Reason = "password_pattern"     // the new password is a repetition or a sequence
	ReasonCommon          walkin.Reason = "password_common"      // the new password is a common one
	ReasonBreached        walkin.Reason = "password_breached"    // the new password is known from a data leak
	ReasonTooManyAttempts walkin.Reason = "too_many_attempts"    // a limit on guesses
	ReasonBusy            walkin.Reason = "busy"                 // all places for hashing are taken
	ReasonBreaches        walkin.Reason = "breaches"             // of Failed: Config.Breaches did not answer, and the password was accepted
	ReasonNotRenewed      walkin.Reason = "password_not_renewed" // of Failed: a hash could not be raised to Config.Cost
)
