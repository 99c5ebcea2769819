package handover

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonGivePermanent walkin.Reason = "handover_give_permanent" // an account is not handed over: its user signs in
	ReasonNotOpened     walkin.Reason = "handover_not_opened"     // the second browser has not opened the code yet
	ReasonWrongNumber   walkin.Reason = "handover_wrong_number"   // the number was wrong
	ReasonNumberMissing walkin.Reason = "handover_number_missing" // no number was typed
	ReasonOpenedTwice   walkin.Reason = "handover_opened_twice"   // two browsers opened the code
	ReasonWaiting       walkin.Reason = "handover_waiting"        // the first browser has not confirmed yet
	ReasonLimitUser     walkin.Reason = "handover_limit_user"     // too many for one user
	ReasonLimitNetwork  walkin.Reason = "handover_limit_network"  // too many from one network
)
