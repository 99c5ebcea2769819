package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/credential/passkey"
)

const (
	emailProvider = "email" // of all identities of package code, password or not

	// recently is how old a proof may be for what an open browser must not do
	// for whoever finds it. It is the zero walkin.Config.Sessions.RecentProof, so that
	// whatever the account page offers, walkin allows.
	recently = 10 * time.Minute

	justNow = 5 * time.Second
)

// ---- to an account, and back to it ----

// An accountPage is any page on which visitors prove who they are.
type accountPage struct {
	ReturnTo  string
	For       string // what the visitor was about to do: "publish", "downloads"
	Email     string // what was typed, or whom the code was sent to
	Error     string
	Action    string // where the code goes
	Providers []oidc.Provider
	Ways      []way // what a member can prove themselves by
}

// upgradePage is what visitors make an account on.
func (s *site) upgradePage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	s.showForm(w, r, form, "upgrade")
}

// signInPage is what visitors sign in on, and what members confirm on that they
// are still there.
func (s *site) signInPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	name := "signin"
	if c, _ := walkin.FromContext(r.Context()); c.Method != "" {
		name = "confirm"
	}
	s.showForm(w, r, form, name)
}

// providerPage is what visitors come back to when a provider did not vouch for
// them.
func (s *site) providerPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	if c, ok := walkin.FromContext(r.Context()); ok && c.Anonymous {
		s.upgradePage(w, r, form)
		return
	}
	s.signInPage(w, r, form)
}

// codePage asks for the digits that were sent.
func (s *site) codePage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	s.showForm(w, r, form, "code")
}

func (s *site) showForm(w http.ResponseWriter, r *http.Request, form walkin.Form, name string) {
	s.page(func(w http.ResponseWriter, r *http.Request) error {
		page := accountPage{
			ReturnTo:  form.ReturnTo,
			For:       r.URL.Query().Get("for"),
			Email:     r.PostFormValue("email"),
			Action:    r.URL.Path,
			Providers: s.providers,
		}
		if form.Refusal != nil {
			page.Error = form.Refusal.Message
		}
		if form.ReturnTo == "/resume" {
			page.For = "publish"
		}
		address, pending := "", false
		if name == "code" {
			if address, pending = s.codes.Pending(r); pending {
				page.Email = address
			}
		}
		c, _ := walkin.FromContext(r.Context())
		if c.Method != "" {
			if form.Refusal == nil && !pending && time.Since(c.ProvenAt) < recently {
				// Back to the form with the browser's button: they have been
				// through it.
				http.Redirect(w, r, form.ReturnTo, http.StatusSeeOther)
				return nil
			}
			var err error
			if page.Ways, err = s.ways(r.Context(), c.UserID); err != nil {
				return err
			}
		}
		return s.render(w, r, form.Status, name, page)
	}).ServeHTTP(w, r)
}

// linkPage is what the link in a mail opens.
func (s *site) linkPage(w http.ResponseWriter, r *http.Request, link code.Link) {
	s.page(func(w http.ResponseWriter, r *http.Request) error {
		return s.render(w, r, link.Status, "link", link)
	}).ServeHTTP(w, r)
}

// ---- who you are ----

func (s *site) whoami(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct {
		ID          uuid.UUID `json:"id"`
		IsAnonymous bool      `json:"is_anonymous"`
	}{c.UserID, c.Anonymous})
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the only error is a client that went away
}

// signOutPage asks first. For somebody without an account signing out is for
// good, and the page says what that means.
func (s *site) signOutPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "signout", nil)
}

// userID is the visitor's; the zero ID, which owns nothing, for nobody.
func userID(r *http.Request) uuid.UUID {
	c, _ := walkin.FromContext(r.Context())
	return c.UserID
}

// A visitor is what every page says of who is looking at it.
type visitor struct {
	Name      string // "Guest 7f3a" or the name of a member; empty for nobody
	Permanent bool
	Notes     int
}

