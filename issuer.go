package walkin

// An issuer makes tokens: for a new user, for a new session, in place of an older one.
type issuer struct {
	*shared
	health   *storeHealth
	verifier *verifier
}
