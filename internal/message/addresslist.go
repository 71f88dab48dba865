package message

import (
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// maxAddresses bounds what one field of addresses may hold.
const maxAddresses = 1000

// ParseAddressList reads the unfolded value of a field of addresses (RFC 5322 §3.4): mailboxes and groups (RFC 6854),
// with comments, quoted strings and UTF-8 (RFC 6532). It returns the addresses alone, those of groups too. It is strict:
// what it takes can be read in one way only, because whoever shows the field may read it differently from whoever
// checked it. Of the obsolete syntax only dots in display names are taken.
func ParseAddressList(value string) ([]mail.Address, error) {
	if !utf8.ValidString(value) {
		return nil, errors.New("it is not UTF-8")
	}
	if i := strings.IndexFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); i >= 0 {
		return nil, errors.New("it has a control character")
	}
	p := &addressParser{rest: value}
	for {
		if err := p.address(); err != nil {
			return nil, err
		}
		if p.rest == "" {
			return p.list, nil
		}
		if !p.take(',') {
			return nil, p.unexpected("after an address")
		}
	}
}

// addressParser reads a list of addresses from its front.
type addressParser struct {
	rest string
	list []mail.Address
}

// address reads a mailbox or a group, and white space and comments around it.
func (p *addressParser) address() error {
	words, err := p.words()
	switch {
	case err != nil:
		return err
	case !p.take(':'):
		return p.mailbox(words)
	case len(words) == 0:
		return errors.New("a group has no name")
	}
	if err := checkDisplayName(words); err != nil {
		return err
	}
	return p.group()
}

// group reads what stands between the colon and the semicolon of a group, which may be nothing.
func (p *addressParser) group() error {
	words, err := p.words()
	for err == nil && (len(words) > 0 || p.next() != ';') {
		if err = p.mailbox(words); err == nil && p.take(',') {
			words, err = p.words()
			if err == nil && len(words) == 0 && p.next() != '<' {
				err = p.unexpected("where an address belongs")
			}
			continue
		}
		break
	}
	if err != nil {
		return err
	}
	if !p.take(';') {
		return p.unexpected("in a group")
	}
	return p.space()
}

// mailbox reads what follows words: the rest of an addr-spec whose local-part they are, or an angle-addr whose display
// name they are.
func (p *addressParser) mailbox(words []word) (err error) {
	if p.take('<') {
		if err := checkDisplayName(words); err != nil {
			return err
		}
		if words, err = p.words(); err != nil {
			return err
		}
		if err := p.addrSpec(words); err != nil {
			return err
		}
		if !p.take('>') {
			return p.unexpected("where > belongs")
		}
		return p.space()
	}
	return p.addrSpec(words)
}

// addrSpec reads the @ and the domain, and adds the address. words is its local-part.
func (p *addressParser) addrSpec(words []word) error {
	if !p.take('@') || len(words) == 0 {
		return p.unexpected("where an address belongs")
	}
	local := words[0]
	switch {
	case len(words) > 1 || !local.quoted && !isDotAtom(local.text):
		return errors.New("a local-part is neither a dot-atom nor one quoted string")
	case len(local.text) == 0 || len(local.text) > mail.MaxLocalPart:
		return fmt.Errorf("a local-part has not 1 to %d octets", mail.MaxLocalPart)
	case strings.Contains(local.text, "\t"):
		return errors.New("a local-part has a tabulator in it")
	case strings.Contains(local.text, "=?"):
		return errors.New("an address has an encoded-word in it (RFC 2047 section 5)")
	}
	domain, err := p.domain()
	if err != nil {
		return err
	}
	if len(p.list) >= maxAddresses {
		return fmt.Errorf("it has more than %d addresses", maxAddresses)
	}
	p.list = append(p.list, mail.Address{Local: local.text, Domain: domain})
	return nil
}

// domain reads a domain or an address literal, and white space and comments around it.
func (p *addressParser) domain() (string, error) {
	if err := p.space(); err != nil {
		return "", err
	}
	end := len(p.rest)
	if strings.HasPrefix(p.rest, "[") {
		end = strings.IndexByte(p.rest, ']') + 1
	} else if i := strings.IndexFunc(p.rest, func(r rune) bool { return !isAtomRune(r) && r != '.' }); i >= 0 {
		end = i
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	domain, err := mail.ParseDomain(name)
	if err != nil {
		return "", err
	}
	return domain, p.space()
}

// word is an atom, with dots in it or not, or a quoted string without its quotes.
type word struct {
	text   string
	quoted bool
}

// words reads words as long as there are any, and white space and comments around them.
func (p *addressParser) words() (words []word, err error) {
	for {
		if err := p.space(); err != nil {
			return nil, err
		}
		if p.next() == '"' {
			text, err := p.quoted()
			if err != nil {
				return nil, err
			}
			words = append(words, word{text, true})
			continue
		}
		end := strings.IndexFunc(p.rest, func(r rune) bool { return !isAtomRune(r) && r != '.' })
		if end < 0 {
			end = len(p.rest)
		}
		if end == 0 {
			return words, nil
		}
		words = append(words, word{p.rest[:end], false})
		p.rest = p.rest[end:]
	}
}

// quoted reads a quoted string (RFC 5322 §3.2.4).
func (p *addressParser) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(p.rest):
			i++
		}
		b.WriteByte(p.rest[i])
	}
	return "", errors.New("a quoted string does not end")
}

// space skips white space and comments (RFC 5322 §3.2.2), which may hold comments.
func (p *addressParser) space() error {
	depth := 0
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '(':
			depth++
		case depth > 0 && c == ')':
			depth--
		case depth > 0 && c == '\\':
			i++
		case depth == 0 && c != ' ' && c != '\t':
			p.rest = p.rest[i:]
			return nil
		}
	}
	p.rest = ""
	if depth > 0 {
		return errors.New("a comment does not end")
	}
	return nil
}

// next returns the octet at the front; 0 at the end.
func (p *addressParser) next() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

// take removes c from the front if it stands there.
func (p *addressParser) take(c byte) bool {
	if p.next() != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *addressParser) unexpected(where string) error {
	if p.rest == "" {
		return errors.New("it ends " + where)
	}
	return fmt.Errorf("%q stands %s", dialogue.Printable(p.rest[:min(len(p.rest), 20)]), where)
}

// checkDisplayName refuses names that a mail reader might show as something else than it stands here: control characters
// within encoded-words have led readers to show another address than the one that is used.
func checkDisplayName(words []word) error {
	for _, w := range words {
		if !w.quoted && w.text[0] == '.' {
			return errors.New("a display name has a word that begins with a dot")
		}
		shown, err := new(mime.WordDecoder).DecodeHeader(w.text)
		if err == nil && strings.ContainsFunc(shown, unicode.IsControl) && !strings.ContainsFunc(w.text, unicode.IsControl) {
			return errors.New("a display name has an encoded control character")
		}
	}
	return nil
}

// isDotAtom says whether a word of atoms and dots has each dot between two atoms.
func isDotAtom(s string) bool {
	return s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

// isAtomRune says what may stand in an atom: atext of RFC 5322 §3.2.3, and all beyond ASCII (RFC 6532 §3.2).
func isAtomRune(r rune) bool {
	return r >= utf8.RuneSelf || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}
