// The site of docs/adding-walkin.md, less what the page shows, and a walk
// through it: it prints who had how many notes at every step.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	"github.com/walkin-go/walkin"

	_ "github.com/jackc/pgx/v5/stdlib"
)

type site struct {
	wk *walkin.Middleware
	db *sql.DB
}

func (s *site) checkPassword(ctx context.Context, email, password string) (account int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT id FROM users WHERE email = $1 AND password_hash = $2`, email, "hash of "+password).Scan(&account)
	return account, err
}

func (s *site) publish(w http.ResponseWriter, r *http.Request) {
	claims, _ := walkin.FromContext(r.Context())
	var account string
	if err := s.db.QueryRowContext(r.Context(), `SELECT email FROM users WHERE walkin_id = $1`, claims.UserID).Scan(&account); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var n int
	if err := s.db.QueryRowContext(r.Context(), `SELECT count(*) FROM notes WHERE owner = $1`, claims.UserID).Scan(&n); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Result", fmt.Sprintf("%d notes of %s", n, account))
}

// main takes the address of a database and the page's two pieces of SQL.
func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, before, after string) error {
	db, err := sql.Open("pgx", address)
	if err != nil {
		return err
	}
	defer db.Close()
	exec := func(text string) {
		if err == nil {
			_, err = db.ExecContext(ctx, text)
		}
	}
	exec(before)
	exec(`INSERT INTO users (email, password_hash) VALUES ('ann@example.com', 'hash of x'), ('bob@example.com', 'hash of x')`)
	exec(`INSERT INTO notes (user_id, body) VALUES (1, 'an old one'), (1, 'another'), (2, 'of Bob')`)
	if err != nil {
		return err
	}
	wk, err := newWalkin(ctx, db)
	if err != nil {
		return err
	}
	if exec(after); err != nil {
		return err
	}
	s := &site{wk, db}
	server := httptest.NewTLSServer(s.routes())
	defer server.Close()

	browser := func() func(path string, form ...string) {
		jar, _ := cookiejar.New(nil)
		client := server.Client()
		client = &http.Client{Transport: client.Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		return func(path string, form ...string) {
			values := url.Values{}
			for i := 0; i < len(form); i += 2 {
				values.Set(form[i], form[i+1])
			}
			post, err := http.NewRequest(http.MethodPost, server.URL+path, strings.NewReader(values.Encode()))
			if err != nil {
				log.Fatal(err)
			}
			post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			post.Header.Set("Sec-Fetch-Site", "same-origin") // as a browser does: no other client gets a user by a post
			r, err := client.Do(post)
			if err != nil {
				log.Fatal(err)
			}
			r.Body.Close()
			fmt.Println(path, r.StatusCode, r.Header.Get("Result"))
		}
	}
	laptop := browser()
	laptop("/notes", "body", "as a guest")
	laptop("/publish")
	laptop("/sign-in", "email", "ann@example.com", "password", "wrong")
	laptop("/sign-in", "email", "ann@example.com", "password", "x") // for the first time since walkin: adopt
	laptop("/publish")
	phone := browser()
	phone("/notes", "body", "as a guest, on the phone")
	phone("/sign-in", "email", "ann@example.com", "password", "x") // the account has a user already: move
	phone("/publish")
	phone("/sign-out")
	phone("/publish")
	phone("/sign-in", "email", "bob@example.com", "password", "x")
	phone("/publish")
	return nil
}
