package oidc

// Bounded is bounded.
var Bounded = bounded
