// Package browser has tests of challenge's page in a real browser. It is a module
// of its own: what drives one is nothing that an app should get.
package browser
