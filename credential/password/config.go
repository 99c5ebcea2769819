package password

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// Config says how passwords are taken. The zero value takes an e-mail address and a
// password from the fields "email" and "password".
type Config struct {
	// NameField and PasswordField are the names of the form's fields; empty
	// is "email" and "password".
	NameField, PasswordField string

	// Proven says that names are e-mail addresses which credential/code has proven: the
	// passwords are kept with the identities of that package, and sign in to them. Then
	// visitors cannot sign up here; give NewSecret to code.Config.Secret.
	Proven bool

	// Phones says, with Proven, that names are phone numbers in place of addresses,
	// in the form +14155550123.
	Phones bool

	// MinLength is the least number of characters of a new password, 8 to 64; 0 is 8.
	// NIST SP 800-63B asks for 8 in its third revision, and in its fourth for 15 where
	// there is no second factor.
	MinLength int

	// Breaches knows passwords that have leaked: [PwnedPasswords], or a [HashList].
	// New passwords that it knows are refused; stored ones sign in as before. While it
	// fails, new passwords are taken, and OnEvent is told. Nil asks nothing but the
	// built-in list of common passwords.
	Breaches Breaches

	// Cost is what a hash costs; zero is 2 passes over 19 MiB, which takes
	// about 25 ms.
	Cost Cost

	// Hashes is how many hashes may run at once, each with Cost.Memory; 0 is
	// GOMAXPROCS. Waiting is how many more may wait for their turn before visitors are
	// asked to come back; 0 is 32 for each of Hashes, a wait of about a second. New
	// passwords take at most half of these places.
	Hashes, Waiting int

	// The limits on failed sign-ins. None can be turned off. As many attempts as
	// Count may come at once, and each is forgiven after Per divided by Count. Refused
	// attempts do not count. Right ones count only while they are being checked. There
	// are three limits, since each of them alone is a weapon:
	//
	//   - PerAddress (an IPv4 address, an IPv6 /64) stops one computer that tries
	//     common passwords with many names. Zero is 50 in 15 minutes.
	//   - PerNameAndNetwork (an IPv4 /24, an IPv6 /48) stops guesses for one name.
	//     It is the tight one: a limit for all networks together would let an
	//     attacker lock an owner out, with ten wrong passwords every quarter of an
	//     hour. Zero is 10 in 15 minutes.
	//   - PerName stops the same from many networks. It has to lock the name's
	//     owner out of new browsers too, so it is wide: 100 is what NIST SP 800-63B,
	//     5.2.2, allows in a row. Zero is 100 an hour.
	//
	// A browser that has proven the name before, or is signed in as its user, counts in
	// none of them. It has as many tries as PerNameAndNetwork says, and all such
	// browsers together have as many as PerName says. Unknown names count like known
	// ones.
	PerAddress, PerNameAndNetwork, PerName limit.Limit
}

// New returns a Password, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Password, error) {
	if wk == nil {
		return nil, errors.New("walkin: password: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: password: "+format, args...))
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
		*l.limit = cmp.Or(*l.limit, l.zero)
		if err := limits.Check(*l.limit); err != nil {
			mistake("Config.%s is %w", l.name, err)
		}
	}
	if cfg.Phones && !cfg.Proven {
		mistake("Config.Phones needs Proven: a number that was not proven is no name")
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	provider := Provider
	if cfg.Proven {
		provider = provenEmail
		if cfg.Phones {
			provider = provenPhone
		}
	}
	return &Password{
		wk:            wk,
		store:         wk.Store(),
		provider:      provider,
		nameField:     cfg.NameField,
		passwordField: cfg.PasswordField,
		minLength:     cfg.MinLength,
		breaches:      cfg.Breaches,
		common:        commonPasswords(),
		hashes:        newHasher(cfg.Cost),
		gate:          newGate(cfg.Hashes, cfg.Waiting),
		limits:        limits.Limits{Limiter: wk.Limiter()},
		perAddress:    cfg.PerAddress, perNameAndNetwork: cfg.PerNameAndNetwork, perName: cfg.PerName,
	}, nil
}
