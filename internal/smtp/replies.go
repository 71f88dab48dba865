package smtp

import "waybill/internal/mail"

// The replies of the engine, by name. Those of policy come from the Session.
var (
	startMail    = mail.Status{Code: 354, Text: `Enter mail, end with "." on a line by itself`}
	chunkTaken   = mail.NewStatus(250, "2.0.0", "")
	resetOK      = mail.NewStatus(250, "2.0.0", "Reset state")
	noop         = mail.NewStatus(250, "2.0.0", "OK")
	closing      = mail.NewStatus(221, "2.0.0", "")
	help         = mail.NewStatus(214, "2.0.0", "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP")
	cannotVerify = mail.NewStatus(252, "2.5.0", "Cannot verify the user, but will take mail for it and try to deliver")
	readyForTLS  = mail.NewStatus(220, "2.0.0", "Ready to start TLS")

	// 421: the connection ends after it (RFC 5321 §3.8).
	shuttingDown    = mail.NewStatus(421, "4.3.2", "The server is shutting down, try again later")
	tooManySessions = mail.NewStatus(421, "4.3.2", "Too many connections, try again later")
	addressSessions = mail.NewStatus(421, "4.7.0", "Too many connections from your address")
	tooManyErrors   = mail.NewStatus(421, "4.7.0", "Too many errors")
	tooManyRefusals = mail.NewStatus(421, "4.7.0", "Too many refused commands")
	tooManyUnknown  = mail.NewStatus(421, "4.7.0", "Too many recipients that do not exist")
	tooMuchJunk     = mail.NewStatus(421, "4.7.0", "Too many commands without a message")
	notMail         = mail.NewStatus(421, "4.7.0", "This is a mail server")
	timedOut        = mail.NewStatus(421, "4.4.2", "Timeout, closing connection")
	unavailable     = mail.NewStatus(421, "4.3.0", "Service not available, try again later")

	lineTooLong     = mail.NewStatus(500, "5.5.2", "Line too long")
	authLineTooLong = mail.NewStatus(500, "5.5.6", "Authentication exchange line is too long") // RFC 4954 §6
	bareLF          = mail.NewStatus(500, "5.5.2", "A line must end in CR LF, not in LF alone")
	bareCR          = mail.NewStatus(500, "5.5.2", "CR within a line")
	nulInLine       = mail.NewStatus(500, "5.5.2", "NUL within a line")
	unknownCommand  = mail.NewStatus(500, "5.5.1", "Command unrecognized")
	notImplemented  = mail.NewStatus(502, "5.5.1", "Command not implemented")
	syntaxError     = mail.NewStatus(501, "5.5.4", "Syntax error")
	noParameters    = mail.NewStatus(501, "5.5.4", "No parameters allowed")
	badSender       = mail.NewStatus(501, "5.1.7", "Bad sender address syntax")
	badRecipient    = mail.NewStatus(501, "5.1.3", "Bad recipient address syntax")
	needsUTF8       = mail.NewStatus(553, "5.6.7", "An address that is not ASCII needs SMTPUTF8") // RFC 6531 §3.5
	noUTF8          = mail.NewStatus(550, "5.6.7", "The message needs SMTPUTF8, which the server does not offer")
	needsEHLO       = mail.NewStatus(555, "5.5.4", "Parameters need EHLO")
	unknownParam    = mail.NewStatus(555, "5.5.4", "Parameter not recognized or not implemented")
	badSequence     = mail.NewStatus(503, "5.5.1", "Bad sequence of commands")
	noRecipients    = mail.NewStatus(554, "5.5.1", "No valid recipients")

	tooManyRecipients = mail.NewStatus(452, "4.5.3", "Too many recipients")
	messageTooLarge   = mail.NewStatus(552, "5.3.4", "Message size exceeds the limit")
	bareLineEnd       = mail.NewStatus(554, "5.6.0", "The message has a bare CR or LF; lines must end in CR LF")

	tlsActive        = mail.NewStatus(503, "5.5.1", "TLS is active already")
	tlsNotOffered    = mail.NewStatus(502, "5.5.1", "STARTTLS is not offered")
	alreadyAuth      = mail.NewStatus(503, "5.5.1", "Already authenticated")
	unknownMechanism = mail.NewStatus(504, "5.5.4", "Authentication mechanism not offered")
	authCancelled    = mail.NewStatus(501, "5.7.0", "Authentication cancelled")
	authMalformed    = mail.NewStatus(501, "5.5.2", "Cannot decode the authentication response")
)
