// Package bench measures walkin beside what its users would pick instead. It
// has no code of its own but benchmarks and the tests that hold the counts of
// allocations; the command in table makes docs/performance.md of them.
package bench
