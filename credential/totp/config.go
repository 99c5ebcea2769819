package totp

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// Config says where the factor is asked for. Issuer and Page are required.
type Config struct {
	// Issuer is the site's name, which the authenticator app shows.
	Issuer string

	// Page is the local path of the page that asks for the code, such as
	// /signin/factor. Half-proven sign-ins are redirected to it.
	Page string

	// CodeField is the name of the form's field; empty is "code".
	CodeField string

	// The limits on wrong codes of one user. Right ones do not count. Zero for
	// PerUserAndNetwork, an IPv4 address or an IPv6 /48, is 5 in 15 minutes. Zero for
	// PerUser, all networks together, is 20 a day: so a thief of the password who never
	// stops finds a code with a chance of 2 % a year. A browser that has proven the
	// user's identity before counts in neither. It has as many tries as
	// PerUserAndNetwork says, and all such browsers together as many as PerUser says.
	// No limit can be turned off.
	PerUserAndNetwork, PerUser limit.Limit
}

// New returns a TOTP, or an error that lists everything wrong in cfg. From then on wk
// asks it before a sign-in opens a session.
func New(wk *walkin.Middleware, cfg Config) (*TOTP, error) {
	if wk == nil {
		return nil, errors.New("walkin: totp: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: totp: "+format, args...))
	}
	if cfg.Issuer == "" || strings.Contains(cfg.Issuer, ":") {
		mistake("Config.Issuer %q is not a name without a colon", cfg.Issuer)
	}
	if !strings.HasPrefix(cfg.Page, "/") || strings.HasPrefix(cfg.Page, "//") || strings.ContainsAny(cfg.Page, `\?#`) {
		mistake("Config.Page %q is not a local path like /signin/factor", cfg.Page)
	}
	for _, l := range []struct {
		name  string
		limit *limit.Limit
		zero  limit.Limit
	}{
		{"PerUserAndNetwork", &cfg.PerUserAndNetwork, limit.Limit{Count: 5, Per: 15 * time.Minute}},
		{"PerUser", &cfg.PerUser, limit.Limit{Count: 20, Per: 24 * time.Hour}},
	} {
		*l.limit = cmp.Or(*l.limit, l.zero)
		if err := limits.Check(*l.limit); err != nil {
			mistake("Config.%s is %w", l.name, err)
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	keys, err := wk.DeriveKeys("walkin totp")
	if err != nil {
		return nil, fmt.Errorf("walkin: totp: %w", err)
	}
	t := &TOTP{wk: wk, store: wk.Store(), issuer: cfg.Issuer, page: cfg.Page, field: cmp.Or(cfg.CodeField, "code"), keys: keys,
		limits: limits.Limits{Limiter: wk.Limiter()}, perUserAndNetwork: cfg.PerUserAndNetwork, perUser: cfg.PerUser}
	wk.AttachSecondFactor(t)
	return t, nil
}
