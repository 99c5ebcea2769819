package totp_test

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pquerna "github.com/pquerna/otp/totp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/texts"
	"github.com/walkin-go/walkin/walkintest"
)

var _ pages.SecondFactor = (*totp.TOTP)(nil)

// A visitor walks through package pages in one language.
type visitor struct {
	*walkintest.Client
	t        *testing.T
	language string
	mail     map[string]string // the last code, and the subjects of notices
	page     string
	path     string
}

func (v *visitor) send(method, path string, form url.Values) int {
	v.t.Helper()
	for range 5 {
		var body io.Reader
		if method == http.MethodPost {
			body = strings.NewReader(form.Encode())
		}
		r := v.NewRequest(method, path, body)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Language", v.language)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		response := v.Do(r)
		content, err := io.ReadAll(response.Body)
		ok(v.t, err)
		v.page, v.path = html.UnescapeString(string(content)), path
		to := response.Header.Get("Location")
		if to == "" {
			for key, text := range texts.English().Keys() {
				if strings.HasPrefix(key, "factor.") && v.language != "en" && strings.Contains(v.page, text) {
					v.t.Errorf("%s says %q", path, text)
				}
			}
			if !strings.Contains(response.Header.Get("Cache-Control"), "no-store") {
				v.t.Errorf("%s may be kept: %q", path, response.Header.Get("Cache-Control"))
			}
			return response.StatusCode
		}
		method, path = http.MethodGet, to
	}
	v.t.Fatalf("%s leads in circles", path)
	return 0
}

func (v *visitor) open(path string) {
	v.t.Helper()
	if got := v.send(http.MethodGet, path, nil); got != http.StatusOK {
		v.t.Fatalf("%s: got %d\n%s", path, got, v.page)
	}
}

// post sends a form of the last page, and wants a status and where it leads.
func (v *visitor) post(path string, status int, leads string, fields ...string) {
	v.t.Helper()
	form := url.Values{}
	if m := regexp.MustCompile(`name="walkin_rendered_for" value="([^"]*)"`).FindStringSubmatch(v.page); m != nil {
		form.Set("walkin_rendered_for", m[1])
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	if got := v.send(http.MethodPost, path, form); got != status || !strings.HasPrefix(v.path, leads) {
		v.t.Fatalf("%s: got %d at %s, want %d at %s\n%s", path, got, v.path, status, leads, v.page)
	}
}

func (v *visitor) says(words string) {
	v.t.Helper()
	if !strings.Contains(v.page, words) {
		v.t.Fatalf("%s does not say %q:\n%s", v.path, words, v.page)
	}
}

// TestFactorPages walks through the pages: on, signed in with it, a wrong code, new recovery
// codes, off. No page of an Arabic visitor says it in English.
func TestFactorPages(t *testing.T) {
	for _, language := range []*texts.Catalogue{texts.English(), texts.Arabic()} {
		t.Run(language.Language(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { walkPages(t, language) })
		})
	}
}

