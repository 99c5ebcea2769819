package rest

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

// A controller has what a resource can do.
type controller interface {
	Index(http.ResponseWriter, *http.Request)
	Create(http.ResponseWriter, *http.Request)
}

type posts struct{ all []string }

func (p *posts) Index(w http.ResponseWriter, r *http.Request) {}
func (p *posts) Create(w http.ResponseWriter, r *http.Request) {
	p.all = append(p.all, r.FormValue("title"))
}

type deps struct {
	wk    *walkin.Middleware
	posts controller
}

func (d deps) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /posts", d.posts.Index)
	mux.HandleFunc("POST /posts", d.posts.Create)   // want `every visitor can`
	mux.HandleFunc("/upload", upload)               // want `every visitor can`
	mux.HandleFunc("/settings", settings)           // want `every visitor can`
	mux.HandleFunc("/profile", profile)             // want `every visitor can`
	mux.Handle("/toggle", http.HandlerFunc(toggle)) // want `every visitor can`
	mux.Handle("POST /mine", d.wk.RequireUser()(http.HandlerFunc(profile)))
}

func upload(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	_, _, _ = r.FormFile("file")
}

func settings(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost, http.MethodPut:
		r.ParseForm()
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func profile(w http.ResponseWriter, r *http.Request) {
	if r.Method == "POST" {
		save(r.PostFormValue("name"))
		http.Redirect(w, r, "/profile", http.StatusSeeOther)
		return
	}
}

func toggle(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		save("")
	}
}

func save(string) {}

func Site(wk *walkin.Middleware) *http.Server {
	mux := http.NewServeMux()
	deps{wk: wk, posts: &posts{}}.register(mux)
	return &http.Server{Addr: ":8080", Handler: wk.Handler(mux)}
}
