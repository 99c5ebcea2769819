package admin

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonNoOperator   walkin.Reason = "no_operator"    // Config.May says no
	ReasonNoSuchUser   walkin.Reason = "no_such_user"   // there is no such user
	ReasonSelf         walkin.Reason = "self"           // operators cannot do this to themselves
	ReasonBanUntil     walkin.Reason = "ban_until"      // the end of a ban is not a day
	ReasonNotSure      walkin.Reason = "not_sure"       // the box for a deletion is not ticked
	ReasonNoSuchAction walkin.Reason = "no_such_action" // the screen has no such action
)
