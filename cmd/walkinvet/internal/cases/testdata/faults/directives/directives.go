package directives

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a", save) //walkin:allow // want `has no reason` `POST /a`
	//walkin:allow a feedback form, limited by the proxy
	mux.HandleFunc("POST /b", save)
	mux.HandleFunc("POST /c", save) // want `POST /c`
	mux.HandleFunc("POST /d", save) //walkin:allow feedback, limited by the proxy
	mux.HandleFunc("POST /e", save) // want `POST /e`
	mux.HandleFunc("POST /f", save) //walkin:public feedback // want `there is no directive walkin:public` `POST /f`
	mux.Handle("POST /g", wk.RequireUser()(http.HandlerFunc(save)))
	return wk.Handler(mux)
}
