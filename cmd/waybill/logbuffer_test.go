package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a writer that waits until it is opened.
type gate struct {
	open   chan struct{}
	mu     sync.Mutex
	out    bytes.Buffer
	writes int
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writes++
	return g.out.Write(p)
}

// TestLogBuffer: lines come out soon, in order, whole and together; and the last ones at the end.
func TestLogBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		close(g.open)
		b := newLogBuffer(g)
		for i := range 100 {
			fmt.Fprintf(b, "line %d\n", i)
		}
		time.Sleep(2 * logDelay)
		synctest.Wait()
		if lines := strings.Count(g.out.String(), "\n"); lines != 100 || g.writes > 2 {
			t.Errorf("%d lines in %d writes", lines, g.writes)
		}
		fmt.Fprintln(b, "the last one")
		b.Close()
		if !strings.HasSuffix(g.out.String(), "line 98\nline 99\nthe last one\n") {
			t.Errorf("the log ends in %q", g.out.String()[g.out.Len()-40:])
		}
	})
}

// TestLogBufferIsBounded: who logs waits when nobody reads, and nothing is lost.
func TestLogBufferIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		b := newLogBuffer(g)
		line := append(bytes.Repeat([]byte{'x'}, 9999), '\n')
		written := make(chan int, 1)
		go func() {
			for range 500 {
				b.Write(line)
			}
			written <- 500
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		b.mu.Lock()
		if len(b.lines) > maxLog {
			t.Errorf("%d octets wait", len(b.lines))
		}
		b.mu.Unlock()
		select {
		case <-written:
			t.Error("nobody waited")
		default:
		}
		close(g.open)
		<-written
		b.Close()
		if g.out.Len() != 500*len(line) {
			t.Errorf("%d octets came out", g.out.Len())
		}
	})
}
