package message

import "waybill/internal/mail"

// Meaning says in words for people what a refusal means and what can be done about it, by its enhanced code
// (RFC 3463, RFC 7505), or by its class where there is none that it knows. Both are whole sentences.
func Meaning(s mail.Status) (cause, advice string) {
	e := s.Enhanced
	for _, m := range meanings {
		if e[1] == m.subject && e[2] == m.detail && e[0] != 0 {
			return m.cause, m.advice
		}
	}
	switch {
	case s.Temporary():
		return "The other side could not take the message for now.",
			"Nothing, for the moment: it is tried again. If it goes on, tell the postmaster of the other side."
	case s.Permanent():
		return "The other side refused the message.",
			"Read the other side's words, correct what they name, and send the message again."
	}
	return "The reason is not known.", "Ask the postmaster."
}

// meanings is read by the subject and detail of a code, whatever its class.
var meanings = []struct {
	subject, detail uint16
	cause, advice   string
}{
	{1, 1, "There is no such user at that domain.",
		"Check the part before the @ for typing errors, or ask the person for the right address."},
	{1, 2, "The domain of the address does not exist.",
		"Check the part after the @ for typing errors."},
	{1, 3, "The address is not written as an address must be.", "Correct the address and send the message again."},
	{1, 6, "The mailbox has moved and left no new address.", "Ask the person for the new address."},
	{1, 8, "The other side does not accept the sender's address.", "Check the sender's address in the settings of the mail client."},
	{1, 10, "The domain of the address says that it takes no mail.",
		"Ask the person for an address at another domain."},
	{2, 1, "The mailbox is disabled.", "Ask the person for another address."},
	{2, 2, "The mailbox is full.", "Ask the person to make room, then send the message again."},
	{2, 3, "The message is larger than the mailbox may take.", "Send a smaller message."},
	{3, 0, "A mail server had trouble of its own.", "Send the message again later; if it goes on, tell the postmaster."},
	{3, 1, "The other side's disk is full.", "Send the message again later."},
	{3, 4, "The message is larger than the other side takes.", "Send a smaller message, or put the large part elsewhere and send a link."},
	{4, 1, "No mail server of the domain answered.",
		"Send the message again later. If it goes on, tell the person by other means that their mail server cannot be reached."},
	{4, 2, "The connection to the mail server broke.", "Send the message again later."},
	{4, 3, "The DNS servers of the domain gave no usable answer.",
		"Send the message again later. If it goes on, the DNS of the domain is broken, and its owner must repair it."},
	{4, 4, "There is no way to a mail server of the domain: the host that its DNS names has no address.",
		"Tell the owner of the domain: its MX record names a host without an address."},
	{4, 6, "The message goes in a circle.",
		"The postmasters of the servers in its Received fields must break the loop: a forwarding or an MX record leads back."},
	{4, 7, "It was tried for as long as the sending server does, and never taken.",
		"Find out by other means whether the other side works, then send the message again."},
	{5, 0, "The two servers did not understand each other.", "Tell the postmaster: the transcript shows the command that was refused."},
	{5, 3, "The message has more recipients than the other side takes at once.", "Send it to fewer people at a time."},
	{6, 3, "The message has characters that the other side cannot take, and converting is not possible.",
		"Send the message in plain ASCII or with an encoding for attachments."},
	{6, 7, "An address of the message has characters beyond ASCII, and the other side does not know such addresses.",
		"Use an address in plain ASCII, if the person or you have one."},
	{6, 9, "The header of the message has characters that the other side cannot take.",
		"Send the message with a header in plain ASCII: most mail clients encode it where that is needed."},
	{6, 11, "The message has line ends that are forbidden.", "The program that made the message must end lines with CR LF."},
	{7, 0, "A rule of the server forbids the message.",
		"Log in before sending (AUTH), if the server asks for it; else read the server's words."},
	{7, 1, "The server does not send mail to other domains for this client, or forbids the message by a rule of its own.",
		"Log in before sending (AUTH on port 587 or 465). The operator of the server may instead add the client's network to [relay] trusted."},
	{7, 8, "The login was refused.", "Check the user name (the full address) and the password in the mail client's settings."},
	{7, 10, "The server wants TLS first.", "Turn STARTTLS on in the mail client's settings."},
	{7, 11, "The server wants TLS before a login.", "Turn STARTTLS on in the mail client's settings."},
}
