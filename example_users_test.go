package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// member is a site with one permanent user, her browser and her ID.
func member(cfg walkin.Config) (wk *walkin.Middleware, ann *walkintest.Client, id uuid.UUID) {
	wk = exampleMiddleware(cfg)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-up", signUp(wk))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, c.UserID)
	})
	ann = walkintest.NewClient(new(testing.T), wk.Handler(mux))
	ann.Post("/sign-up", url.Values{"name": {"ann"}})
	text, _ := io.ReadAll(ann.Visit("/").Body)
	return wk, ann, uuid.MustParse(string(text))
}

// The first start makes the file, and all others read it. Replicas share it.
func ExampleKeyFile() {
	folder, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	keys, err := walkin.KeyFile(filepath.Join(folder, "walkin.jwks"))
	fmt.Println(len(keys), err)
	again, err := walkin.KeyFile(filepath.Join(folder, "walkin.jwks"))
	fmt.Println(again[0].ID == keys[0].ID, err)
	// Output:
	// 1 <nil>
	// true <nil>
}

// For clients that read the JWKS and know no EdDSA, such as supabase-js.
func ExampleKeyFileES256() {
	folder, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	keys, err := walkin.KeyFileES256(filepath.Join(folder, "walkin.jwks"))
	fmt.Println(len(keys), err)
	// Output:
	// 1 <nil>
}

// Keys from a secret manager are a JWK set (RFC 7517). The first one signs.
func ExampleParseJWKS() {
	keys, err := walkin.ParseJWKS([]byte(`{"keys": [{"kty": "oct", "kid": "2026-11", "alg": "HS256", "k": "MzIgcmFuZG9tIGJ5dGVzLCBub3QgdGhlc2Ugd29yZHM"}]}`))
	fmt.Println(len(keys), err)
	// Output:
	// 1 <nil>
}

// A secret for something else is derived, so that neither can stand for the other.
func ExampleKey_Derive() {
	one, err := exampleKeys[0].Derive("links in our mail")
	fmt.Println(len(one), err)
	_, err = walkin.Key{}.Derive("links in our mail") // nothing in it is secret
	fmt.Println(err != nil)
	// Output:
	// 32 <nil>
	// true
}

// Events tell the operator what happened, without tokens and addresses.
func ExampleEvent() {
	_, _, _ = member(walkin.Config{OnEvent: func(_ context.Context, e walkin.Event) {
		if e.Outcome == walkin.Upgraded {
			fmt.Println(e.Outcome, e.Provider)
		}
	}, Logger: slog.New(slog.DiscardHandler)})
	// Output:
	// upgraded shop
}

// Programs tell refusals apart by their reason. A few have names for errors.Is.
func ExampleRefusal() {
	err := error(&walkin.Refusal{Status: http.StatusForbidden, Reason: walkin.ReasonAnonymous})
	refusal, is := errors.AsType[*walkin.Refusal](err)
	fmt.Println(is, refusal.Status, refusal.Reason)
	// Output:
	// true 403 anonymous
}

// A stolen laptop: all sessions of a user end.
func ExampleMiddleware_SignOutEverywhere() {
	wk, ann, id := member(walkin.Config{})
	fmt.Println(wk.SignOutEverywhere(context.Background(), id))
	text, _ := io.ReadAll(ann.Fetch("/").Body)
	fmt.Println(string(text) == id.String())
	// Output:
	// <nil>
	// false
}

// The user, their sessions and identities go. Only the ID stays, for as long as an old
// token could name it. Hooks.OnDelete removes what the app has of them.
func ExampleMiddleware_DeleteUser() {
	wk, _, id := member(walkin.Config{Hooks: walkin.Hooks{OnDelete: func(_ context.Context, _ uuid.UUID) error {
		fmt.Println("their notes go too")
		return nil
	}}})
	fmt.Println(wk.DeleteUser(context.Background(), id))
	// Output:
	// their notes go too
	// <nil>
}

// A banned user is refused until the ban ends, or forever.
func ExampleMiddleware_Ban() {
	wk, ann, id := member(walkin.Config{})
	err := wk.Ban(context.Background(), id, store.Ban{Until: time.Now().AddDate(0, 0, 7), Reason: "spam"})
	fmt.Println(err, ann.Post("/sign-up", url.Values{"name": {"ann"}}).StatusCode)
	err = wk.Unban(context.Background(), id)
	fmt.Println(err, ann.Post("/sign-up", url.Values{"name": {"ann"}}).StatusCode)
	// Output:
	// <nil> 403
	// <nil> 200
}

// Export is what a user may ask for: everything that walkin stores about them.
func ExampleMiddleware_Export() {
	wk, _, id := member(walkin.Config{})
	e, err := wk.Export(context.Background(), id)
	fmt.Println(len(e.Identities), len(e.Sessions), err)
	// Output:
	// 1 1 <nil>
}

// Identities are the ways in which a user can sign in.
func ExampleMiddleware_Identities() {
	wk, _, id := member(walkin.Config{})
	all, err := wk.Identities(context.Background(), id)
	for _, one := range all {
		fmt.Println(one.Provider, one.Subject)
	}
	fmt.Println(err)
	// Output:
	// shop ann
	// <nil>
}

// A WebSocket learns that its user signed out, was banned or has signed up.
func ExampleMiddleware_Watch() {
	wk, _, id := member(walkin.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changed := wk.Watch(ctx, id)
	if err := wk.SignOutEverywhere(ctx, id); err != nil {
		fmt.Println(err)
	}
	<-changed
	fmt.Println("ask IsAlive again")
	// Output:
	// ask IsAlive again
}

// Once a day, or by RunSweeper: anonymous users who stayed away are deleted.
func ExampleMiddleware_Sweep() {
	wk, _, _ := member(walkin.Config{})
	swept, err := wk.Sweep(context.Background(), walkin.SweepOptions{})
	fmt.Println(swept, err)
	// Output:
	// 0 <nil>
}

// RunSweeper and RunFeed run until their context ends; each has a line in main.
func ExampleMiddleware_RunFeed() {
	wk, _, _ := member(walkin.Config{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- wk.RunFeed(ctx) }()
	stop()
	fmt.Println(errors.Is(<-done, context.Canceled))
	// Output:
	// true
}

// Services behind the app verify what AccessToken signs, with JWKSHandler's keys.
func ExampleMiddleware_AccessToken() {
	wk := exampleMiddleware(walkin.Config{})
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := wk.AccessToken(r.Context(), "billing", time.Minute)
		fmt.Fprint(w, token != "", " ", err)
	}))
	c := walkintest.NewClient(new(testing.T), site)
	c.Post("/", nil)
	browse(c.Fetch("/"))
	// Output:
	// 200 true <nil>
}

// Session data of scs belongs to the user, and moves with them when they sign up.
func ExampleMiddleware_LoadAndSave() {
	wk, sm := exampleMiddleware(walkin.Config{}), scs.New()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /theme", func(_ http.ResponseWriter, r *http.Request) { sm.Put(r.Context(), "theme", "dark") })
	mux.HandleFunc("POST /sign-up", signUp(wk))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, sm.GetString(r.Context(), "theme")) })
	c := walkintest.NewClient(new(testing.T), wk.Handler(wk.LoadAndSave(sm)(mux)))
	c.Post("/theme", nil)
	c.Post("/sign-up", url.Values{"name": {"ann"}})
	browse(c.Visit("/"))
	// Output:
	// 200 dark
}
