package smtp_test

import (
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
)

func serve(wk *walkin.Middleware, codes *code.Codes) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/send", codes.SendHandler("/upgrade", nil))
	mux.Handle("/upgrade", wk.UpgradeHandler(codes, nil))
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	return wk.Handler(mux)
}
