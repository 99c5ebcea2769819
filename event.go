package walkin

import (
	"github.com/google/uuid"
)

// An Outcome says what walkin did about a visitor. [Middleware.Continue]
// returns the five it can end in; events carry all of them.
type Outcome string

const (
	Upgraded Outcome = "upgraded"  // an anonymous user got an identity: same ID, now permanent
	SignedUp Outcome = "signed_up" // nobody got an identity and a new permanent user
	SignedIn Outcome = "signed_in" // the owner of the identity, again or for the first time here
	Merged   Outcome = "merged"    // an anonymous user became the owner of the identity; the app moved their data
	Linked   Outcome = "linked"    // a permanent user got one more identity

	Minted             Outcome = "minted"              // a visitor got an anonymous user ID
	Skipped            Outcome = "skipped"             // a visitor without a user, or a row, got none; Reason says why
	Persisted          Outcome = "persisted"           // an anonymous user became a row
	Revived            Outcome = "revived"             // a user whom the store had never heard of came back under their ID
	Renewed            Outcome = "renewed"             // a token was issued anew
	Unlinked           Outcome = "unlinked"            // a user removed an identity
	SignedOut          Outcome = "signed_out"          // a session ended, or all of a user's
	Deleted            Outcome = "deleted"             // a user was deleted
	Refused            Outcome = "refused"             // a visitor was refused; Reason says why
	Impersonated       Outcome = "impersonated"        // an operator began to see the site as a user
	ImpersonationEnded Outcome = "impersonation_ended" // and stopped, or it was seen to be over

	Banned   Outcome = "banned"   // a user was banned
	Unbanned Outcome = "unbanned" // a ban was lifted
	Swept    Outcome = "swept"    // anonymous users who stayed away were deleted; Count says how many
	Failed   Outcome = "failed"   // something broke and the request went on; Reason says what
)

// An Event tells the owner of the site what happened. It holds no token, no
// secret and no address, and nothing a stranger wrote.
type Event struct {
	Outcome   Outcome
	Reason    string    // of Skipped, Refused and Failed: "bot", "anonymous", "store_down"; of SignedOut, "session_limit"
	UserID    uuid.UUID // zero for nobody
	ActorID   uuid.UUID // the operator who sees the site as the user; or zero
	GuestID   uuid.UUID // the anonymous user who is gone, with Merged
	SessionID uuid.UUID
	Provider  string // of the identity, where there is one
	Note      string // of Impersonated and ImpersonationEnded: the operator's reason
	Count     int    // of Swept
	Err       error  // what caused it, where there is a cause
}
