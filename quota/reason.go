package quota

import "github.com/walkin-go/walkin"

// The reasons of this package in events, beside those of package walkin.
const (
	ReasonQuota walkin.Reason = "quota" // the quota is used up
)
