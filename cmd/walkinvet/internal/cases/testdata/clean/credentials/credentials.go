package credentials

import (
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/resume"
)

func page(http.ResponseWriter, *http.Request, walkin.Form) {}

func routes(wk *walkin.Middleware, passwords *password.Password, codes *code.Codes, keeper *resume.Keeper) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/upgrade", wk.UpgradeHandler(passwords, page))
	mux.Handle("POST /send", codes.SendHandler("/code", page))
	mux.Handle("POST /form", wk.FormHandler(page, func(http.ResponseWriter, *http.Request) (string, error) { return "", nil }))
	mux.Handle("POST /publish", keeper.RequirePermanent()(http.NotFoundHandler()))
	mux.Handle("POST /resume", keeper)
	mux.Handle("POST /token", wk.TokenHandler())
	return wk.Handler(mux)
}
