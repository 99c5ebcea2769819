// Package password lets visitors sign up and sign in with a name and a password. A
// [Password] is a [walkin.Credential], for UpgradeHandler and SignInHandler:
//
//	passwords, err := password.New(wk, password.Config{})
//	…
//	mux.Handle("/upgrade", wk.UpgradeHandler(passwords, page))
//	mux.Handle("/signin", wk.SignInHandler(passwords, page))
//
// The name is a user name or an e-mail address. An address is only a login name here:
// its user has not proven that it is theirs. So send nothing private to it, and match
// no other account by it. With Config.Proven, credential/code has proven every address.
//
// # What is stored
//
// An argon2id hash (RFC 9106) with a salt of its own, as a PHC string, in the secret of
// the identity. Argon2id strings of another system can be imported as they are; weak
// ones are replaced when their owner signs in. Names and passwords are in no error and
// no log.
//
// # Guessing
//
// Failed sign-ins are limited by where they come from and by the name they are for, see
// [Config]. An unknown name and a wrong password get the same answer after the same
// work. Any visitor can learn that a name is taken, by signing up with it; that is so
// wherever users choose their names.
//
// A browser that has proven the name before, or is signed in as its user, counts in
// buckets of its own, see [walkin.Middleware.KnownDevice]. So an attacker who guesses
// cannot lock users out of the browsers they use.
//
// Without walkin.Config.Limiter each process keeps its own counts in memory: n replicas
// allow n times the guesses, and a restart resets the counts.
//
// # What it does not do
//
// It sends no mail and resets no forgotten password. It asks whether a password has
// leaked only with Config.Breaches. It limits guesses, not sign-ups. Of those, only as many run at
// once as [Config] lets hash at once, and they leave room for sign-ins.
package password

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// Provider is the provider of all identities of this package, except with
// Config.Proven. Their subject is the name, in the one spelling that [Password]
// gives it.
const Provider = "password"

// The providers of credential/code.
const (
	provenEmail = "email"
	provenPhone = "phone"
)

// isProven reports whether the names are proven by credential/code.
func (p *Password) isProven() bool { return p.provider == provenEmail || p.provider == provenPhone }

// A Password signs visitors up and in by name and password. Make one with [New]. Its
// methods may be called concurrently; it starts no goroutine.
type Password struct {
	wk                       *walkin.Middleware
	store                    store.Store
	provider                 string
	nameField, passwordField string
	minLength                int
	breaches                 Breaches
	common                   map[string]struct{}
	hashes                   *hasher
	gate                     *gate
	limits                   limits.Limits

	perAddress, perNameAndNetwork, perName limit.Limit
}

var _ walkin.Credential = (*Password)(nil)

// SignUp implements [walkin.Credential]: it reads a name and a new password, and
// returns a proof with the password's hash. Continue finds out whether the name is
// free. An error that the visitor can fix is a *[walkin.Refusal]: 422 for an unsuitable
// name or password; 400, 413 or 415 for an invalid form; 503 when too many hash at
// once. With Config.Proven SignUp returns an error of another kind: a form alone proves
// no address.
func (p *Password) SignUp(r *http.Request) (walkin.Proof, error) {
	name, password, err := p.read(r)
	if err != nil {
		return walkin.Proof{}, err
	}
	return p.signUp(r, name, password)
}

// SignUpWith is SignUp with a name and a password that the app has read itself, such as
// from JSON. Of the request it uses only where it comes from. Pass the proof to
// [walkin.Middleware.Continue], which refuses requests of other sites.
func (p *Password) SignUpWith(r *http.Request, name, password string) (walkin.Proof, error) {
	name, password, err := p.clean(name, password)
	if err != nil {
		return walkin.Proof{}, err
	}
	return p.signUp(r, name, password)
}

func (p *Password) signUp(r *http.Request, name, password string) (walkin.Proof, error) {
	if p.isProven() {
		return walkin.Proof{}, errors.New("walkin: password: with Config.Proven, credential/code signs people up")
	}
	secret, err := p.choose(r, name, password, p.wk.ReserveAccount)
	if err != nil {
		return walkin.Proof{}, err
	}
	return walkin.Proof{Provider: p.provider, Subject: name, Method: "pwd", Secret: secret, Chosen: true, Device: true}, nil
}

