package pop3

import "fmt"

// What clients are told, by name. Response codes: RFC 2449 §8, RFC 3206.
var (
	unknownCommand  = fault("unknown command")
	lineTooLong     = fault("the line is too long")
	brokenLine      = fault("lines end in CR LF and hold no other CR, LF or NUL")
	userFirst       = fault("USER first")
	alreadyIn       = fault("already logged in")
	notLoggedIn     = fault("log in first")
	notANumber      = fault("that is not a number")
	tooManyErrors   = fault("too many errors, closing connection").last()
	tooManySessions = refuse("SYS/TEMP", "too many sessions, try again later")
	shuttingDown    = refuse("SYS/TEMP", "server is shutting down, closing connection").last()

	notInCleartext = refuse("", "passwords are not taken in the clear: STLS first")
	nameMissing    = fault("the name is missing")
	wrongLogin     = refuse("AUTH", "wrong login or password")
	maildropInUse  = refuse("IN-USE", "another session has the maildrop open")
	loginFault     = refuse("SYS/TEMP", "the maildrop cannot be opened now, try again later")
	authCancelled  = refuse("", "login cancelled")
	authNotBase64  = fault("that is not base64")
	authMalformed  = fault("that is not what the mechanism demands (PLAIN: identity NUL login NUL password)")
	otherIdentity  = refuse("AUTH", "acting for another account is not offered")

	tlsUnavailable = refuse("", "TLS is not offered here")
	tlsActive      = refuse("", "TLS is active already")

	messageUnknown = refuse("", "no such message")
	messageDeleted = refuse("", "that message is marked as deleted")
	messageGone    = refuse("", "that message has been removed meanwhile")
	messageFault   = refuse("SYS/TEMP", "the message cannot be read now, try again later")
	updateFault    = refuse("SYS/TEMP", "the messages could not be deleted").last()
)

func wrongArguments(c command) reply { return fault("usage: " + c.usage) }

// tooManyFailures is temporary, so that the client keeps the password and does not ask for it (RFC 3206 §3).
func tooManyFailures(after string) reply {
	return refuse("SYS/TEMP", "too many failed logins from your address, try again after "+after)
}

func unknownMechanism(offered string) reply {
	return refuse("", "no such mechanism here, only "+offered)
}

func octets(n int64) string { return fmt.Sprintf("%d octets", n) }

// messages returns "1 message", "2 messages".
func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
