// Step 5 of docs/tutorial.md: what visitors make outlives the process.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"

	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/sqlstore"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	db, err := sql.Open("sqlite", "file:notes.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
	if err != nil {
		return err
	}
	notes := board{db}
	if err := store.Migrate(ctx); err != nil { // makes walkin's tables, or brings them up to date
		return err
	}
	if err := notes.migrate(ctx); err != nil { // after walkin's, since it refers to them
		return err
	}
	keys, err := walkin.KeyFile("walkin.key")
	if err != nil {
		return err
	}
	wk, err := walkin.New(walkin.Config{
		Keys:    keys,
		Store:   store,
		Cookies: walkin.Cookies{Insecure: true},
		Paths:   walkin.Paths{Upgrade: "/upgrade", SignIn: "/signin"},
		Hooks:   walkin.Hooks{OnMerge: notes.move},
	})
	if err != nil {
		return err
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", notes.show)
	mux.Handle("POST /notes", wk.RequireUser()(http.HandlerFunc(notes.write)))
	mux.Handle("/upgrade", wk.UpgradeHandler(passwords, form("Make an account")))
	mux.Handle("/signin", wk.SignInHandler(passwords, form("Sign in")))
	mux.Handle("GET /publish", wk.RequirePermanent()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Published.")
	})))
	site := wk.Handler(http.NewCrossOriginProtection().Handler(mux))

	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	log.Print("http://", addr)
	return http.ListenAndServe(addr, site)
}

// form is a page with an address and a password. It posts to its own path.
func form(title string) walkin.Page {
	return func(w http.ResponseWriter, r *http.Request, f walkin.Form) {
		w.WriteHeader(f.Status)
		_ = account.Execute(w, map[string]any{"Title": title, "Form": f})
	}
}

var account = template.Must(template.New("").Parse(`<!doctype html>
<title>{{.Title}}</title>
{{with .Form.Refusal}}<p role="alert">{{.Message}}</p>{{end}}
<form method="post">
<input type="hidden" name="return_to" value="{{.Form.ReturnTo}}">
<input name="email" type="email" placeholder="E-mail" required>
<input name="password" type="password" placeholder="Password" required>
<button>{{.Title}}</button>
</form>
`))
