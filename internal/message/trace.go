package message

import (
	"net/netip"
	"strings"
	"time"

	"waybill/internal/mail"
)

// maxHello bounds what a peer's own name may take of a Received field, in octets (RFC 5321 §4.5.3.1.2).
const maxHello = 255

// Received is what a server writes on top of a message that it takes (RFC 5321 §4.4): beside the name that the peer
// claimed stand the address that the server saw and the name that the reverse lookup gave.
type Received struct {
	From string       // claimed in HELO or EHLO: any text, made fit for the field
	Name string       // reverse name that leads back to Addr; "" becomes "unknown"
	Addr netip.Addr   // the peer's
	By   string       // this server
	With string       // SMTP, ESMTP, UTF8SMTP …, with S for TLS and A for AUTH (RFC 3848, RFC 6531 §4.3)
	ID   mail.ID      // of the message in this server's custody
	TLS  string       // version and cipher, "" for none
	For  mail.Address // the only recipient; null for none
	At   time.Time
}

// String returns the field, folded, with its line ends.
func (r Received) String() string {
	name := ascii(r.Name, maxHello)
	if name == "" {
		name = "unknown"
	}
	f := newFolder("Received", "\t")
	f.word("from")
	f.word(helloWord(r.From))
	if r.Addr.IsValid() {
		f.word("(" + comment(name))
		f.word(mail.Literal(r.Addr) + ")")
	} else { // not an Internet connection
		f.word("(" + comment(name) + ")")
	}
	f.newLine()
	f.words("by " + ascii(r.By, maxHello) + " with " + r.With + " id " + string(r.ID))
	if r.TLS != "" {
		f.newLine()
		f.words("(" + comment(ascii(r.TLS, maxHello)) + ")")
	}
	if !r.For.IsNull() {
		f.newLine()
		f.word("for")
		f.word(r.For.Path())
	}
	f.WriteString(";")
	f.newLine()
	f.word(dateTime(r.At))
	return f.end()
}

// helloWord is a peer's name for itself as one word of the field's grammar: a domain, an address literal, or what is left
// when all that could be taken for something else is struck out (RFC 5321 §4.4, extended-domain).
func helloWord(hello string) string {
	if addr, err := mail.ParseLiteral(hello); err == nil {
		return mail.Literal(addr)
	}
	word := []byte(ascii(hello, maxHello))
	for i, c := range word {
		if c == '.' && (i == 0 || i == len(word)-1 || word[i-1] == '.') || c != '.' && !isAtomRune(rune(c)) {
			word[i] = '?'
		}
	}
	if len(word) == 0 {
		return "unknown"
	}
	return string(word)
}

// comment makes a text fit to stand within parentheses (RFC 5322 §3.2.2).
func comment(text string) string { return noComment.Replace(text) }

var noComment = strings.NewReplacer("(", "?", ")", "?", "\\", "?")

// ReturnPath returns the field with which final delivery keeps the reverse-path (RFC 5321 §4.4).
func ReturnPath(reversePath mail.Address) string {
	return "Return-Path: " + reversePath.Path() + "\r\n"
}

// ReturnPathOf returns the reverse-path of a field that ReturnPath wrote, at the beginning of a header; "" if there is none.
func ReturnPathOf(header []byte) string {
	rest, ok := strings.CutPrefix(string(header), "Return-Path: <")
	path, _, ended := strings.Cut(rest, ">\r\n")
	if !ok || !ended {
		return ""
	}
	return path
}

// DeliveredTo returns the field that names the mailbox, by which a forwarding that comes back is noticed.
func DeliveredTo(account mail.Address) string {
	return "Delivered-To: " + account.String() + "\r\n"
}

// MessageID returns a Message-ID field for a message that came without one (RFC 6409 §8.3).
func MessageID(id mail.ID, host string) string {
	return "Message-ID: <" + string(id) + "@" + helloWord(host) + ">\r\n"
}

// Originator returns a From or Sender field for a message that came without one.
func Originator(name string, a mail.Address) string { return name + ": " + a.Path() + "\r\n" }

// Date returns a Date field (RFC 5322 §3.6.1).
func Date(at time.Time) string { return "Date: " + dateTime(at) + "\r\n" }

// dateTime formats as RFC 5322 §3.3 has it.
func dateTime(at time.Time) string { return at.Format("Mon, 2 Jan 2006 15:04:05 -0700") }