func (s *site) visitor(r *http.Request) (v visitor, welcome string, err error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return v, "", nil
	}
	if v.Notes, err = s.notes.count(r.Context(), c.UserID); err != nil {
		return v, "", err
	}
	id := c.UserID.String()
	end := id[len(id)-4:] // the beginning is the time
	if c.Anonymous {
		v.Name = "Guest " + end
		return v, "", nil
	}
	identities, err := s.wk.Identities(r.Context(), c.UserID)
	if err != nil {
		return v, "", err
	}
	name, err := s.notes.name(r.Context(), c.UserID)
	if err != nil {
		return v, "", err
	}
	v.Permanent = true
	switch email := emailOf(identities); {
	case email != "":
		v.Name = email
	case name != "":
		v.Name = name
	default:
		v.Name = "Member " + end
	}
	if time.Since(c.ProvenAt) < justNow { // the first page after a form says that it worked
		welcome = "Welcome back."
		if len(identities) == 1 && time.Since(identities[0].CreatedAt) < justNow {
			welcome = "Your account is ready, and what you wrote is in it."
		}
	}
	return v, welcome, nil
}

// name is under which a visitor's device lists their passkey.
func (s *site) name(r *http.Request) string {
	v, _, _ := s.visitor(r) // without one it is the site's
	return v.Name
}

func emailOf(identities []walkin.Identity) string {
	for _, identity := range identities {
		if identity.Provider == emailProvider {
			return identity.Subject
		}
	}
	return ""
}

// ---- the account page ----

// A way is an identity as its owner sees it.
type way struct {
	Provider, Subject string
	Kind              string // "email", "passkey" or the provider's name
	Title             string
	Detail            string
	Password          bool // an address with one
}

type membersPage struct {
	Ways      []way
	Recent    bool // what changes the account is allowed
	Email     string
	Password  bool
	Error     string
	Providers []oidc.Provider // that open the account not yet
	UserID    uuid.UUID
}

func (s *site) account(w http.ResponseWriter, r *http.Request) error {
	return s.showAccount(w, r, http.StatusOK, "")
}

func (s *site) showAccount(w http.ResponseWriter, r *http.Request, status int, complaint string) error {
	c, _ := walkin.FromContext(r.Context())
	page := membersPage{Recent: time.Since(c.ProvenAt) < recently, Error: complaint, UserID: c.UserID}
	var err error
	if page.Ways, err = s.ways(r.Context(), c.UserID); err != nil {
		return err
	}
	used := map[string]bool{}
	for _, way := range page.Ways {
		used[way.Kind] = true
		if way.Kind == "email" && page.Email == "" {
			page.Email, page.Password = way.Subject, way.Password
		}
	}
	for _, p := range s.providers {
		if !used[p.Name] {
			page.Providers = append(page.Providers, p)
		}
	}
	return s.render(w, r, status, "account", page)
}

// ways returns how a member can sign in, oldest first.
func (s *site) ways(ctx context.Context, userID uuid.UUID) ([]way, error) {
	identities, err := s.store.Identities(ctx, userID)
	if err != nil {
		return nil, err
	}
	keys, err := s.passkeys.Keys(ctx, userID)
	if err != nil {
		return nil, err
	}
	var ways []way
	for _, identity := range identities {
		way := way{Provider: identity.Provider, Subject: identity.Subject}
		added := "Added " + when(identity.CreatedAt)
		switch identity.Provider {
		case emailProvider:
			way.Kind, way.Title, way.Password = "email", identity.Subject, len(identity.Secret) > 0
			way.Detail = "A code by mail. " + added
			if way.Password {
				way.Detail = "Your password, or a code by mail. " + added
			}
		case passkey.Provider:
			way.Kind, way.Title, way.Detail = "passkey", "Passkey", added
			for _, key := range keys {
				if key.ID == identity.Subject {
					way.Title, way.Detail = keyTitle(key), keyDetail(key, added)
				}
			}
		default:
			for _, p := range s.providers {
				if p.Issuer == identity.Provider {
					way.Kind, way.Title, way.Detail = p.Name, providerTitle(p), added
				}
			}
			if way.Kind == "" {
				way.Title, way.Detail = identity.Provider, added+"; not offered here any more"
			}
		}
		ways = append(ways, way)
	}
	return ways, nil
}

func keyTitle(key passkey.Key) string {
	if key.Name == "" {
		return "Passkey"
	}
	return key.Name
}

func keyDetail(key passkey.Key, added string) string {
	detail := "A passkey on one device. "
	if key.Synced {
		detail = "A passkey on all your devices. "
	}
	if !key.UsedAt.IsZero() {
		return detail + added + ", last used " + when(key.UsedAt)
	}
	return detail + added
}

