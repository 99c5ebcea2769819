// Package providers has tests of credential/oidc against real providers. It is a
// module of its own: what those need is nothing that an app should get.
package providers
