package walkin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/walkin-go/walkin"
)

// TestCommonRefusals holds that errors.Is finds the common refusals by what API clients
// are told, whatever their reasons and however they are wrapped, and no others.
func TestCommonRefusals(t *testing.T) {
	s := newSite(t, rowsAnHour(1))
	for range 2 {
		s.actFrom("203.0.113.7:1")
	}
	crossOrigin := httptest.NewRequest(http.MethodPost, "/", nil)
	crossOrigin.Header.Set("Sec-Fetch-Site", "cross-site")
	limited := func() (err error) {
		c := s.browser(func(w http.ResponseWriter, r *http.Request) { _, err = s.Ensure(w, r) }).From("203.0.113.7:1")
		c.Fetch("/")
		return err
	}
	all := []error{walkin.ErrAnonymous, walkin.ErrNotRecent, walkin.ErrCrossOrigin, walkin.ErrNewUserLimit}
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"a request without a user", &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "expired"}, nil},
		{"a wrong password", &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "wrong_password"}, nil},
		{"anonymous", &walkin.Refusal{Reason: "anonymous"}, walkin.ErrAnonymous},
		{"wrapped", fmt.Errorf("here: %w", &walkin.Refusal{Status: http.StatusForbidden, Reason: "not_recent"}), walkin.ErrNotRecent},
		{"another site's", s.CheckOrigin(crossOrigin), walkin.ErrCrossOrigin},
		{"a worker's", &walkin.Refusal{Status: http.StatusForbidden, Reason: "worker_without_cookie"}, walkin.ErrCrossOrigin},
		{"a rule of the app's", &walkin.Refusal{Status: http.StatusForbidden, Reason: "rule"}, nil},
		{"the limit", limited(), walkin.ErrNewUserLimit},
		{"another limit", &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "quota"}, nil},
		{"no refusal", errors.New("cross_origin"), nil},
	} {
		for _, one := range all {
			if got := errors.Is(tt.err, one); got != (one == tt.want) {
				t.Errorf("%s: is %v: %t", tt.name, one, got)
			}
		}
	}
}

// TestRefuseMethod holds that a client learns which methods there are.
func TestRefuseMethod(t *testing.T) {
	s := newSite(t)
	r := s.browser(func(w http.ResponseWriter, r *http.Request) { s.RefuseMethod(w, r, "GET, POST") }).Fetch("/")
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, POST" {
		t.Errorf("got %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
}
