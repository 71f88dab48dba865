// Package srs rewrites the reverse-path of mail that an alias forwards to another server (the Sender Rewriting Scheme):
// the next hop sees a domain of ours, which may send from here, and a bounce comes back to us, who know from the rewritten
// address to whom it goes. Nobody else can make such an address: it carries a keyed hash, and the day, after which it
// ends.
//
// The usual form, SRS0=hash=day=domain=local-part, tells the address itself, but does not fit the 64 octets of a
// local-part (RFC 5321 §4.5.3.1.1) where the address is long. Then it has a token instead, under which the caller keeps
// the address.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"waybill/internal/mail"
)

// Life is how long a rewritten address leads back: longer than anybody tries to deliver a bounce.
const Life = 21 * 24 * time.Hour

// Errors of Parse.
var (
	ErrForged  = errors.New("the address was not made here")
	ErrExpired = errors.New("the address is too old")
)

const (
	prefix    = "SRS0="
	hashSize  = 6  // characters: 30 bits, for whoever guesses over a network
	tokenSize = 26 // characters: 130 bits
	dayCycle  = 1024
)

// alphabet is base32 (RFC 4648 §6), in which case does not matter: some hosts change it.
func alphabet() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// Rewritten is what became of a reverse-path.
type Rewritten struct {
	Path  mail.Address
	Token string // the address must be kept under it to be found again; "": the path tells it
}

// Rewrite returns the path under domain, one of ours, that leads back to an address on the day of now. An address of that
// domain, or none, stays as it is.
func Rewrite(secret []byte, from mail.Address, domain string, now time.Time) Rewritten {
	if from.IsNull() || strings.EqualFold(from.Domain, domain) {
		return Rewritten{Path: from}
	}
	day := dayText(now)
	plain := from.Domain + "=" + from.Local
	local := prefix + hash(secret, day, plain) + "=" + day + "=" + plain
	if len(local) <= mail.MaxLocalPart && !strings.HasPrefix(from.Domain, "[") {
		return Rewritten{Path: mail.Address{Local: local, Domain: domain}}
	}
	token := encode(secret, tokenSize, "token", from.String())
	return Rewritten{Path: mail.Address{Local: prefix + hash(secret, day, token) + "=" + day + "=" + token, Domain: domain}, Token: token}
}

// Is says whether an address looks like one that Rewrite made.
func Is(a mail.Address) bool {
	return len(a.Local) > len(prefix) && strings.EqualFold(a.Local[:len(prefix)], prefix)
}

// Parse returns the address that a path leads back to, or the token that it is kept under. Errors: ErrForged, ErrExpired.
func Parse(secret []byte, path mail.Address, now time.Time) (to mail.Address, token string, err error) {
	if !Is(path) {
		return to, "", ErrForged
	}
	parts := strings.SplitN(path.Local[len(prefix):], "=", 3)
	if len(parts) != 3 || !hmac.Equal([]byte(strings.ToUpper(parts[0])), []byte(hash(secret, parts[1], parts[2]))) {
		return to, "", ErrForged
	}
	if !isFresh(parts[1], now) {
		return to, "", ErrExpired
	}
	domain, local, plain := strings.Cut(parts[2], "=")
	if !plain {
		return to, strings.ToUpper(parts[2]), nil
	}
	return mail.Address{Local: local, Domain: strings.ToLower(domain)}, "", nil
}

// hash is over lower case: hosts on the way may have changed the case of all.
func hash(secret []byte, day, rest string) string {
	return encode(secret, hashSize, "path", strings.ToLower(day+"="+rest))
}

func encode(secret []byte, size int, purpose, text string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose + "\x00" + text))
	return alphabet().EncodeToString(mac.Sum(nil))[:size]
}

func dayOf(t time.Time) int { return int(t.Unix()/(24*60*60)) % dayCycle }

// dayText is a day of the cycle, two characters.
func dayText(t time.Time) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	day := dayOf(t)
	return string([]byte{digits[day/32], digits[day%32]})
}

// isFresh says whether a day lies within Life before now, or a day ahead of it: clocks of two nodes differ.
func isFresh(day string, now time.Time) bool {
	for ago := -24 * time.Hour; ago <= Life; ago += 24 * time.Hour {
		if strings.EqualFold(dayText(now.Add(-ago)), day) {
			return true
		}
	}
	return false
}
