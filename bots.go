package walkin

import "net/http"

func isBot(r *http.Request) bool { return r.UserAgent() == "" }
