package pebble

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// logger is what Pebble logs to. Its Fatalf ends the generation instead of the process.
type logger struct {
	*slog.Logger
	g *generation
}

// Infof drops what Pebble says about its routine.
func (l *logger) Infof(string, ...any) {}

func (l *logger) Errorf(format string, args ...any) {
	if !l.g.failed() {
		l.Error("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Fatalf must not return. On a goroutine that called into Pebble from this package it panics, which rescue turns
// into an error; on one of Pebble's own there is nobody to catch that, so it ends only the goroutine.
func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+format, args...)
	l.Error("pebble cannot go on", "error", err)
	l.g.wrecked.Store(true)
	l.g.fence.kill(err)
	if calledFromHere() {
		panic(err)
	}
	runtime.Goexit()
}

// calledFromHere says whether a function of this package that is not the logger's is on the stack.
func calledFromHere() bool {
	pcs := make([]uintptr, 256)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "waybill/internal/store/pebble.") &&
			!strings.Contains(frame.Function, "(*logger)") {
			return true
		}
		if !more {
			return false
		}
	}
}

// listener hears of background work that went wrong.
func (l *logger) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if l.g.failed() {
				// Pebble tries again at once, until it is closed. Do not let it spin.
				time.Sleep(10 * time.Millisecond)
				return
			}
			l.Error("store: background work failed", "error", err)
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			l.Error("store: data on disk is corrupt", "file", i.Path, "error", i.Details)
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			l.Warn("store: writes wait for the disk", "reason", i.Reason)
		},
	}
}
