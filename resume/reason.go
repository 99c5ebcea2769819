package resume

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin: why a form was
// not kept, or not shown again.
const (
	ReasonNotKept          walkin.Reason = "not_kept"            // of Failed: the store did not answer
	ReasonNotKeptStoreDown walkin.Reason = "not_kept_store_down" // of Refused: the store did not answer
	ReasonNotKeptRead      walkin.Reason = "not_kept_read"       // the body was read before
	ReasonNotKeptFiles     walkin.Reason = "not_kept_files"      // it has files
	ReasonNotKeptTooLarge  walkin.Reason = "not_kept_too_large"  // it is too large
	ReasonNothingKept      walkin.Reason = "nothing_kept"        // there is no form to go on with
)
