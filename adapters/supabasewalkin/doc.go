// Package supabasewalkin answers the API of Supabase Auth, so that supabase-js and its
// kin for Flutter and Swift work unchanged against a Go app with walkin inside:
//
//	auth, err := supabasewalkin.New(wk, supabasewalkin.Config{
//		URL: "https://example.com/auth/v1", SiteURL: "https://example.com/",
//		Profiles: supabasewalkin.Memory(), PublishableKeys: []string{key},
//		Send: send,
//	})
//	…
//	mux.Handle("/auth/v1/", http.StripPrefix("/auth/v1", auth))
//
//	await supabase.auth.signInAnonymously()
//	await supabase.auth.updateUser({ email })
//	await supabase.auth.verifyOtp({ email, token, type: 'email_change' })
//
// # What is believed
//
// The bearer token alone says who a request is from: no cookie of a visitor's is read
// or set here. An API key is in every page and proves nothing. A secret key opens the
// admin calls.
//
// An address belongs to the client that brings the code or link that was sent to it.
// The tokens go into the answer to that very request. A link may be opened elsewhere
// than where it was asked for. Then it proves an address and no more: it does not
// upgrade the session that asked, and no password comes along. To tell the two apart,
// the client uses PKCE, or its page is of this origin.
//
// As everywhere in walkin, an upgrade ends all older tokens of its user. One call
// changes identities and has no room for tokens in its answer: PUT /user with
// Config.Autoconfirm, see there.
//
// # What it does not do
//
// MFA, SAML, Web3, the OAuth server and SCIM are refused, with the codes that clients
// know. The package has no PostgREST: tables are the app's, see package rls.
package supabasewalkin
