package servemux

import (
	"encoding/json"
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	permanent := wk.RequirePermanent()
	mux.Handle("GET /notes", http.HandlerFunc(save))
	mux.Handle("POST /notes", permanent(http.HandlerFunc(save)))
	mux.Handle("POST /notes/{id}", http.HandlerFunc(save))                 // want `every visitor can send POST /notes/\{id\}`
	mux.HandleFunc("DELETE /notes/{id}", save)                             // want `DELETE /notes`
	mux.HandleFunc("PUT example.com/notes/{id}", save)                     // want `PUT example.com/notes`
	mux.HandleFunc(http.MethodPatch+" /notes/{id}", save)                  // want `PATCH /notes`
	mux.HandleFunc("/switch", bySwitch)                                    // want `write to /switch`
	mux.HandleFunc("/if", byIf)                                            // want `write to /if`
	mux.HandleFunc("/unless", unlessPost)                                  // want `write to /unless`
	mux.HandleFunc("/rest", afterGet)                                      // want `write to /rest`
	mux.HandleFunc("/form", byForm)                                        // want `write to /form`
	mux.HandleFunc("/json", byJSON)                                        // want `write to /json`
	mux.HandleFunc("/deep", func(w http.ResponseWriter, r *http.Request) { // want `write to /deep`
		byForm(w, r)
	})
	wk.RequireUser()(http.HandlerFunc(save))
	return wk.Handler(mux)
}

func bySwitch(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost, "PUT":
		save(w, r)
	}
}

func byIf(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		save(w, r)
	}
}

func unlessPost(w http.ResponseWriter, r *http.Request) {
	if http.MethodPost != r.Method {
		http.Error(w, "POST, please", http.StatusMethodNotAllowed)
		return
	}
	save(w, r)
}

func afterGet(w http.ResponseWriter, r *http.Request) {
	if r.Method == "GET" {
		w.Write([]byte("a form"))
		return
	}
	save(w, r)
}

func byForm(w http.ResponseWriter, r *http.Request) {
	w.Write([]byte(r.PostFormValue("text")))
}

func byJSON(w http.ResponseWriter, r *http.Request) {
	var in struct{ Text string }
	_ = json.NewDecoder(r.Body).Decode(&in)
}
