package explain

import (
	"mime"
	netmail "net/mail"
	"slices"
	"strings"
	"time"
)

// decoded reads the value of a header field as people are to see it: on one line, with its encoded-words (RFC 2047)
// decoded if that is possible. What comes out is as untrusted as what went in.
func decoded(value string) string {
	value = strings.Join(strings.Fields(value), " ")
	var d mime.WordDecoder
	if text, err := d.DecodeHeader(value); err == nil {
		return text
	}
	return value
}

// withTimes writes the times in a sentence as all times on the page are written.
func withTimes(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		bare := strings.TrimRight(word, ",;.")
		if at, err := time.Parse(time.RFC3339, bare); err == nil {
			words[i] = stamp(at) + word[len(bare):]
		}
	}
	return strings.Join(words, " ")
}

// accountNote compares the addresses that the sender gave, as a path or a header field, with the login.
func accountNote(text, account string) string {
	if account == "" {
		return "nothing here proves it"
	}
	list, err := netmail.ParseAddressList(text)
	other := func(a *netmail.Address) bool { return !strings.EqualFold(a.Address, account) }
	if err != nil || slices.ContainsFunc(list, other) {
		return "is not the account that logged in"
	}
	return "is the account that logged in"
}
