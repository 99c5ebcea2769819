package walkin

import (
	"encoding/json"
	"net/http"
	"strings"
)

// codes are the codes for API clients, by the Reason of a refusal, of those that are
// safe to tell. Any other reason gets the code of its status: why a token was rejected,
// and whether a name or its password was wrong, is for the operator.
var codes = map[string]string{
	"anonymous":             "account_required",
	"not_recent":            "recent_proof_required",
	"cross_origin":          "cross_origin",
	"worker_without_cookie": "cross_origin",
	"identity_taken":        "identity_taken",
	"last_identity":         "last_identity",
	"too_many_identities":   "too_many_identities",
	"raced":                 "raced",
	"new_user_limit":        "new_user_limit",
	"quota":                 "quota",
	"nothing_kept":          "nothing_kept",
	reasonNoCookie:          "no_cookie",
	"banned":                "banned",
	"impersonation":         "impersonation", "impersonation_read_only": "impersonation", "impersonation_upgrade": "impersonation",
	"impersonation_bearer": "impersonation", "impersonation_over": "impersonation_over",

	"unknown_name": "wrong_credentials", "wrong_password": "wrong_credentials", "password_changed": "wrong_credentials",
	"wrong_code": "wrong_code", "wrong_code_last": "wrong_code", "code_over": "code_expired",
	"password_short": "password_short", "password_long": "password_long", "password_encoding": "password_encoding",
	"password_pattern": "password_common", "password_common": "password_common",
	"form_type": "form_type", "form_large": "form_large", "form_malformed": "form_malformed", "form_repeated": "form_malformed",
}

// code returns the word for a refusal that has none of its own.
func code(status int, reason string) string {
	if c, ok := codes[reason]; ok {
		return c
	}
	switch {
	case status == http.StatusUnauthorized:
		return "user_required"
	case status >= 500 && status != http.StatusServiceUnavailable:
		return "internal_error"
	}
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}

func writeProblem(w http.ResponseWriter, e *Refusal) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.Status)
	// The only error is a client that went away.
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}{"about:blank", http.StatusText(e.Status), e.Status, e.Message, e.Code})
}
