// Package docs tests README.md and docs/: every block of code there is run by a test.
// It is a module of its own, since the pages use every module of this repository.
package docs
