package walkin

import "github.com/walkin-go/walkin/internal/request"

// An admission decides what a request may do: write for its visitor, give them a new
// user, or store that user. It changes nothing.
type admission struct {
	*shared
	verifier     *verifier
	site         request.Site
	firstCookies *firstCookies
}
