package main

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/term"
)

// progress tells on a terminal how far something is.
type progress struct {
	out   io.Writer // nil: nobody looks
	what  string
	began time.Time
	last  time.Time
}

func newProgress(std streams, what string) *progress {
	p := &progress{what: what, began: time.Now()}
	if f, ok := fileUnder(std.err); ok && term.IsTerminal(int(f.Fd())) {
		p.out = std.err
	}
	return p
}

// show tells of so many messages, which are that part of all, from 0 to 1.
func (p *progress) show(messages int, part float64) {
	if p.out == nil || time.Since(p.last) < time.Second/4 {
		return
	}
	p.last = time.Now()
	took := time.Since(p.began)
	text := fmt.Sprintf("\r%d messages %s, %.0f a second", messages, p.what, float64(messages)/max(took.Seconds(), 0.001))
	if part > 0 && part <= 1 {
		left := time.Duration(float64(took) * (1 - part) / part)
		text += fmt.Sprintf(", %.0f %%, %s left", 100*part, left.Round(time.Second))
	}
	fmt.Fprint(p.out, text+"   ")
}

// end leaves the line.
func (p *progress) end() {
	if p.out != nil && !p.last.IsZero() {
		fmt.Fprintln(p.out)
		p.last = time.Time{}
	}
}
