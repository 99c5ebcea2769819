package walkin

// The parts of a middleware. Each checks its own settings, knows the ones above it, and
// returns what happened; the entry points emit it and answer.
type parts struct {
	*shared
	health    *storeHealth   // is the store there, and which one is it
	verifier  *verifier      // whose request is it
	issuer    *issuer        // tokens
	limits    *newUserLimits // how many may come
	data      *dataCarrier   // of sessions, for LoadAndSave
	admission *admission     // what a request may do
}
