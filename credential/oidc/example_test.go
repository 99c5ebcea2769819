package oidc_test

import (
	"context"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/store/memstore"
)

// A site with two providers. Its sign-in page has the buttons, and shows what
// went wrong at one of them.
func Example() {
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("an example's 32 bytes of secret!")}},
		Store: store,
		Paths: walkin.Paths{SignIn: "/sign-in", Credentials: []string{"/auth/"}},
		Hooks: walkin.Hooks{
			// In the transaction that makes the visitor permanent.
			OnUpgrade: func(ctx context.Context, c walkin.Change) error {
				if p, ok := oidc.ProfileFrom(ctx); ok {
					log.Println("write to the app's own tables:", c.UserID, p.Name, p.Email)
				}
				return nil
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	page := template.Must(template.New("").Parse(`{{with .Refusal}}<p role="alert">{{.Message}}</p>{{end}}
<form method="post" action="/auth/start">
<input type="hidden" name="return_to" value="{{.ReturnTo}}">
<button name="provider" value="google">Go on with Google</button>
<button name="provider" value="github">Go on with GitHub</button>
</form>
`))
	signIn := func(w http.ResponseWriter, r *http.Request, f walkin.Form) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(f.Status)
		_ = page.Execute(w, f)
	}
	google := oidc.Provider{
		Name: "google", Issuer: "https://accounts.google.com", ClientID: "…", ClientSecret: "…",
		VerifiesEmail: true,
	}
	sso, err := oidc.New(wk, oidc.Config{
		URL:       "https://www.example.com/auth/",
		Providers: []oidc.Provider{google, oidc.GitHub("…", "…")},
		Page:      signIn,
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/", sso)
	mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, r *http.Request) {
		signIn(w, r, walkin.Form{Status: http.StatusOK, ReturnTo: walkin.ReturnTo(r)})
	})
	site := wk.Handler(mux)

	// A visitor presses a button.
	form := url.Values{"provider": {"github"}, "return_to": {"/notes"}}
	r := httptest.NewRequest("POST", "/auth/start", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	site.ServeHTTP(w, r)
	to, _ := w.Result().Location()
	fmt.Println(w.Code, to.Host+to.Path, to.Query().Get("redirect_uri"))

	// They say no there, and are who they were.
	r = httptest.NewRequest("GET", "/auth/callback/github?error=access_denied&state="+to.Query().Get("state"), nil)
	r.Header.Set("Accept", "text/html")
	for _, cookie := range w.Result().Cookies() {
		r.AddCookie(cookie)
	}
	w = httptest.NewRecorder()
	site.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 303 github.com/login/oauth/authorize https://www.example.com/auth/callback/github
	// 403 <p role="alert">You did not go on at the other site, so nothing has changed.</p>
	// <form method="post" action="/auth/start">
	// <input type="hidden" name="return_to" value="/notes">
	// <button name="provider" value="google">Go on with Google</button>
	// <button name="provider" value="github">Go on with GitHub</button>
	// </form>
}
