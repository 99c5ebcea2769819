// Package bench compares walkin with what its users would choose instead. It contains
// only benchmarks and the tests that hold the counts of allocations. The command in
// table makes docs/performance.md of them.
package bench
