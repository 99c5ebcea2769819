package passkey

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// Config says whose passkeys these are. RPID, Origins and DisplayName are required.
type Config struct {
	// RPID is the domain that keys are made for: the site's, or a parent domain, such
	// as example.com for www.example.com, all of whose subdomains may then use the
	// keys. It cannot be changed: keys of another RPID are lost. For development it is
	// localhost. An IP address is not allowed.
	RPID string

	// Origins are where the pages are: https://www.example.com, with the port
	// when it is not 443. All are RPID or a subdomain of it. http is for
	// localhost alone.
	Origins []string

	// DisplayName is the site's name, which the device shows.
	DisplayName string

	// UserName returns the name under which the visitor's device lists a new key, such
	// as the e-mail address they use here; [walkin.FromContext] tells who they are.
	// Only the visitor sees it, and it goes nowhere else. Nil, or an empty name, is
	// DisplayName with the day.
	UserName func(*http.Request) string

	// PerNetwork is how many registrations may begin, per network of
	// walkin.Middleware.ClientNetworks, and four times as many for the larger one of
	// IPv6. Each is a ticket in the store for five minutes. Zero is 60 in 15 minutes.
	// The limit cannot be turned off.
	PerNetwork limit.Limit
}

// New returns Passkeys, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Passkeys, error) {
	if wk == nil {
		return nil, errors.New("walkin: passkey: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: passkey: "+format, args...))
	}
	if err := checkRPID(cfg.RPID); err != nil {
		mistake("Config.RPID %q: %w", cfg.RPID, err)
	}
	if len(cfg.Origins) == 0 {
		mistake("Config.Origins is required")
	}
	for i, origin := range cfg.Origins {
		if err := checkOrigin(origin, cfg.RPID); err != nil {
			mistake("Config.Origins[%d] %q: %w", i, origin, err)
		}
	}
	if cfg.DisplayName == "" {
		mistake("Config.DisplayName is required")
	}
	if cfg.PerNetwork == (limit.Limit{}) {
		cfg.PerNetwork = limit.Limit{Count: 60, Per: 15 * time.Minute}
	}
	if err := limits.Check(cfg.PerNetwork); err != nil {
		mistake("Config.PerNetwork is %w", err)
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	keys, err := wk.DeriveKeys("walkin passkey " + cfg.RPID)
	if err != nil {
		return nil, fmt.Errorf("walkin: passkey: %w", err)
	}
	// The library enforces no time by itself.
	enforced := webauthn.TimeoutConfig{Enforce: true, Timeout: ceremonyTime, TimeoutUVD: ceremonyTime}
	discoverable := true
	library, err := webauthn.New(&webauthn.Config{
		RPID:                  cfg.RPID,
		RPDisplayName:         cfg.DisplayName,
		RPOrigins:             append([]string(nil), cfg.Origins...),
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &discoverable, // what browsers before residentKey look at
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			UserVerification:   protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: enforced, Registration: enforced},
		// We ask for no extension and use no output of one. Some password
		// managers send outputs unasked, and work all the same.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("walkin: passkey: %w", err)
	}
	p := &Passkeys{
		middleware:  wk,
		store:       wk.Store(),
		webauthn:    library,
		origins:     library.Config.RPOrigins,
		userName:    cfg.UserName,
		recentProof: wk.RecentProof(),
		perNetwork:  cfg.PerNetwork,
		limits:      limits.Limits{Limiter: wk.Limiter()},
		keys:        keys,
	}
	p.posts = wk.Handler(http.HandlerFunc(p.post))
	return p, nil
}

func checkRPID(id string) error {
	if err := protocol.ValidateRPID(id); err != nil {
		return fmt.Errorf("it is not a domain like example.com: %w", err)
	}
	if strings.ToLower(id) != id {
		return errors.New("it is not a domain as browsers write it, like example.com")
	}
	return nil
}

func checkOrigin(origin, id string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
		return errors.New("it is not an origin like https://www.example.com")
	}
	host := u.Hostname()
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	switch {
	case u.Scheme == "http" && !local:
		return errors.New("passkeys need https, except on localhost")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it is not an origin like https://www.example.com")
	case host != id && !strings.HasSuffix(host, "."+id):
		return errors.New("it is neither Config.RPID nor a subdomain of it")
	}
	return nil
}
