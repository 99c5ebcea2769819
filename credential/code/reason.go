package code

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonNoAddress              walkin.Reason = "no_address"                     // no address was typed
	ReasonBadAddress             walkin.Reason = "bad_address"                    // what was typed is not an address or a number
	ReasonSendFailed             walkin.Reason = "send_failed"                    // the Sender returned an error
	ReasonNoCode                 walkin.Reason = "no_code"                        // no code was typed
	ReasonWrongCode              walkin.Reason = "wrong_code"                     // the code is wrong
	ReasonWrongCodeLast          walkin.Reason = "wrong_code_last"                // the code is wrong, and that was the last try
	ReasonOtherBrowser           walkin.Reason = "other_browser"                  // a code that sets a password, in another browser than asked for it
	ReasonOver                   walkin.Reason = "code_over"                      // the code was used, has expired or is of another browser
	ReasonPending                walkin.Reason = "code_pending"                   // of Failed: the address that waits for its code could not be read
	ReasonLimitBrowser           walkin.Reason = "code_limit_browser"             // too many messages for one browser
	ReasonLimitNetwork           walkin.Reason = "code_limit_network"             // too many messages for one network
	ReasonLimitAddress           walkin.Reason = "code_limit_address"             // too many messages for one address
	ReasonLimitAddressAndNetwork walkin.Reason = "code_limit_address_and_network" // too many messages for one address from one network
	ReasonLimitDevice            walkin.Reason = "code_limit_device"              // too many messages for one address from one known device
	ReasonLimitDevices           walkin.Reason = "code_limit_devices"             // too many messages for one address from known devices
)
