//go:build race

package pebble_test

// slowness divides the work of the crash tests: with the race detector Pebble also checks its own invariants at
// every step, which takes forty times as long.
const slowness = 4
