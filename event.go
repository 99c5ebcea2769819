package walkin

import (
	"github.com/google/uuid"
)

// An Outcome says what walkin did about a visitor. [Middleware.Continue]
// returns the five it can end in; events carry all of them.
type Outcome string

const (
	Upgraded Outcome = "upgraded"  // an anonymous user got an identity: same ID, now permanent
	SignedUp Outcome = "signed_up" // a visitor without a user got an identity and a new permanent user
	SignedIn Outcome = "signed_in" // the owner of the identity, again or for the first time here
	Merged   Outcome = "merged"    // an anonymous user became the owner of the identity; the app moved their data
	Linked   Outcome = "linked"    // a permanent user got one more identity

	Minted             Outcome = "minted"              // a visitor got an anonymous user ID
	Skipped            Outcome = "skipped"             // no user was minted or stored; Reason says why
	Persisted          Outcome = "persisted"           // an anonymous user was stored
	Joined             Outcome = "joined"              // an anonymous user goes on in one more browser
	Revived            Outcome = "revived"             // a user whom the store had never heard of came back under their ID
	Renewed            Outcome = "renewed"             // a token was re-issued
	Unlinked           Outcome = "unlinked"            // a user removed an identity
	SignedOut          Outcome = "signed_out"          // a session ended, or all of a user's
	Deleted            Outcome = "deleted"             // a user was deleted
	Refused            Outcome = "refused"             // a visitor was refused; Reason says why
	Impersonated       Outcome = "impersonated"        // an operator began to see the site as a user
	ImpersonationEnded Outcome = "impersonation_ended" // and stopped, or it was seen to be over

	Banned   Outcome = "banned"   // a user was banned
	Unbanned Outcome = "unbanned" // a ban was lifted
	Swept    Outcome = "swept"    // anonymous users who stayed away were deleted; Count says how many
	Failed   Outcome = "failed"   // something failed and the request went on; Reason says what
)

// An Event tells the operator what happened. It holds no token, no secret and no
// address, and nothing that a visitor wrote.
type Event struct {
	Outcome     Outcome
	Reason      Reason    // of Skipped, Refused and Failed: why; of SignedOut where the user did not ask for it
	Token       Reason    // of Skipped and Minted: why the token in the request was not accepted; empty without one
	UserID      uuid.UUID // zero without a user
	ActorID     uuid.UUID // the operator who sees the site as the user; or zero
	AnonymousID uuid.UUID // the anonymous user who is gone, with Merged; or who was left, with Joined
	SessionID   uuid.UUID
	Provider    string // of the identity, where there is one
	Note        string // of Impersonated and ImpersonationEnded: the operator's reason
	Count       int    // of Swept
	Err         error  // what caused it, where there is a cause
}
