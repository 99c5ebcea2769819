package passkey

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
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

// Config says whose passkeys these are. The fields down to DisplayName are required.
type Config struct {
	// Middleware is the site's, and Store the one of its walkin.Config.
	Middleware *walkin.Middleware
	Store      walkin.Store

	// RPID is the domain that keys are made for: the site's, or one above it
	// whose every subdomain may then use them, as example.com for
	// www.example.com. It cannot be changed: keys of another one are lost. For
	// development it is localhost; no address is one.
	RPID string

	// Origins are where the pages are: https://www.example.com, with the port
	// when it is not 443. All are RPID or a subdomain of it. http is for
	// localhost alone.
	Origins []string

	// DisplayName is the site's name, which the device shows.
	DisplayName string

	// UserName returns the name under which the visitor's device lists a new
	// key, such as the e-mail address they use here; [walkin.FromContext] tells
	// who they are. It is for the visitor's eyes and goes nowhere else. Nil, or
	// an empty name, is DisplayName with the day.
	UserName func(*http.Request) string

	// Key signs the challenges of sign-ins, so that the store keeps nothing until
	// one was answered; with it browsers may also suggest passkeys in a field,
	// see docs/passkeys.md. At least 32 random bytes, the same on all replicas, such
	// as walkin.Key.Derive returns. What is used is derived from it for this
	// purpose alone. Nil keeps a ticket for each sign-in, and suggests nothing.
	Key []byte

	// OldKeys are no longer, or not yet, used to sign; challenges that they
	// signed are accepted. To change Key, add the new one here on all replicas,
	// then swap the two, and remove the old one after ten minutes.
	OldKeys [][]byte

	// PerNetwork is how many ceremonies that leave a ticket in the store may begin,
	// per network of walkin.Middleware.ClientNetworks, and four times as many for
	// the larger one of IPv6: every registration, and sign-ins where there is no
	// Key. Zero is 60 in 15 minutes; there is no way to turn it off.
	PerNetwork limit.Limit

	// Limiter counts them. Nil is limit.New(0), in which every replica
	// counts for itself. While it fails, that is what happens, too.
	Limiter limit.Limiter

	// RecentProof is that of walkin.Config, zero as there: a permanent user
	// whose last proof is older is told before their device makes a key, not
	// after.
	RecentProof time.Duration

	// Logger is told when a key's counter could not be stored; nil is silence.
	Logger *slog.Logger
}

// New returns Passkeys, or an error that names every mistake in cfg.
func New(cfg Config) (*Passkeys, error) {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: passkey: "+format, args...))
	}
	if cfg.Middleware == nil {
		mistake("Config.Middleware is required")
	}
	if cfg.Store == nil {
		mistake("Config.Store is required")
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
	if cfg.Key != nil && !isKey(cfg.Key) {
		mistake("Config.Key needs at least 32 random bytes")
	}
	if cfg.Key == nil && len(cfg.OldKeys) > 0 {
		mistake("Config.OldKeys needs a Key")
	}
	for i, old := range cfg.OldKeys {
		if !isKey(old) {
			mistake("Config.OldKeys[%d] needs at least 32 random bytes", i)
		}
	}
	if cfg.PerNetwork == (limit.Limit{}) {
		cfg.PerNetwork = limit.Limit{Count: 60, Per: 15 * time.Minute}
	}
	if err := limits.Check(cfg.PerNetwork); err != nil {
		mistake("Config.PerNetwork is %w", err)
	}
	if cfg.RecentProof < 0 {
		mistake("Config.RecentProof is %v, which is negative", cfg.RecentProof)
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if cfg.RecentProof == 0 {
		cfg.RecentProof = 10 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
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
		middleware:  cfg.Middleware,
		store:       walkin.Bounded(cfg.Store),
		webauthn:    library,
		origins:     library.Config.RPOrigins,
		userName:    cfg.UserName,
		recentProof: cfg.RecentProof,
		perNetwork:  cfg.PerNetwork,
		limits:      limits.New(cfg.Limiter),
		log:         cfg.Logger,
	}
	if cfg.Key != nil {
		for _, secret := range append([][]byte{cfg.Key}, cfg.OldKeys...) {
			key, err := hkdf.Key(sha256.New, secret, nil, "walkin passkey v1 "+cfg.RPID, sha256.Size)
			if err != nil {
				return nil, fmt.Errorf("walkin: passkey: %w", err)
			}
			p.keys = append(p.keys, key)
		}
	}
	p.posts = cfg.Middleware.Handler(http.HandlerFunc(p.post))
	return p, nil
}

// isKey reports whether a key may be random: not empty, as the Secret of an Ed25519
// key is, and not what make returns.
func isKey(key []byte) bool {
	return len(key) >= 32 && len(bytes.Trim(key, string(key[:1]))) > 0
}

func checkRPID(id string) error {
	if id == "localhost" {
		return nil
	}
	if err := protocol.ValidateRPID(id); err != nil {
		return fmt.Errorf("it is not a domain like example.com: %w", err)
	}
	if strings.ToLower(id) != id || strings.Trim(id, ".") != id {
		return errors.New("it is not a domain as browsers write it, like example.com")
	}
	return nil
}

func checkOrigin(origin, id string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
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
