package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/rls"
)

// rest is a small stand-in for PostgREST: one table, select with order, limit and
// equality, and insert. It says so to clients that ask for more. A site that has grown
// beyond it runs PostgREST itself, with the same policies and the same tokens, or
// writes handlers.
type rest struct {
	wk  *walkin.Middleware
	db  *sql.DB
	key string
}

var columns = []string{"id", "user_id", "text", "created_at"}

// A restError is one as PostgREST writes it.
type restError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Details any    `json:"details"`
	Hint    any    `json:"hint"`
}

func (e *restError) Error() string { return e.Message }

func beyond(what string) error {
	return &restError{status: http.StatusBadRequest, Code: "PGRST100", Message: what + " is beyond this stand-in for PostgREST"}
}

func (p *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Content-Range")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "authorization, apikey, content-type, x-client-info, prefer, accept-profile, content-profile, x-retry-count")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.Set("Cache-Control", "private, no-store")
	status, rows, err := p.answer(r)
	if err == nil && strings.Contains(r.Header.Get("Accept"), "application/vnd.pgrst.object+json") && rows != nil {
		var all []json.RawMessage
		if json.Unmarshal(rows, &all) != nil || len(all) != 1 {
			err = &restError{status: http.StatusNotAcceptable, Code: "PGRST116", Message: "Cannot coerce the result to a single JSON object",
				Details: fmt.Sprintf("The result contains %d rows", len(all))}
		} else {
			rows = all[0]
		}
	}
	if e, ok := errors.AsType[*restError](err); ok {
		h.Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(e.status)
		_ = json.NewEncoder(w).Encode(e)
		return
	}
	if err != nil {
		http.Error(w, `{"code":"XX000","message":"internal error","details":null,"hint":null}`, http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(rows)
}

// answer does what is asked, as the user who asks.
func (p *rest) answer(r *http.Request) (status int, rows []byte, err error) {
	claims, known, err := p.who(r)
	if err != nil {
		return 0, nil, err
	}
	query, args, status, err := p.statement(r)
	if err != nil {
		return 0, nil, err
	}
	err = rls.InTx(r.Context(), p.db, claims, func(tx *sql.Tx) error {
		if status == http.StatusCreated && query[:6] == "INSERT" && !strings.Contains(query, "RETURNING") {
			_, err := tx.ExecContext(r.Context(), query, args...)
			return err
		}
		return tx.QueryRowContext(r.Context(), query, args...).Scan(&rows)
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		e := &restError{status: http.StatusBadRequest, Code: pg.Code, Message: pg.Message}
		if pg.Code == "42501" {
			if e.status = http.StatusForbidden; !known {
				e.status = http.StatusUnauthorized
			}
		}
		return 0, nil, e
	}
	return status, rows, err
}

// who returns the claims of the bearer, and the zero Claims, which are the role anon,
// for the API key alone.
func (p *rest) who(r *http.Request) (claims walkin.Claims, known bool, err error) {
	if r.Header.Get("Apikey") != p.key {
		return claims, false, &restError{status: http.StatusUnauthorized, Code: "PGRST301", Message: "No API key found in request"}
	}
	_, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if bearer == "" || bearer == p.key {
		return claims, false, nil
	}
	refused := httptest.NewRecorder()
	p.wk.WithoutCookies(p.wk.RequireUser()(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, known = walkin.FromContext(r.Context())
	}))).ServeHTTP(refused, withoutOrigin(r))
	if !known {
		return claims, false, &restError{status: http.StatusUnauthorized, Code: "PGRST301", Message: "JWT is not valid, or its session has ended"}
	}
	return claims, true, nil
}

// withoutOrigin returns the request without what a browser says by itself: a bearer is
// sent by code, and says alone who asks.
func withoutOrigin(r *http.Request) *http.Request {
	inner := r.Clone(r.Context())
	for name := range inner.Header {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
			inner.Header.Del(name)
		}
	}
	return inner
}

// statement returns the one that answers a request.
func (p *rest) statement(r *http.Request) (query string, args []any, status int, err error) {
	switch r.Method {
	case http.MethodGet:
		query, args, err = selection(r)
		return query, args, http.StatusOK, err
	case http.MethodPost:
		query, args, err = insertion(r)
		return query, args, http.StatusCreated, err
	}
	return "", nil, 0, beyond("the method " + r.Method)
}

func selection(r *http.Request) (string, []any, error) {
	var where, order, most string
	var args []any
	for name, values := range r.URL.Query() {
		value := values[0]
		switch {
		case name == "select":
			if value != "*" {
				return "", nil, beyond("a list of columns")
			}
		case name == "order":
			column, direction, _ := strings.Cut(value, ".")
			if !slices.Contains(columns, column) || direction != "" && direction != "asc" && direction != "desc" {
				return "", nil, beyond("this order")
			}
			order = " ORDER BY " + column + " " + direction
		case name == "limit":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return "", nil, beyond("this limit")
			}
			most = fmt.Sprintf(" LIMIT %d", n)
		case slices.Contains(columns, name) && strings.HasPrefix(value, "eq."):
			args = append(args, value[3:])
			where += fmt.Sprintf(" AND %s::text = $%d", name, len(args))
		default:
			return "", nil, beyond("the parameter " + name)
		}
	}
	return "SELECT coalesce(json_agg(p), '[]') FROM (SELECT * FROM public.posts WHERE true" + where + order + most + ") AS p", args, nil
}

// insertion takes one post or a list of them, of which only the text is the sender's.
func insertion(r *http.Request) (string, []any, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return "", nil, err
	}
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '{' {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	var posts []struct {
		Text *string `json:"text"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&posts); err != nil || len(posts) == 0 || len(posts) > 100 {
		return "", nil, &restError{status: http.StatusBadRequest, Code: "PGRST102", Message: "The body has to be posts with a text and nothing else"}
	}
	var args []any
	var values []string
	for _, post := range posts {
		args = append(args, post.Text)
		values = append(values, fmt.Sprintf("($%d::text)", len(args)))
	}
	query := "INSERT INTO public.posts (text) VALUES " + strings.Join(values, ", ")
	if strings.Contains(r.Header.Get("Prefer"), "return=representation") {
		return "WITH made AS (" + query + " RETURNING *) SELECT coalesce(json_agg(made), '[]') FROM made", args, nil
	}
	return query, args, nil
}
