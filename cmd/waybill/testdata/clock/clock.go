// Package main, here, is what the tests add to the program to give it a wrong clock (nodesclock_test.go): the system call
// clock_gettime is answered with another time of day, as a machine has it whose clock is wrong. Nothing else is changed.
package main

import (
	"os"
	"time"
	_ "unsafe" // for the link name
)

// vdsoClockgettimeSym is the address of the function that the runtime asks for the time.
//
//go:linkname vdsoClockgettimeSym runtime.vdsoClockgettimeSym
var vdsoClockgettimeSym uintptr

// wrongBy is how many seconds the clock is ahead.
var wrongBy = setClock()

func setClock() int64 {
	d, err := time.ParseDuration(os.Getenv("WAYBILL_TEST_CLOCK"))
	if err != nil {
		return 0
	}
	vdsoClockgettimeSym = wrongClock()
	return int64(d / time.Second)
}

// wrongClock is the address of a function like clock_gettime(2).
func wrongClock() uintptr
