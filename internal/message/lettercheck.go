package message

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"waybill/internal/mail"
)

// check says why a letter cannot be a message.
func (l Letter) check() error {
	if len(l.To)+len(l.Cc) == 0 {
		return errors.New("a letter needs at least one address in To or Cc")
	}
	all := slices.Concat([]mail.Address{l.From}, l.To, l.Cc)
	if !l.ReplyTo.IsNull() {
		all = append(all, l.ReplyTo)
	}
	for _, a := range all {
		if a.Domain == "" {
			return fmt.Errorf("a letter needs whole addresses, name@domain, in From and To; %q is none", a)
		}
	}
	if err := checkValue(l.Subject); err != nil {
		return fmt.Errorf("the subject %w", err)
	}
	if l.MessageID != ascii(l.MessageID, lineLength) || strings.ContainsAny(l.MessageID, "<> ") {
		return fmt.Errorf("%q cannot be a message id", l.MessageID)
	}
	for _, e := range l.Extra {
		if err := e.check(); err != nil {
			return err
		}
	}
	if line, octet, bad := notUTF8(l.Body); bad {
		return fmt.Errorf("the text is not UTF-8: line %d has the octet 0x%02X", line, octet)
	}
	return nil
}

// ours are the fields that a letter has of its own: a second one would make it ambiguous, and Bcc would tell who got it.
var ours = []string{
	"From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "Resent-Bcc",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition",
}

func (e Extra) check() error {
	if !isFieldName(e.Name) {
		return fmt.Errorf("%q cannot be the name of a header field", e.Name)
	}
	if slices.ContainsFunc(ours, func(name string) bool { return strings.EqualFold(name, e.Name) }) {
		return fmt.Errorf("the field %s is made from other parts of the letter and cannot be given as it is", e.Name)
	}
	if err := checkValue(e.Value); err != nil {
		return fmt.Errorf("the field %s %w", e.Name, err)
	}
	return nil
}

// checkValue says what the text of a field cannot have: a line break would begin another field.
func checkValue(text string) error {
	if strings.ContainsAny(text, "\r\n") {
		return errors.New("has a line break; write it on one line")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return errors.New("has a control character")
	}
	if _, octet, bad := notUTF8(text); bad {
		return fmt.Errorf("is not UTF-8: it has the octet 0x%02X", octet)
	}
	return nil
}

// notUTF8 finds the first octet that is no UTF-8, and its line. Such a text would be read as something else than was written.
func notUTF8(text string) (line int, octet byte, bad bool) {
	line = 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return line, text[i], true
		case r == '\n':
			line++
		}
		i += size
	}
	return 0, 0, false
}
