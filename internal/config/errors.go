package config

import (
	"fmt"
	"strings"
)

// Error is one mistake in a configuration file.
type Error struct {
	File    string
	Line    int    // 1 for the first; 0 when the file could not be read
	Key     string // "listen.smtp"; "" for what is no TOML
	Problem string // what is wrong
	Fix     string // what to write instead
}

// Error returns the mistake on one line: file:line: key: problem; fix.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Problem)
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

// Errors are all mistakes of a configuration file, in the order of its lines.
type Errors []Error

// Error returns one mistake a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// mistake is an Error that does not know yet where it stands; line 0 means the line of its key.
type mistake struct {
	line         int
	problem, fix string
}

func wrong(problem, fix string) *mistake { return &mistake{problem: problem, fix: fix} }
