package walkin

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// A secondFactor is what [Middleware.AttachSecondFactor] attaches.
type secondFactor interface {
	Lacks(ctx context.Context, userID uuid.UUID, method string, adds bool) (bool, error)
	Hold(w http.ResponseWriter, r *http.Request, p Proof) error
}

// halfProven rolls back a change whose proof is not enough.
type halfProven struct{}

func (halfProven) Error() string { return "walkin: the user has a second factor" }

// signInMethods leaves out what opens no session.
func signInMethods(identities []store.Identity) []store.Identity {
	return slices.DeleteFunc(identities, func(i store.Identity) bool { return i.Provider == store.FactorProvider })
}
