package pop3

import (
	"context"
	"strings"
)

// state is where a session is. UPDATE is not a state in which commands are read: QUIT passes through it.
type state uint8

const (
	authorization state = 1 << iota // nobody has logged in
	userGiven                       // so, but USER named an account: PASS may follow
	transaction                     // the maildrop is open

	beforeLogin = authorization | userGiven
	always      = beforeLogin | transaction
)

// command is one row of the protocol: in which states it is legal, what it is given and what it does.
type command struct {
	in       state
	min, max int    // number of arguments
	text     bool   // the rest of the line is the one argument, spaces included
	login    bool   // carries a password or asks for one: only where logins in the clear are allowed
	secret   bool   // the arguments hold a password: they are not shown, and the line may be long
	usage    string // what the client is told when the arguments are wrong
	do       func(*session, context.Context, []string) reply
}

// commands is the protocol: RFC 1939 unless another one is named.
var commands = map[string]command{
	"USER": {in: beforeLogin, min: 1, max: 1, text: true, login: true, usage: "USER name", do: (*session).user},
	"PASS": {in: userGiven, min: 1, max: 1, text: true, login: true, secret: true, usage: "PASS password", do: (*session).pass},
	// RFC 5034
	"AUTH": {in: beforeLogin, min: 1, max: 2, login: true, secret: true, usage: "AUTH mechanism [initial-response]", do: (*session).auth},
	// RFC 2595
	"STLS": {in: beforeLogin, usage: "STLS", do: (*session).stls},
	// RFC 2449
	"CAPA": {in: always, usage: "CAPA", do: (*session).capa},
	"QUIT": {in: always, usage: "QUIT", do: (*session).quit},
	"STAT": {in: transaction, usage: "STAT", do: (*session).stat},
	"LIST": {in: transaction, max: 1, usage: "LIST [message]", do: (*session).list},
	"UIDL": {in: transaction, max: 1, usage: "UIDL [message]", do: (*session).uidl},
	"RETR": {in: transaction, min: 1, max: 1, usage: "RETR message", do: (*session).retr},
	"TOP":  {in: transaction, min: 2, max: 2, usage: "TOP message lines", do: (*session).top},
	"DELE": {in: transaction, min: 1, max: 1, usage: "DELE message", do: (*session).dele},
	"RSET": {in: transaction, usage: "RSET", do: (*session).rset},
	"NOOP": {in: transaction, usage: "NOOP", do: (*session).noop},
}

// parseCommand splits a line without its line end into the command, in upper case, and what follows the one
// space after it; given says whether there is that space.
func parseCommand(line string) (verb, rest string, given bool) {
	verb, rest, given = strings.Cut(line, " ")
	return strings.ToUpper(verb), rest, given
}

// arguments returns the arguments of a line for this command; ok is false if they are too few or too many.
func (c command) arguments(rest string, given bool) (args []string, ok bool) {
	switch {
	case c.text && given:
		args = []string{rest}
	case given:
		args = strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' })
	}
	return args, len(args) >= c.min && len(args) <= c.max
}

// parseNumber reads a decimal number of at most 9 digits: a message number, or a number of lines.
func parseNumber(s string) (n int, ok bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
