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
// Who a request is from, its bearer token says alone: no cookie of a visitor's is read
// or set here. An API key is in every page and proves nothing. A secret key opens the
// admin calls.
//
// An address belongs to whoever brings the code or link that was sent to it, and the
// tokens go into the answer to that very request. A link that is opened elsewhere than
// where it was asked for proves an address and no more: it upgrades nobody else's
// session, and no password comes along. To tell, the client uses PKCE, or its page is
// of this origin.
//
// As everywhere in walkin, an upgrade ends all older tokens of its user. The one call
// that changes identities and has no room for tokens in its answer is PUT /user with
// Config.Autoconfirm, see there.
//
// # What it does not do
//
// MFA, SAML, Web3, the OAuth server and SCIM are refused, with the codes that clients
// know. It has no PostgREST: tables are the app's, see package rls.
package supabasewalkin
