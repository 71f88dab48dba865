package lab

import (
	"fmt"
	"time"

	"waybill/internal/mail"
)

// Scenarios are the letters that the lab knows, by name, the reference scenario first.
func (l *Lab) Scenarios() []Scenario {
	me, you := l.users[0].Address, l.users[1].Address
	at := func(local, domain string) mail.Address { return mail.Address{Local: local, Domain: domain} }
	return []Scenario{
		{Name: "letter", Title: "a letter from me to you", From: me, To: []mail.Address{you}, Letter: letter(me, you, "")},
		{Name: "unknown-user", Title: "a letter to a user who does not exist", From: me,
			To: []mail.Address{at("nobody", you.Domain)}, Letter: letter(me, at("nobody", you.Domain), "")},
		{Name: "no-mail-service", Title: "a letter to a domain that takes no mail", From: me,
			To: []mail.Address{at("you", "nomail.com")}, Letter: letter(me, at("you", "nomail.com"), "")},
		{Name: "no-such-domain", Title: "a letter to a domain that does not exist", From: me,
			To: []mail.Address{at("you", "nosuchdomain.com")}, Letter: letter(me, at("you", "nosuchdomain.com"), "")},
		{Name: "stranger", Title: "a stranger who tries to relay", From: at("spammer", "stranger.example.net"),
			To: []mail.Address{you}, As: "stranger", Hello: "friend.sendingemail.com",
			Letter: letter(at("spammer", "stranger.example.net"), you, "")},
		{Name: "node-stops", Title: "a letter whose node is stopped before it is read", From: me, To: []mail.Address{you}, Stop: true,
			Letter: letter(me, you, "")},
		{Name: "forged", Title: "a forged letter from the own network", From: at("president", "whitehouse.example"),
			To: []mail.Address{you}, Hello: "mail.whitehouse.example",
			Letter: letter(at("president", "whitehouse.example"), you,
				"Received: from mail.whitehouse.example (mail.whitehouse.example [198.51.100.7])\r\n"+
					"\tby mx.whitehouse.example with ESMTPS id 0FORGED0000001;\r\n\tMon, 23 Nov 2026 08:00:00 +0000\r\n")},
	}
}

// ScenarioNames lists them for help texts.
func ScenarioNames() string {
	return "letter, unknown-user, no-mail-service, no-such-domain, stranger, forged, and with --nodes: node-stops"
}

// letter is the letter of the reference scenario, below further header fields.
func letter(from, to mail.Address, further string) []byte {
	return fmt.Appendf(nil, "%sFrom: <%s>\r\nTo: <%s>\r\nSubject: Test Email\r\nDate: %s\r\n\r\n"+
		"Here is my data that I would like to send to %s.\r\n", further, from, to, time.Now().Format(time.RFC1123Z), to)
}
