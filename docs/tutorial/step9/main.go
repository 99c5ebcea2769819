// Step 9 of docs/tutorial.md: behind a proxy, over https.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

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
	trusted, err := proxies()
	if err != nil {
		return err
	}
	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	site := cmp.Or(os.Getenv("URL"), "http://"+addr) // for links in mail
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(10)                 // times the replicas: at most two or three times the database's cores
	db.SetConnMaxLifetime(5 * time.Minute) // so that none stays with a server that was replaced
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: db})
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
	keys, err := walkin.ParseJWKS([]byte(os.Getenv("WALKIN_KEYS"))) // the same on every machine
	if err != nil {
		return err
	}
	wk, err := walkin.New(walkin.Config{
		Keys:    keys,
		Store:   store,
		Cookies: walkin.Cookies{Insecure: strings.HasPrefix(site, "http:")},
		Proxies: walkin.Proxies{Trusted: trusted},
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

// proxies returns the networks of PROXIES, such as "127.0.0.1/32 ::1/128".
func proxies() (trusted []netip.Prefix, err error) {
	for network := range strings.FieldsSeq(os.Getenv("PROXIES")) {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return nil, err
		}
		trusted = append(trusted, prefix)
	}
	return trusted, nil
}
