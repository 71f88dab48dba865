// Package scram is the login that shows no password: SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677). The
// messages and the cryptography are xdg-go/scram's; this package has the keys as they are stored, what a server tells
// of an account that it does not have, and the channel binding.
package scram

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	xdg "github.com/xdg-go/scram"
)

// The mechanisms.
const (
	SHA256     = "SCRAM-SHA-256"
	SHA256Plus = "SCRAM-SHA-256-PLUS"
)

const (
	// Iterations of PBKDF2 for new keys. The client pays them at each login, we only with each new password.
	Iterations = 100_000
	// minIterations is what RFC 7677 §4 asks for.
	minIterations = 4096
	saltSize      = 16
	maxIterations = 100_000_000
)

// ErrMalformed: stored keys are not what Keys.String returns.
var ErrMalformed = errors.New("not keys of SCRAM-SHA-256")

// Keys is what a server knows of a password (RFC 5802 §3). Who has read them can guess at the password with 100,000
// rounds of SHA-256 a guess, which costs far less than a guess at an argon2id hash; and who has read StoredKey and one
// login on the wire can log in.
type Keys struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey []byte // 32 octets each
}

// Derive computes the keys of a password. iterations is at least 4,096.
//
// The password is prepared by SASLprep (RFC 5802 §2.2); one that SASLprep forbids is taken as it is, as clients do that
// have no SASLprep at all.
func Derive(password string, salt []byte, iterations int) (Keys, error) {
	client, err := xdg.SHA256.NewClient("", password, "")
	if err != nil {
		client, err = xdg.SHA256.NewClientUnprepped("", password, "")
	}
	if err != nil {
		return Keys{}, err
	}
	c, err := client.GetStoredCredentialsWithError(xdg.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return Keys{}, err
	}
	return Keys{Iterations: iterations, Salt: salt, StoredKey: c.StoredKey, ServerKey: c.ServerKey}, nil
}

// Fake returns keys that no password fits, to answer with for a name that has none: always the same for the same secret
// and name, so that asking twice tells nothing.
func Fake(secret []byte, name string, iterations int) Keys {
	derive := func(what string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(what + "\x00" + name))
		return mac.Sum(nil)
	}
	return Keys{Iterations: iterations, Salt: derive("salt")[:saltSize], StoredKey: derive("stored key"), ServerKey: derive("server key")}
}

// String returns the keys as RFC 5803 writes them, which PostgreSQL does as well:
// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey.
func (k Keys) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return SHA256 + "$" + strconv.Itoa(k.Iterations) + ":" + b64(k.Salt) + "$" + b64(k.StoredKey) + ":" + b64(k.ServerKey)
}

// Parse reads what String returned. Errors: ErrMalformed.
func Parse(s string) (k Keys, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 3 || parts[0] != SHA256 {
		return k, ErrMalformed
	}
	iterations, salt, ok := strings.Cut(parts[1], ":")
	stored, server, ok2 := strings.Cut(parts[2], ":")
	k.Iterations, err = strconv.Atoi(iterations)
	if !ok || !ok2 || err != nil || k.Iterations < minIterations || k.Iterations > maxIterations {
		return k, ErrMalformed
	}
	for _, part := range []struct {
		to   *[]byte
		text string
		size int
	}{{&k.Salt, salt, 0}, {&k.StoredKey, stored, sha256.Size}, {&k.ServerKey, server, sha256.Size}} {
		*part.to, err = base64.StdEncoding.Strict().DecodeString(part.text)
		if err != nil || len(*part.to) == 0 || part.size > 0 && len(*part.to) != part.size {
			return k, ErrMalformed
		}
	}
	return k, nil
}
