package password

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// Config says how passwords are taken. Only Store is required.
type Config struct {
	// Store has the identities; the one of walkin.Config.
	Store walkin.Store

	// NameField and PasswordField are the names of the form's fields; empty
	// is "email" and "password".
	NameField, PasswordField string

	// Proven says that names are e-mail addresses which credential/code has
	// proven: the passwords are kept with the identities of that package, and
	// sign in to them. Then nobody signs up here; give NewSecret to
	// code.Config.Secret.
	Proven bool

	// MinLength is how many characters a new password has at least, 8 to 64;
	// 0 is 8. NIST SP 800-63B asks for 8 in its third revision, and in its
	// fourth for 15 where there is no second factor.
	MinLength int

	// Cost is what a hash costs; zero is 2 passes over 19 MiB, which takes
	// about 25 ms.
	Cost Cost

	// Hashes is how many hashes may run at once, each with Cost.Memory; 0 is
	// GOMAXPROCS. Waiting is how many more may wait for their turn before
	// visitors are asked to come back; 0 is 32 for each of Hashes, a wait of
	// about a second. New passwords take half of the room at most.
	Hashes, Waiting int

	// The limits on failed sign-ins, see the package's comment. Zero for PerAddress is 50 in 15
	// minutes, for PerNameAndNetwork 10 in 15 minutes, for PerName 100 in an
	// hour. There is no way to turn one off.
	PerAddress, PerNameAndNetwork, PerName limit.Limit

	// Limiter counts failed sign-ins, so that replicas count together. Nil counts
	// in the memory of each process; while a limiter fails, that is what happens,
	// too.
	Limiter limit.Limiter

	// ClientAddr tells whose request it is; nil believes RemoteAddr. Behind
	// a proxy that is the proxy, and all visitors share one PerAddress
	// limit: set this, and believe only what your own proxy wrote, since a
	// visitor can send any X-Forwarded-For. An address that is not valid
	// counts as RemoteAddr's.
	ClientAddr func(*http.Request) netip.Addr

	// Logger is told when a hash could not be renewed; nil is silence.
	Logger *slog.Logger
}

// New returns a Password, or an error that names every mistake in cfg.
func New(cfg Config) (*Password, error) {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: password: "+format, args...))
	}
	if cfg.Store == nil {
		mistake("Config.Store is required")
	}
	if cfg.NameField == "" {
		cfg.NameField = "email"
	}
	if cfg.PasswordField == "" {
		cfg.PasswordField = "password"
	}
	if cfg.NameField == cfg.PasswordField {
		mistake("Config.NameField and PasswordField are the same, %q", cfg.NameField)
	}
	if cfg.MinLength == 0 {
		cfg.MinLength = defaultMinLength
	}
	if cfg.MinLength < defaultMinLength || cfg.MinLength > 64 {
		mistake("Config.MinLength is not 8 to 64")
	}
	if cfg.Cost == (Cost{}) {
		cfg.Cost = Cost{Time: 2, Memory: 19456, Threads: 1}
	}
	if err := cfg.Cost.check(); err != nil {
		mistake("Config.Cost: %w", err)
	}
	if cfg.Hashes < 0 || cfg.Waiting < 0 {
		mistake("Config.Hashes and Waiting must not be negative")
	}
	if cfg.Hashes == 0 {
		cfg.Hashes = runtime.GOMAXPROCS(0)
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = 32 * cfg.Hashes
	}
	for _, l := range []struct {
		name  string
		limit *limit.Limit
		zero  limit.Limit
	}{
		{"PerAddress", &cfg.PerAddress, limit.Limit{Count: 50, Per: 15 * time.Minute}},
		{"PerNameAndNetwork", &cfg.PerNameAndNetwork, limit.Limit{Count: 10, Per: 15 * time.Minute}},
		{"PerName", &cfg.PerName, limit.Limit{Count: 100, Per: time.Hour}},
	} {
		if *l.limit == (limit.Limit{}) {
			*l.limit = l.zero
		}
		if err := checkLimit(*l.limit); err != nil {
			mistake("Config.%s: %w", l.name, err)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	provider := Provider
	if cfg.Proven {
		provider = proven
	}
	return &Password{
		store:         walkin.Bounded(cfg.Store),
		provider:      provider,
		nameField:     cfg.NameField,
		passwordField: cfg.PasswordField,
		minLength:     cfg.MinLength,
		clientAddr:    cfg.ClientAddr,
		log:           cfg.Logger,
		common:        commonPasswords(),
		hashes:        newHasher(cfg.Cost),
		gate:          newGate(cfg.Hashes, cfg.Waiting),
		limits:        newLimiter(cfg.PerAddress, cfg.PerNameAndNetwork, cfg.PerName),
		shared:        limits.New(cfg.Limiter),
		isShared:      cfg.Limiter != nil,
		perAddress:    cfg.PerAddress, perNameAndNetwork: cfg.PerNameAndNetwork, perName: cfg.PerName,
	}, nil
}
