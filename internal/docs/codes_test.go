package docs

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/code/smtp"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A mailbox keeps the last message that was sent.
type mailbox struct{ last code.Message }

func (m *mailbox) Send(_ context.Context, message code.Message) error {
	m.last = message
	return nil
}

// TestCodesPage fills in the forms of docs/codes.md at a site that is wired as the page
// says: asking makes no user, and the code keeps the ID.
func TestCodesPage(t *testing.T) {
	sender := &mailbox{}
	cfg := defaults()
	cfg.Paths = walkin.Config{
		Paths: walkin.Paths{SignIn: "/signin", Credentials: []string{"/signin/", "/code"}},
	}.Paths
	wk := newWalkin(t, cfg)
	mux := http.NewServeMux()
	var addressPage, codePage walkin.Page

	codes, err := code.New(wk, code.Config{
		Sender: sender,
		Link:   "https://margin.example/code",
	})
	ok(t, err)
	mux.Handle("/signin/send", codes.SendHandler("/signin", addressPage)) // asks for the address
	mux.Handle("/signin", wk.SignInHandler(codes, codePage))              // asks for the code
	mux.Handle("/code", codes.LinkHandler(nil))                           // what the link in the mail opens

	mux.HandleFunc("/whoami", whoami)
	site := wk.Handler(mux)
	forms := formsOf(t, "codes.md")
	ask, prove := forms[0], forms[1]

	reader := walkintest.NewClient(t, site)
	reader.Post(ask.action, ask.filled(t, "email", "bob@example.com"))
	if id, _ := is(t, reader); id != [16]byte{} && reader.Cookie("__Host-walkin-anon") == "" {
		t.Error("asking for a code made a user")
	}
	c := walkintest.NewClient(t, site)
	c.Visit("/whoami")
	before, _ := is(t, c)
	mustBe(t, c.Post(ask.action, ask.filled(t, "email", "ann@example.com")), http.StatusSeeOther)
	r := mustBe(t, c.Post(prove.action, prove.filled(t, "code", sender.last.Code)), http.StatusSeeOther)
	if got := r.Header.Get("Location"); got != "/whoami" {
		t.Errorf("went on to %q", got)
	}
	if after, kind := is(t, c); after != before || kind != "permanent" {
		t.Errorf("got %v %s, want %v", after, kind, before)
	}
}

// TestSMTPPage holds that the sender of docs/codes.md is one; credential/code/smtp tests
// that it sends.
func TestSMTPPage(t *testing.T) {
	t.Setenv("SMTP_PASSWORD", "secret")
	sender, err := smtp.New(smtp.Config{
		Host: "smtp.example.net", Username: "margin", Password: os.Getenv("SMTP_PASSWORD"),
		From: "Margin <hello@margin.example>", Site: "Margin",
	})
	ok(t, err)
	var _ code.Sender = sender
}

// TestJoinPage runs the sign-up of docs/codes.md by an address and a password in one step,
// and another password afterwards.
func TestJoinPage(t *testing.T) {
	sender, store, mux := &mailbox{}, memstore.New(), http.NewServeMux()
	var joinPage, codePage, signInPage walkin.Page

	wk, err := walkin.New(walkin.Config{
		Keys: defaults().Keys, Store: store,
		Paths: walkin.Paths{Upgrade: "/join", SignIn: "/signin", Credentials: []string{"/join/"}},
	})
	ok(t, err)
	passwords, err := password.New(wk, password.Config{Proven: true})
	ok(t, err)
	codes, err := code.New(wk, code.Config{Sender: sender, Secret: passwords.NewSecret})
	ok(t, err)

	mux.Handle("/join/send", codes.SendHandler("/join", joinPage)) // the fields email and password
	mux.Handle("/join", wk.UpgradeHandler(codes, codePage))
	mux.Handle("/signin", wk.SignInHandler(passwords, signInPage)) // email and password

	mux.HandleFunc("/whoami", whoami)
	mux.Handle("/password", wk.RequireRecent(wk.RecentProof())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, address := r.Context(), "ann@example.com"
		c, _ := walkin.FromContext(ctx)
		secret, err := passwords.NewSecret(r)
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		if err := store.SetSecret(ctx, "email", address, secret); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		if err := wk.EndOtherSessions(ctx, c.UserID, c.SessionID); err != nil {
			wk.Refuse(w, r, err)
		}
	})))
	site := wk.Handler(mux)
	typed := func(word string) url.Values {
		return url.Values{"email": {"ann@example.com"}, "password": {word}}
	}
	c := walkintest.NewClient(t, site)
	c.Visit("/whoami")
	before, _ := is(t, c)
	mustBe(t, c.Post("/join/send", typed("correct horse battery")), http.StatusSeeOther)
	mustBe(t, c.Post("/join", url.Values{"code": {sender.last.Code}}), http.StatusSeeOther)
	mustBe(t, c.Post("/password", typed("staple of another kind")), http.StatusOK)
	for word, status := range map[string]int{"correct horse battery": http.StatusUnauthorized, "staple of another kind": http.StatusSeeOther} {
		other := walkintest.NewClient(t, site)
		mustBe(t, other.Post("/signin", typed(word)), status)
		if id, _ := is(t, other); (id == before) != (status == http.StatusSeeOther) {
			t.Errorf("with %q: got %v", word, id)
		}
	}
}
