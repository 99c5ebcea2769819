package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A Profile is what a provider says about its user. Provider and Subject are the
// identity. All else may change from one day to the next: use it to show it and to
// write to the user, never to tell who a user is.
type Profile struct {
	Provider string // the issuer
	Subject  string

	// Email is an address of the user: the provider says that it is verified, and
	// [Provider.VerifiesEmail] says that its word counts. Otherwise it is empty, and
	// UnverifiedEmail has what the provider wrote, which may be any address.
	Email           string
	UnverifiedEmail string

	// Name is what the user is called, if the provider says so.
	Name string
}

type profileKey struct{}

// ProfileFrom returns what the provider said. It works in the hooks of walkin.Config
// (OnUpgrade, OnMerge, OnSignIn and AppClaims) while a visitor comes back from the
// provider, and returns false at all other times. The profile belongs to the identity
// in the hook's change.
func ProfileFrom(ctx context.Context) (Profile, bool) {
	p, ok := ctx.Value(profileKey{}).(Profile)
	return p, ok
}

// claims are those that go-oidc leaves to us.
type claims struct {
	AuthorizedParty string     `json:"azp"`
	AuthTime        *float64   `json:"auth_time"`
	Email           string     `json:"email"`
	EmailVerified   indeedTrue `json:"email_verified"`
	Name            string     `json:"name"`
}

// indeedTrue is true for true, and for the text some providers send instead.
type indeedTrue bool

func (v *indeedTrue) UnmarshalJSON(b []byte) error {
	*v = string(b) == `true` || string(b) == `"true"`
	return nil
}

// verify returns whom the ID token of an exchange names, and when they showed it.
func (p *provider) verify(ctx context.Context, at *endpoints, token *oauth2.Token, nonce string) (Profile, time.Time, error) {
	fail := func(err error) (Profile, time.Time, error) { return Profile{}, time.Time{}, notBelieved(err) }
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return fail(errors.New("walkin: oidc: there is no ID token"))
	}
	// Signature, algorithm, issuer, audience and expiry.
	id, err := at.verifier.Verify(ctx, raw)
	switch {
	case err != nil && strings.HasPrefix(err.Error(), noKeys):
		return Profile{}, time.Time{}, providerDown(describe(err))
	case err != nil:
		return fail(describe(err))
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return fail(errors.New("walkin: oidc: the claims of the ID token are malformed"))
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1:
		return fail(errors.New("walkin: oidc: the nonce of the ID token is not that of the request"))
	case c.AuthorizedParty != "" && c.AuthorizedParty != p.ClientID, c.AuthorizedParty == "" && len(id.Audience) > 1:
		return fail(errors.New("walkin: oidc: the ID token was issued to another client"))
	case id.Subject == "":
		return fail(errors.New("walkin: oidc: the ID token has no subject"))
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return fail(errors.New("walkin: oidc: the access token is not that of the ID token"))
	}
	var authTime time.Time
	if c.AuthTime != nil {
		authTime = time.Unix(int64(*c.AuthTime), 0)
		if authTime.After(time.Now().Add(clockSkew)) {
			return fail(errors.New("walkin: oidc: the ID token is of the future"))
		}
	}
	if c.Email == "" && at.openid.UserInfoEndpoint() != "" && slices.Contains(at.oauth.Scopes, goidc.ScopeEmail) {
		// Many give the address there alone. A visitor who goes on without it
		// would have an account without it, so failing is the better answer.
		info, err := at.openid.UserInfo(goidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(token))
		if err != nil {
			return Profile{}, time.Time{}, exchangeFailed(err)
		}
		if info.Subject != id.Subject {
			return fail(errors.New("walkin: oidc: userinfo is about another user"))
		}
		more := claims{}
		if err := info.Claims(&more); err != nil {
			return fail(errors.New("walkin: oidc: userinfo is malformed"))
		}
		c.Email, c.EmailVerified = more.Email, more.EmailVerified
		if c.Name == "" {
			c.Name = more.Name
		}
	}
	profile := Profile{Subject: id.Subject, Name: c.Name}
	if c.EmailVerified {
		profile.Email = c.Email
	} else {
		profile.UnverifiedEmail = c.Email
	}
	return p.believed(profile), p.provenAt(authTime), nil
}

// fetch returns whom the API of a provider without OpenID names.
func (p *provider) fetch(ctx context.Context, at *endpoints, token *oauth2.Token) (Profile, error) {
	client := at.oauth.Client(context.WithValue(ctx, oauth2.HTTPClient, p.client), token)
	profile, err := p.Fetch(ctx, client)
	if err != nil {
		return Profile{}, providerDown(err)
	}
	if profile.Subject == "" {
		return Profile{}, notBelieved(errors.New("walkin: oidc: Provider.Fetch returned no subject"))
	}
	return p.believed(profile), nil
}

// believed returns what of a profile goes to the app.
func (p *provider) believed(profile Profile) Profile {
	profile.Provider = p.Issuer
	profile.Email, profile.UnverifiedEmail, profile.Name = tidy(profile.Email, 254), tidy(profile.UnverifiedEmail, 254), tidy(profile.Name, 255)
	if profile.Email != "" && !p.VerifiesEmail {
		profile.Email, profile.UnverifiedEmail = "", profile.Email
	}
	return profile
}

// tidy returns s, or "" if s is longer or is not one line of text.
func tidy(s string, length int) string {
	s = strings.TrimSpace(s)
	if len(s) > length || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}
