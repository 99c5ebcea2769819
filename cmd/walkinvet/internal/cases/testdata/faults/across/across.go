package across

import (
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/cmd/walkinvet/internal/cases/testdata/faults/across/web"
)

func routes(wk *walkin.Middleware) http.Handler {
	api := web.New(wk)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /create", api.Create) // want `POST /create`
	mux.HandleFunc("POST /mine", api.Mine)
	mux.Handle("POST /members", web.Members(wk)(http.HandlerFunc(api.Create)))
	mux.Handle("POST /logged", web.Logged(http.HandlerFunc(api.Create))) // want `POST /logged`
	web.Register(mux, web.Members(wk))                                   // want `POST /open \(web.go:[0-9]+ of .*web\)`
	mux.Handle("/router/", http.StripPrefix("/router", web.Router()))    // want `DELETE /router/thing`
	mux.Handle("/kept/", web.Members(wk)(web.Router()))
	return wk.Handler(mux)
}
