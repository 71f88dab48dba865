package smtp

import "time"

// Limits bound what a peer can make the server do. A zero field means its default.
type Limits struct {
	MessageSize int64 // octets of content (RFC 1870); default 50 MiB
	Recipients  int   // accepted in one transaction (RFC 5321 §4.5.3.1.8); default 1000

	CommandLine int // octets with CR LF; default 1024: 512 (RFC 5321 §4.5.3.1.4) and room for parameters
	AuthLine    int // octets of AUTH and of the lines of its exchange (RFC 4954 §4); default 12288

	Errors   int // commands that break the protocol, or failed logins, before 421; default 10
	Refusals int // commands that policy refused for good, before 421; default 200
	Unknown  int // recipients that policy refused for good, before 421; default 50
	Junk     int // commands that move no mail (NOOP, RSET, …) between two messages, before 421; default 100

	UnknownAtOnce   int           // recipients refused without delay, of those that Unknown counts; default 10
	UnknownDelay    time.Duration // by which each further refusal is later than the one before; default 1 s
	UnknownDelayMax time.Duration // longest delay; default 10 s

	Sessions           int // at the same time, unless Server.Admission is set; default 20000
	SessionsPerAddress int // of one IPv4 address or IPv6 /64, loopback excepted, unless Server.Admission is set; default 100

	CommandTimeout   time.Duration // for a whole command line (RFC 5321 §4.5.3.2.7); default 5 min
	DataTimeout      time.Duration // for the next octets of content (§4.5.3.2.5); default 3 min
	ContentGrace     time.Duration // for a whole message, however small; default 10 min
	ContentRate      int64         // octets a second that prolong ContentGrace; default 1024
	WriteTimeout     time.Duration // for a reply; default 1 min
	HandshakeTimeout time.Duration // for a TLS handshake; default 30 s
}

// DefaultLimits returns the limits that are used where nothing else is said.
func DefaultLimits() Limits {
	return Limits{
		MessageSize: 50 << 20, Recipients: 1000,
		CommandLine: 1024, AuthLine: 12288,
		Errors: 10, Refusals: 200, Unknown: 50, Junk: 100,
		UnknownAtOnce: 10, UnknownDelay: time.Second, UnknownDelayMax: 10 * time.Second,
		Sessions: 20000, SessionsPerAddress: 100,
		CommandTimeout: 5 * time.Minute, DataTimeout: 3 * time.Minute,
		ContentGrace: 10 * time.Minute, ContentRate: 1024,
		WriteTimeout: time.Minute, HandshakeTimeout: 30 * time.Second,
	}
}

// orDefault returns l with every field that is not set replaced by its default.
func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	setDefault(&l.MessageSize, d.MessageSize)
	setDefault(&l.Recipients, d.Recipients)
	setDefault(&l.CommandLine, d.CommandLine)
	setDefault(&l.AuthLine, d.AuthLine)
	setDefault(&l.Errors, d.Errors)
	setDefault(&l.Refusals, d.Refusals)
	setDefault(&l.Unknown, d.Unknown)
	setDefault(&l.Junk, d.Junk)
	setDefault(&l.UnknownAtOnce, d.UnknownAtOnce)
	setDefault(&l.UnknownDelay, d.UnknownDelay)
	setDefault(&l.UnknownDelayMax, d.UnknownDelayMax)
	setDefault(&l.Sessions, d.Sessions)
	setDefault(&l.SessionsPerAddress, d.SessionsPerAddress)
	setDefault(&l.CommandTimeout, d.CommandTimeout)
	setDefault(&l.DataTimeout, d.DataTimeout)
	setDefault(&l.ContentGrace, d.ContentGrace)
	setDefault(&l.ContentRate, d.ContentRate)
	setDefault(&l.WriteTimeout, d.WriteTimeout)
	setDefault(&l.HandshakeTimeout, d.HandshakeTimeout)
	return l
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