func providerTitle(p oidc.Provider) string {
	switch p.Name {
	case "sample":
		return "Sample ID"
	case "github":
		return "GitHub"
	}
	return strings.ToUpper(p.Name[:1]) + p.Name[1:]
}

func (s *site) removeWay(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r); err != nil {
		return err
	}
	user, provider := userID(r), r.PostForm.Get("provider")
	before, err := s.wk.Identities(r.Context(), user)
	if err != nil {
		return err
	}
	if err := s.wk.Unlink(w, r, provider, r.PostForm.Get("subject")); err != nil {
		return err
	}
	// Also to an address that was removed: it may not have been its owner.
	s.notice(before, "a way to sign in was removed from your account")
	http.Redirect(w, r, "/account?removed", http.StatusSeeOther)
	return nil
}

func (s *site) renameKey(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r); err != nil {
		return err
	}
	if err := s.passkeys.Rename(w, r, r.PostForm.Get("id"), r.PostForm.Get("name")); err != nil {
		return s.complain(w, r, err)
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
	return nil
}

// setPassword gives the member's own address a password, or another one, and
// signs everybody out who may know the old one.
func (s *site) setPassword(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r); err != nil {
		return err
	}
	user := userID(r)
	identities, err := s.wk.Identities(r.Context(), user)
	if err != nil {
		return err
	}
	address := emailOf(identities)
	r.PostForm.Set("email", address) // theirs, whatever the form says
	secret, err := s.passwords.NewSecret(r)
	if err != nil {
		return s.complain(w, r, err)
	}
	if err := s.store.SetSecret(r.Context(), emailProvider, address, secret); err != nil {
		return err
	}
	s.notice(identities, "your password was set")
	if err := s.endAll(w, r); err != nil {
		return err
	}
	http.Redirect(w, r, "/signin?password_set", http.StatusSeeOther)
	return nil
}

// complain shows the account page again with what was wrong, where it is the
// member's to mend.
func (s *site) complain(w http.ResponseWriter, r *http.Request, err error) error {
	refusal, ok := errors.AsType[*walkin.Refusal](err)
	if !ok || refusal.Status != http.StatusUnprocessableEntity {
		return err
	}
	return s.showAccount(w, r, refusal.Status, refusal.Message)
}

func (s *site) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	if err := s.endAll(w, r); err != nil {
		return err
	}
	http.Redirect(w, r, "/?signed_out", http.StatusSeeOther)
	return nil
}

// endAll ends every session of the member, and has this browser forget them at once.
func (s *site) endAll(w http.ResponseWriter, r *http.Request) error {
	if err := s.wk.SignOutEverywhere(r.Context(), userID(r)); err != nil {
		return err
	}
	return s.wk.SignOut(w, r)
}

// deleteAccount deletes the user, and with them, by the foreign keys, all they
// wrote.
func (s *site) deleteAccount(w http.ResponseWriter, r *http.Request) error {
	identities, err := s.wk.Identities(r.Context(), userID(r))
	if err != nil {
		return err
	}
	if err := s.wk.DeleteUser(r.Context(), userID(r)); err != nil {
		return err
	}
	s.notice(identities, "your account was deleted")
	if err := s.wk.SignOut(w, r); err != nil {
		return err
	}
	http.Redirect(w, r, "/?deleted", http.StatusSeeOther)
	return nil
}

// ---- mail ----

// noticeNew tells the owner of an account, at every address it had before, that
// there is a new way into it: whoever added it may not be them.
func (s *site) noticeNew(ctx context.Context, user uuid.UUID) error {
	identities, err := s.wk.Identities(ctx, user)
	if err != nil {
		return err
	}
	s.notice(identities[:max(len(identities)-1, 0)], "there is a new way to sign in to your account") // the newest is last
	return nil
}

// notice writes to all addresses among the identities.
func (s *site) notice(identities []walkin.Identity, what string) {
	for _, identity := range identities {
		if identity.Provider == emailProvider {
			fmt.Fprintf(s.mail, "To %s: %s. If that was not you, open %s/account.\n", identity.Subject, what, s.url)
		}
	}
}
