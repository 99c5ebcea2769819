// Package clients has tests of supabasewalkin with real databases, several replicas, a
// real provider and supabase-js from npm. It is a module of its own: what those need is
// nothing that an app should get.
package clients
