package main

import (
	"io"
	"sync"
	"time"
)

const (
	logDelay = 2 * time.Millisecond // of a line, at most
	maxLog   = 1 << 20              // octets that wait to be written; beyond it whoever logs waits
)

// logBuffer writes lines out a moment later, many at a time: under load a line costs no system call, and a reader of the
// log that is slow for a moment does not keep mail waiting. Close writes what is left.
type logBuffer struct {
	out  io.Writer
	wake chan struct{} // a line came into the empty buffer
	done chan struct{}

	mu     sync.Mutex
	room   sync.Cond
	lines  []byte
	closed bool
}

func newLogBuffer(out io.Writer) *logBuffer {
	b := &logBuffer{out: out, wake: make(chan struct{}, 1), done: make(chan struct{})}
	b.room.L = &b.mu
	go b.run()
	return b
}

// Write implements io.Writer.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.lines) > 0 && len(b.lines)+len(line) > maxLog {
		b.room.Wait()
	}
	if b.closed {
		return b.out.Write(line)
	}
	if len(b.lines) == 0 {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	b.lines = append(b.lines, line...)
	return len(line), nil
}

// Close writes what is left. What is written later goes out at once.
func (b *logBuffer) Close() {
	b.mu.Lock()
	b.closed = true
	close(b.wake)
	b.mu.Unlock()
	<-b.done
}

func (b *logBuffer) run() {
	defer close(b.done)
	var lines []byte
	for range b.wake {
		time.Sleep(logDelay)
		lines = b.take(lines[:0])
		b.out.Write(lines)
	}
	b.out.Write(b.take(nil))
}

// take returns what waits, and leaves the memory of lines in its place.
func (b *logBuffer) take(lines []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, b.lines = b.lines, lines
	b.room.Broadcast()
	return lines
}
