package passkey

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonLimit          walkin.Reason = "passkey_limit"           // too many ceremonies were begun from one network
	ReasonCeremony       walkin.Reason = "passkey_ceremony"        // the ceremony was used, has expired or is of another browser
	ReasonBad            walkin.Reason = "passkey_bad"             // the device's answer proves nothing
	ReasonOrigin         walkin.Reason = "passkey_origin"          // the page is not on one of Config.Origins
	ReasonFramed         walkin.Reason = "passkey_framed"          // the page is in a frame of another site
	ReasonRPID           walkin.Reason = "passkey_rp_id"           // the answer is for another RPID
	ReasonUserUnverified walkin.Reason = "passkey_user_unverified" // the device did not verify its user
	ReasonUnusable       walkin.Reason = "passkey_unusable"        // a key that is too weak, or of an unknown kind
	ReasonCloned         walkin.Reason = "cloned"                  // the key's counter went back
	ReasonUnknown        walkin.Reason = "passkey_unknown"         // the site does not know the key
	ReasonName           walkin.Reason = "passkey_name"            // the name of a key is too long or not UTF-8
	ReasonNotJSON        walkin.Reason = "not_json"                // the request is not JSON
	ReasonLarge          walkin.Reason = "passkey_large"           // the request is too large
	ReasonMalformed      walkin.Reason = "passkey_malformed"       // the request cannot be read
	ReasonCounter        walkin.Reason = "passkey_counter"         // of Failed: the counter of a key could not be stored
	ReasonUnreadable     walkin.Reason = "passkey_unreadable"      // of Failed: a stored key could not be read
)
