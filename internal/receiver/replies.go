package receiver

import "waybill/internal/mail"

// The replies of policy, by name. Those of the wire are package smtp's.
var (
	senderOK           = mail.NewStatus(250, "2.1.0", "Sender ok")
	recipientOK        = mail.NewStatus(250, "2.1.5", "Recipient ok")
	lowSpace           = mail.NewStatus(452, "4.3.1", "Insufficient system storage, try again later")
	storeDown          = mail.NewStatus(451, "4.3.0", "Local error, try again later")
	authRequired       = mail.NewStatus(530, "5.7.0", "Authentication required")
	authSucceeded      = mail.NewStatus(235, "2.7.0", "Authentication succeeded")
	authFailed         = mail.NewStatus(535, "5.7.8", "Authentication credentials invalid")
	authMalformed      = mail.NewStatus(501, "5.5.2", "The authentication response is malformed, or not bound to this connection")
	authBanned         = mail.NewStatus(454, "4.7.0", "Too many failed logins")
	authUnavailable    = mail.NewStatus(454, "4.7.0", "Temporary authentication failure")
	encryptionRequired = mail.NewStatus(538, "5.7.11", "Encryption required for the requested authentication mechanism")
	userUnknown        = mail.NewStatus(550, "5.1.1", "User unknown")
	mailboxDisabled    = mail.NewStatus(550, "5.2.1", "Mailbox disabled")
	mailboxFull        = mail.NewStatus(452, "4.2.2", "Mailbox full")
	overQuota          = mail.NewStatus(552, "5.2.2", "The message is larger than the mailbox")
	tooManyTargets     = mail.NewStatus(452, "4.5.3", "Too many recipients behind aliases")
	misconfigured      = mail.NewStatus(451, "4.3.5", "Not configured well, try again later")
	relayingDenied     = mail.NewStatus(550, "5.7.1", "Relaying denied")
	noPostmaster       = mail.NewStatus(450, "4.2.1", "No account exists here yet, try again later")
	notYourPath        = mail.NewStatus(553, "5.7.1", "The sender address does not belong to the account")
	notYourName        = mail.NewStatus(550, "5.7.1", "From does not belong to the account")
	malformedHeader    = mail.NewStatus(550, "5.6.0", "The header is malformed")
	headerTooLarge     = mail.NewStatus(552, "5.3.4", "The header is too large")
	overRate           = mail.NewStatus(450, "4.7.1", "Too many messages")
	mailLoop           = mail.NewStatus(554, "5.4.6", "The message is in a loop")
	accepted           = mail.NewStatus(250, "2.0.0", "Message accepted for delivery")
)

// acceptedAs is the reply to the dot.
func acceptedAs(id mail.ID) mail.Status {
	return mail.Status{Code: accepted.Code, Enhanced: accepted.Enhanced, Text: string(id) + " Message accepted for delivery"}
}
