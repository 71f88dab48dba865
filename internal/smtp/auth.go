package smtp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// redacted stands for what must not be written down.
const redacted = "***"

// redactAuth returns an AUTH command with those arguments as it may be shown: the mechanism, if it is one, and
// nothing else.
func redactAuth(arguments []string) string {
	if len(arguments) == 0 {
		return "AUTH"
	}
	switch mechanism := strings.ToUpper(arguments[0]); mechanism {
	case "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "NTLM":
		if len(arguments) > 1 {
			return "AUTH " + mechanism + " " + redacted
		}
		return "AUTH " + mechanism
	}
	return "AUTH " + redacted
}

// auth runs a SASL exchange (RFC 4954 §4).
func (s *session) auth(ctx context.Context, argument string) mail.Status {
	words := strings.Fields(argument)
	if len(words) == 0 || len(words) > 2 {
		return syntaxError.WithText("The syntax is AUTH mechanism [initial-response]")
	}
	if s.authenticated {
		return alreadyAuth
	}
	mechanism := strings.ToUpper(words[0])
	offered := s.policy.AuthMechanisms()
	if len(offered) == 0 {
		return s.whyNoAuth(ctx, mechanism)
	}
	var exchange func(initial []byte) (Credentials, mail.Status)
	switch mechanism {
	case "PLAIN":
		exchange = s.authPlain
	case "LOGIN":
		exchange = s.authLogin
	}
	if exchange == nil || !slices.Contains(offered, mechanism) {
		return unknownMechanism
	}
	var initial []byte // nil: none was given
	if len(words) == 2 {
		var ok bool
		if initial, ok = decodeInitial(words[1]); !ok {
			return authMalformed
		}
	}
	credentials, status := exchange(initial)
	if status.Code != 0 || s.lost != nil {
		return status
	}
	status = s.policy.Auth(ctx, mechanism, credentials)
	s.authenticated = status.Success()
	return status
}

// whyNoAuth asks policy for the reply while AUTH is not offered: 538 without TLS, or 502.
func (s *session) whyNoAuth(ctx context.Context, mechanism string) mail.Status {
	if status := s.policy.Auth(ctx, mechanism, Credentials{}); !status.Success() {
		return status
	}
	return notImplemented
}

// decodeInitial decodes an initial response; "=" is an empty one (RFC 4954 §4).
func decodeInitial(word string) ([]byte, bool) {
	if word == "=" {
		return []byte{}, true
	}
	b, err := base64.StdEncoding.Strict().DecodeString(word)
	return b, err == nil
}

// authPlain takes identity NUL username NUL password (RFC 4616).
func (s *session) authPlain(initial []byte) (Credentials, mail.Status) {
	if initial == nil {
		var status mail.Status
		if initial, status = s.challenge(challengeEmpty); initial == nil {
			return Credentials{}, status
		}
	}
	defer clear(initial)
	parts := bytes.Split(initial, []byte{0})
	if len(parts) != 3 {
		return Credentials{}, authMalformed
	}
	return Credentials{Identity: string(parts[0]), Username: string(parts[1]), Password: string(parts[2])}, mail.Status{}
}

// authLogin asks for user name and password one by one (draft-murchison-sasl-login).
func (s *session) authLogin(username []byte) (Credentials, mail.Status) {
	var status mail.Status
	if username == nil {
		if username, status = s.challenge(challengeUsername); username == nil {
			return Credentials{}, status
		}
	}
	password, status := s.challenge(challengePassword)
	if password == nil {
		return Credentials{}, status
	}
	defer clear(password)
	return Credentials{Username: string(username), Password: string(password)}, mail.Status{}
}

// challenge sends a challenge and returns the decoded response, or nil and the reply that ends the exchange.
func (s *session) challenge(c mail.Status) ([]byte, mail.Status) {
	s.reply(c)
	if err := s.line.Flush(); err != nil {
		return nil, s.breakOff(err)
	}
	limit := max(s.limits.AuthLine, s.limits.CommandLine)
	line, err := s.line.ReadLine(limit, time.Now().Add(s.limits.CommandTimeout))
	if err != nil {
		return nil, s.responseStatus(err)
	}
	if string(line) == "*" {
		s.line.Transcript.Add(dialogue.Client, "*")
		return nil, authCancelled
	}
	s.line.Transcript.Add(dialogue.Client, redacted)
	defer clear(line)
	b := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(b, line)
	if err != nil {
		return nil, authMalformed
	}
	return b[:n], mail.Status{}
}

// responseStatus is the reply to a response that could not be read.
func (s *session) responseStatus(err error) mail.Status {
	switch {
	case dialogue.IsTimeout(err):
		return timedOut
	case errors.Is(err, dialogue.ErrLineTooLong):
		return authLineTooLong
	case errors.Is(err, dialogue.ErrBareLF):
		return bareLF
	case errors.Is(err, dialogue.ErrBareCR), errors.Is(err, dialogue.ErrNUL):
		return authMalformed
	}
	return s.breakOff(err)
}
