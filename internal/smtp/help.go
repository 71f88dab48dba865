package smtp

import (
	"context"
	"strings"

	"waybill/internal/mail"
)

// help lists the commands that this connection can use now, or tells the syntax of one (RFC 5321 §4.1.1.8).
func (s *session) help(_ context.Context, argument string) mail.Status {
	verb := strings.ToUpper(argument)
	if text, ok := helpTexts[verb]; ok {
		return help.WithText("%s", text)
	}
	text := help.Text
	if s.server.TLS != nil && s.conn.tls == nil {
		text += " STARTTLS"
	}
	if len(s.policy.AuthMechanisms()) > 0 {
		text += " AUTH"
	}
	return help.WithText("%s; HELP and one of them tells more", text)
}

// helpTexts are what HELP says of each command.
var helpTexts = map[string]string{
	"HELO": "HELO name: begins a session without extensions",
	"EHLO": "EHLO name: begins a session and lists the extensions",
	"MAIL": "MAIL FROM:<address> [SIZE=octets] [BODY=7BIT|8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext] [AUTH=xtext]\n" +
		"begins a message; <> is the sender of reports",
	"RCPT":     "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]\nadds a recipient",
	"DATA":     "DATA: the message follows and ends with a line that is only a dot; lines end in CR LF",
	"BDAT":     "BDAT octets [LAST]: so many octets of the message follow at once; the last chunk ends it",
	"RSET":     "RSET: gives the message up",
	"NOOP":     "NOOP: does nothing",
	"QUIT":     "QUIT: ends the session",
	"VRFY":     "VRFY address [SMTPUTF8]: checks the syntax, and does not tell who exists",
	"EXPN":     "EXPN is not implemented",
	"HELP":     "HELP [command]",
	"STARTTLS": "STARTTLS: goes on under TLS",
	"AUTH":     "AUTH mechanism [initial-response]: logs in",
}

// vrfy tells nothing of who exists (RFC 5321 §7.3), but whether an address is one.
func (s *session) vrfy(_ context.Context, argument string) mail.Status {
	name, utf8 := cutUTF8Word(argument)
	switch {
	case name == "":
		return syntaxError.WithText("The syntax is VRFY name")
	case !utf8 && !isASCII(name):
		return needsUTF8
	case !strings.ContainsAny(name, "@<"): // the name of a user, in whatever form (§3.5.1)
		return cannotVerify
	}
	address, rest, err := mail.ParsePath(name)
	switch {
	case err != nil:
		return badRecipient.WithText("Bad address: %v", err)
	case rest != "" || address.IsNull():
		return badRecipient.WithText("Bad address")
	}
	return cannotVerify
}

// cutUTF8Word takes the parameter SMTPUTF8 off the argument of VRFY or EXPN (RFC 6531 §3.7.4.2).
func cutUTF8Word(argument string) (rest string, utf8 bool) {
	if i := strings.LastIndexByte(argument, ' '); i >= 0 && strings.EqualFold(argument[i+1:], "SMTPUTF8") {
		return strings.TrimRight(argument[:i], " "), true
	}
	return argument, false
}

// expn is for the lists of others to guess at: not implemented, whatever its argument.
func (s *session) expn(context.Context, string) mail.Status { return notImplemented }