func walkPages(t *testing.T, c *texts.Catalogue) {
	v := &visitor{t: t, language: c.Language(), mail: map[string]string{}}
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{firstKey}, Store: store, Texts: pages.Languages(),
		Paths: walkin.Paths{Upgrade: "/account/sign-up", SignIn: "/account/sign-in", SignOut: "/account/sign-out", Credentials: []string{"/account/", "/provider"}}})
	ok(t, err)
	passwords, err := password.New(wk, password.Config{Proven: true, Cost: password.Cost{Time: 5, Memory: 7168, Threads: 1}})
	ok(t, err)
	codes, err := code.New(wk, code.Config{Sender: v, Secret: func(r *http.Request) ([]byte, error) {
		if r.PostFormValue("password") == "" {
			return nil, nil
		}
		return passwords.NewSecret(r)
	}})
	ok(t, err)
	if other, err := totp.New(wk, totp.Config{Issuer: "Notes", Page: "/elsewhere"}); err != nil {
		t.Fatal(err)
	} else if _, err := pages.New(wk, pages.Config{Name: "Notes", Password: passwords, Code: codes, SecondFactor: other}); err == nil {
		t.Error("the pages take a factor that asks elsewhere")
	}
	factor, err := totp.New(wk, totp.Config{Issuer: "Notes", Page: "/account/factor"})
	ok(t, err)
	p, err := pages.New(wk, pages.Config{Name: "Notes", URL: "https://app.example", Password: passwords, Code: codes, SecondFactor: factor, Mail: v})
	ok(t, err)
	mux := http.NewServeMux()
	mux.Handle("/account/", p)
	mux.HandleFunc("/provider", func(w http.ResponseWriter, r *http.Request) {
		_, err := wk.Continue(w, r, walkin.Proof{Provider: "https://id.example", Subject: "ann", Method: "fed"})
		ok(t, err)
		http.Redirect(w, r, "/account/", http.StatusSeeOther)
	})
	handler := wk.Handler(mux)
	v.Client = walkintest.NewClient(t, handler)
	says := func(key string, args ...any) { t.Helper(); v.says(c.Text(key, args...)) }

	v.open("/account/sign-up")
	v.post("/account/sign-up", 200, "/account/sign-up/code", "email", ann, "password", secret, "return_to", "/account/")
	v.post("/account/sign-up/code", 200, "/account/", "code", v.mail["code"], "return_to", "/account/")
	says("factor.explain")
	v.post("/account/factor/begin", 200, "/account/factor/set-up")
	says("factor.scan")
	v.says("<svg ")
	v.says(`href="otpauth://totp/Notes:ann@example.com?`)
	key := strings.ReplaceAll(regexp.MustCompile(`<code dir="ltr">([A-Z2-7 ]+)</code>`).FindStringSubmatch(v.page)[1], " ", "")
	now := func() string {
		text, err := pquerna.GenerateCode(key, time.Now())
		ok(t, err)
		return text
	}
	v.post("/account/factor/set-up", 401, "", "code", "000000")
	says("factor.wrong")
	v.says("<svg ")
	v.post("/account/factor/set-up", 200, "", "code", now())
	says("factor.codes_lead")
	recovery := regexp.MustCompile(`<li><code>([a-z2-7-]{19})</code>`).FindAllStringSubmatch(v.page, -1)
	if len(recovery) != 10 || v.mail["subject"] != c.Text("mail.factor_on_subject", "site", "Notes") {
		t.Fatalf("got %d recovery codes and the mail %q", len(recovery), v.mail["subject"])
	}
	v.open("/account/")
	says("factor.state_on", "count", 10)
	if strings.Contains(v.page, c.Text("methods.unknown")) {
		t.Error("the factor is listed as a sign-in method")
	}
	v.post("/provider", 200, "/account/")

	// A password alone, and what the visitor sees without the code.
	v.post("/account/sign-out", 200, "", "return_to", "/account/")
	v.open("/account/sign-in")
	v.post("/account/sign-in", 200, "/account/factor?return_to=", "email", ann, "password", secret, "return_to", "/account/")
	says("factor.lead")
	says("factor.hint") // also who lost their phone gets in
	page := v.page
	v.open("/account/")
	says("signin.title")
	v.page = page
	v.post("/account/factor", 401, "", "code", "000000", "return_to", "/account/")
	says("factor.wrong")
	v.post("/account/factor", 422, "", "code", "what?", "return_to", "/account/")
	step()
	v.post("/account/factor", 200, "/account/", "code", now(), "return_to", "/account/")
	says("factor.state_on", "count", 10)

	// A forgotten password does not go around it.
	v.post("/account/sign-out", 200, "", "return_to", "/account/")
	v.open("/account/sign-in")
	v.post("/account/sign-in/send", 200, "/account/sign-in/code", "email", ann, "return_to", "/account/")
	v.post("/account/sign-in/code", 200, "/account/factor?return_to=", "code", v.mail["code"], "return_to", "/account/")
	v.post("/account/factor", 200, "/account/", "code", recovery[0][1], "return_to", "/account/")
	says("factor.state_on", "count", 9)

	v.post("/account/factor/codes", 401, "", "code", "000000")
	says("factor.wrong")
	step()
	v.post("/account/factor/codes", 200, "", "code", now())
	says("factor.codes_lead")

	// A provider's session adds nothing before a code.
	v.post("/account/sign-out", 200, "", "return_to", "/account/")
	v.post("/provider", 200, "/account/")
	says("factor.first")
	v.open("/account/factor?return_to=/account/")
	step()
	v.post("/account/factor", 200, "/account/", "code", now(), "return_to", "/account/")
	says("add.title")
	if strings.Contains(v.page, c.Text("factor.first")) {
		t.Error("a code is asked for again")
	}

	step()
	v.post("/account/factor/off", 200, "/account/", "code", now())
	says("account.done_factor_off")
	says("factor.explain")
	v.open("/account/factor/set-up")
	if v.path != "/account/" {
		t.Errorf("a set-up that is over shows at %s", v.path)
	}
	if v.mail["subject"] != c.Text("mail.factor_off_subject", "site", "Notes") {
		t.Errorf("got the mail %q", v.mail["subject"])
	}
}

func (v *visitor) Send(_ context.Context, m code.Message) error { v.mail["code"] = m.Code; return nil }

func (v *visitor) Deliver(_ context.Context, _, subject, _, _ string) error {
	v.mail["subject"] = subject
	return nil
}
