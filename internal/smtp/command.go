package smtp

import (
	"context"

	"waybill/internal/mail"
)

// state is what has been said so far. A set of states is their union.
type state uint8

const (
	fresh     state = 1 << iota // no HELO or EHLO yet, or not since TLS began
	ready                       // no transaction
	mailGiven                   // a transaction without a recipient
	rcptGiven                   // a transaction with one or more
	chunking                    // one whose content has begun to come in chunks

	always = fresh | ready | mailGiven | rcptGiven | chunking
)

// command is one row of the protocol.
type command struct {
	in   state // where it is legal (RFC 5321 §4.1.4)
	do   func(s *session, ctx context.Context, argument string) mail.Status
	last bool // ends a pipelined group: its reply leaves at once (RFC 2920 §3.1)
	bare bool // takes no argument
	long bool // its line may be as long as Limits.AuthLine; BDAT checks itself
	junk bool // moves no mail
}

// commandTable has the row of each verb: the state × command table of RFC 5321 §4.1.4, RFC 3030, RFC 3207 and RFC 4954.
var commandTable = map[string]command{
	"HELO":     {in: always, do: (*session).helo, last: true, junk: true},
	"EHLO":     {in: always, do: (*session).ehlo, last: true, junk: true},
	"MAIL":     {in: ready, do: (*session).mail},
	"RCPT":     {in: mailGiven | rcptGiven, do: (*session).rcpt},
	"DATA":     {in: rcptGiven, do: (*session).data, last: true, bare: true},
	"BDAT":     {in: always, do: (*session).bdat, long: true}, // wherever it stands, its octets are to be read
	"RSET":     {in: always, do: (*session).rset, bare: true, junk: true},
	"NOOP":     {in: always, do: (*session).noop, last: true, junk: true},
	"QUIT":     {in: always, do: (*session).quit, last: true, bare: true},
	"VRFY":     {in: always, do: (*session).vrfy, last: true, junk: true},
	"EXPN":     {in: always, do: (*session).expn, last: true, junk: true},
	"HELP":     {in: always, do: (*session).help, last: true, junk: true},
	"STARTTLS": {in: ready, do: (*session).startTLS, last: true, bare: true},
	"AUTH":     {in: ready, do: (*session).auth, last: true, long: true},

	// Another protocol was let loose on us, perhaps by a web page: nothing that follows may become a command.
	"GET": {in: always, do: (*session).foreign}, "POST": {in: always, do: (*session).foreign},
	"HEAD": {in: always, do: (*session).foreign}, "PUT": {in: always, do: (*session).foreign},
	"OPTIONS": {in: always, do: (*session).foreign}, "CONNECT": {in: always, do: (*session).foreign},
}

// outOfOrder is the reply to a command that exists but is not legal in the state.
func (s *session) outOfOrder(verb string) mail.Status {
	switch {
	case s.state == fresh:
		return badSequence.WithText("Bad sequence of commands: HELO or EHLO comes first")
	case s.state == ready:
		return badSequence.WithText("Bad sequence of commands: MAIL comes first")
	case s.state == chunking: // RFC 3030 §2
		return badSequence.WithText("Bad sequence of commands: the message goes on with BDAT, RSET ends it")
	case verb != "DATA" && verb != "BDAT":
		return badSequence.WithText("Bad sequence of commands: a transaction is under way, RSET ends it")
	case s.tx.refused > 0: // RFC 5321 §3.3; no fault of a client that pipelines
		return noRecipients
	}
	return badSequence.WithText("Bad sequence of commands: RCPT comes first")
}

// dispatch finds the row of a command line, checks what the row demands, and does it.
func (s *session) dispatch(ctx context.Context, line []byte) (mail.Status, command) {
	verb, argument := ParseCommand(line)
	row, known := s.commands[verb]
	s.note(line, verb, known)
	switch {
	case !row.long && len(line)+len("\r\n") > s.limits.CommandLine:
		return lineTooLong, row
	case !known:
		return unknownCommand, row
	case row.in&s.state == 0:
		return s.outOfOrder(verb), row
	case row.bare && argument != "":
		return noParameters, row
	}
	if row.junk {
		if s.junk++; s.junk > s.limits.Junk {
			return tooMuchJunk, row
		}
	}
	return row.do(s, ctx, argument), row
}