// NewSecret reads the form that SignUp reads, refuses as SignUp does, and returns the
// hash of the password, which is the secret of an identity. It is for
// code.Config.Secret, with Config.Proven: the hash waits until the address is proven,
// and until then the password signs in no user. It is also for an owner who sets a new
// password, after a fresh proof: pass it to Store.SetSecret.
func (p *Password) NewSecret(r *http.Request) ([]byte, error) {
	name, password, err := p.read(r)
	if err != nil {
		return nil, err
	}
	return p.choose(r, name, password, func(*http.Request) error { return nil })
}

// choose returns the hash of a new password. It calls room before the hash, which costs
// more than a refusal.
func (p *Password) choose(r *http.Request, name, password string, room func(*http.Request) error) (secret []byte, err error) {
	if err := p.check(name, password); err != nil {
		return nil, err
	}
	if err := room(r); err != nil {
		return nil, err
	}
	if err := p.checkBreached(r.Context(), password); err != nil {
		return nil, err
	}
	err = p.gate.turnUnlimited(r.Context(), func() error {
		secret = p.hashes.hash(password)
		return nil
	})
	return secret, err
}

// SignIn implements [walkin.Credential]: it reads a name and its password. It refuses
// as SignUp does, and with 401 when the two do not belong together, 429 when there were
// too many failures, 503 when the store does not answer. The Reason of a 401 tells the
// operator "unknown_name" from "wrong_password"; to the visitor they are the same. Any
// other error is a stored hash that cannot be used. The proof's Redeem refuses with 401
// when the password was changed or its identity removed in the meantime.
func (p *Password) SignIn(r *http.Request) (walkin.Proof, error) {
	name, password, err := p.read(r)
	if err != nil {
		return walkin.Proof{}, err
	}
	return p.signIn(r, name, password)
}

// SignInWith is SignIn with a name and a password that the app has read itself, such as
// from JSON. Of the request it uses only where it comes from.
func (p *Password) SignInWith(r *http.Request, name, password string) (walkin.Proof, error) {
	name, password, err := p.clean(name, password)
	if err != nil {
		return walkin.Proof{}, err
	}
	return p.signIn(r, name, password)
}

func (p *Password) signIn(r *http.Request, name, password string) (walkin.Proof, error) {
	identity, stored, err := p.guess(r, name, password)
	if err != nil {
		return walkin.Proof{}, err
	}
	if stored.weakerThan(p.hashes.cost) {
		renewed, err := p.renew(r.Context(), identity, password)
		if refusal, ok := errors.AsType[*walkin.Refusal](err); ok && refusal.Status == http.StatusConflict {
			// Another sign-in renewed it at the same moment, or its owner
			// changed it: it is only looked at again.
			if identity, _, err = p.guess(r, name, password); err != nil {
				return walkin.Proof{}, err
			}
		} else if err != nil {
			// They have proven who they are, even if this fails.
			p.wk.Report(r.Context(), ReasonNotRenewed, err)
		} else {
			identity.Secret = renewed
		}
	}
	return walkin.Proof{Provider: p.provider, Subject: name, Method: "pwd", Device: true,
		Redeem: func(ctx context.Context) error { return p.stillRight(ctx, identity) }}, nil
}

// stillRight refuses when the password that was right is no longer valid: a user who
// changes it and then signs out everywhere must not be left with a sign-in by the old
// one. Nor must a removed identity come back, least of all an address, of which a
// password proves nothing.
func (p *Password) stillRight(ctx context.Context, proven store.Identity) error {
	stored, err := p.store.Identity(ctx, p.provider, proven.Subject)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case err != nil, stored.UserID != proven.UserID, !bytes.Equal(stored.Secret, proven.Secret):
		return mismatch(ReasonChanged)
	}
	return nil
}

// Change replaces the password of a name by next, for a user who knows the current one.
// Of the request it uses only where it comes from. It refuses as SignUp and SignIn do.
// A wrong current password counts as a failed sign-in. 409 is for a password that
// changed at the same moment.
//
// It ends no session: call SignOutEverywhere for that.
func (p *Password) Change(r *http.Request, name, current, next string) error {
	name, err := p.normalise(name)
	if err != nil {
		return err
	}
	if err := checkTyped(current); err != nil {
		return err
	}
	if err := p.check(name, next); err != nil {
		return err
	}
	identity, _, err := p.guess(r, name, current)
	if err != nil {
		return err
	}
	if err := p.checkBreached(r.Context(), next); err != nil {
		return err
	}
	_, err = p.renew(r.Context(), identity, next)
	return err
}

// Provider returns the provider of the identities whose secrets are passwords.
func (p *Password) Provider() string { return p.provider }

// MinLength returns Config.MinLength, with its default filled in.
func (p *Password) MinLength() int { return p.minLength }
