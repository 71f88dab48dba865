//go:build !race

package pebble_test

// slowness divides the work of the crash tests.
const slowness = 1
