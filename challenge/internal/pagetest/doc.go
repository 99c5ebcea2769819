// Package pagetest has tests of challenge's page in a real browser, which must not
// become a dependency of apps.
package pagetest
