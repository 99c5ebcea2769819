package pages

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonEmailReserved walkin.Reason = "email_reserved" // the address was replaced less than 72 hours ago
	ReasonUndoOver      walkin.Reason = "undo_over"      // the undo of a change of address is over
	ReasonFrame         walkin.Reason = "frame"          // of Failed: Config.Frame returned an error
	ReasonNotice        walkin.Reason = "notice"         // of Failed: a notice could not be sent
	ReasonDevice        walkin.Reason = "device"         // of Failed: Config.Device returned an error
)
