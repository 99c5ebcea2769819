// Step 7 of docs/tutorial.md: an address is proven by a code in a mail.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"

	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/store/sqlstore"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	site := cmp.Or(os.Getenv("URL"), "http://"+addr) // for links in mail
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
		Paths: walkin.Paths{
			Upgrade: "/account/sign-up", SignIn: "/account/sign-in", SignOut: "/account/sign-out",
			Credentials: []string{"/account/"},
		},
		Hooks: walkin.Hooks{OnMerge: notes.move},
		Texts: pages.Languages(), // of the visitor's browser
	})
	if err != nil {
		return err
	}
	account, err := newAccount(wk, site)
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", notes.show)
	mux.Handle("POST /notes", wk.RequireUser()(http.HandlerFunc(notes.write)))
	mux.Handle("/account/", account)
	mux.Handle("GET /publish", wk.RequirePermanent()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Published.")
	})))

	log.Print(site)
	return http.ListenAndServe(addr, wk.Handler(http.NewCrossOriginProtection().Handler(mux)))
}
