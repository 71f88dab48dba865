package mail

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Enhanced is an enhanced mail system status code: class, subject, detail (RFC 3463 §2).
// The zero value means that there is none.
type Enhanced [3]uint16

// String returns "5.1.1", or "" for the zero value.
func (e Enhanced) String() string {
	if e == (Enhanced{}) {
		return ""
	}
	var b [len("5.999.999") + 8]byte
	text := b[:0]
	for i, n := range e {
		if i > 0 {
			text = append(text, '.')
		}
		text = strconv.AppendUint(text, uint64(n), 10)
	}
	return string(text)
}

// Status is the outcome of one step of mail transfer, in the form in which SMTP says it:
// a reply code (RFC 5321 §4.2), an enhanced code (RFC 3463) and a text for people.
// A text of several lines is separated by "\n".
type Status struct {
	Code     int      `json:"code"`
	Enhanced Enhanced `json:"enhanced,omitzero"`
	Text     string   `json:"text,omitempty"`
}

// NewStatus returns a Status from its parts, with enhanced as "5.1.1" or "" for none.
// It panics if enhanced is malformed: statuses are written by programmers, not read from the network.
func NewStatus(code int, enhanced, text string) Status {
	e, ok := parseEnhanced(enhanced)
	if !ok {
		panic("mail: malformed enhanced status code " + enhanced)
	}
	return Status{Code: code, Enhanced: e, Text: text}
}

// parseEnhanced reads "5.1.1"; "" is none.
func parseEnhanced(s string) (e Enhanced, ok bool) {
	if s == "" {
		return e, true
	}
	for i := range e {
		digits, rest, more := strings.Cut(s, ".")
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || more != (i < len(e)-1) {
			return e, false
		}
		e[i], s = uint16(n), rest
	}
	return e, true
}

// Success says whether the step was done (2xx).
func (s Status) Success() bool { return s.Code/100 == 2 }

// Temporary says whether trying again later may help (4xx).
func (s Status) Temporary() bool { return s.Code/100 == 4 }

// Permanent says whether trying again is pointless (5xx).
func (s Status) Permanent() bool { return s.Code/100 == 5 }

// WithText returns s with another text.
func (s Status) WithText(format string, args ...any) Status {
	s.Text = fmt.Sprintf(format, args...)
	return s
}

// String returns the status on one line: "550 5.1.1 no such user".
func (s Status) String() string {
	var b strings.Builder
	b.Grow(len("550 5.10.10 ") + len(s.Text))
	add := func(part string) {
		if part == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(part)
	}
	switch {
	case s.Code >= 100:
		add(strconv.Itoa(s.Code))
	case s.Code != 0:
		add(fmt.Sprintf("%03d", s.Code))
	}
	add(s.Enhanced.String())
	add(strings.ReplaceAll(s.Text, "\n", " / "))
	return b.String()
}

// Error is an error that knows what the peer, or the sender, is told.
// Err, the cause, is for the operator only and is never sent.
type Error struct {
	Status Status
	Err    error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Status.String()
	}
	return e.Status.String() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// StatusOf returns the Status that err carries. An error that carries none is temporary
// unless proven permanent: 451 4.3.0 with a text that reveals nothing. A nil err is 250 2.0.0.
func StatusOf(err error) Status {
	if err == nil {
		return NewStatus(250, "2.0.0", "OK")
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return NewStatus(451, "4.3.0", "Local error, try again later")
}
