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
const redacted = dialogue.Redacted

// The challenges of LOGIN.
const (
	challengeUsername = "VXNlcm5hbWU6" // "Username:"
	challengePassword = "UGFzc3dvcmQ6" // "Password:"
)

// auth runs a SASL exchange (RFC 4954 §4).
func (s *session) auth(ctx context.Context, argument string) mail.Status {
	words := strings.FieldsFunc(argument, func(r rune) bool { return r == ' ' })
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
	if !slices.Contains(offered, mechanism) {
		return unknownMechanism
	}
	var initial []byte // nil: none was given
	if len(words) == 2 {
		var ok bool
		if initial, ok = decodeInitial(words[1]); !ok {
			return authMalformed
		}
	}
	status := s.exchange(ctx, mechanism, initial)
	s.authenticated = status.Success()
	return status
}

// exchange runs a mechanism to its end.
func (s *session) exchange(ctx context.Context, mechanism string, initial []byte) (status mail.Status) {
	var credentials Credentials
	switch mechanism {
	case "PLAIN":
		credentials, status = s.authPlain(initial)
	case "LOGIN":
		credentials, status = s.authLogin(initial)
	default:
		return s.authChallenged(ctx, s.policy.Exchange(mechanism), initial)
	}
	if status.Code != 0 || s.lost != nil {
		return status
	}
	return s.policy.Auth(ctx, mechanism, credentials)
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

// maxChallenges bounds what a mechanism of one side asks the other; SCRAM asks twice.
const maxChallenges = 10

// authChallenged passes on what both sides say until one ends it. Nothing of it is written down: with the whole of it,
// passwords could be guessed at.
func (s *session) authChallenged(ctx context.Context, e Exchange, response []byte) (status mail.Status) {
	if response == nil {
		if response, status = s.challenge("", ""); response == nil {
			return status
		}
	}
	for range maxChallenges {
		challenge, status := e.Next(ctx, response)
		if status.Code != 0 {
			return status
		}
		if response, status = s.challenge(base64.StdEncoding.EncodeToString(challenge), redacted); response == nil {
			return status
		}
	}
	return authMalformed
}

// authPlain takes identity NUL username NUL password (RFC 4616).
func (s *session) authPlain(initial []byte) (Credentials, mail.Status) {
	if initial == nil {
		var status mail.Status
		if initial, status = s.challenge("", ""); initial == nil {
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
		if username, status = s.challenge(challengeUsername, challengeUsername); username == nil {
			return Credentials{}, status
		}
	}
	password, status := s.challenge(challengePassword, challengePassword)
	if password == nil {
		return Credentials{}, status
	}
	defer clear(password)
	return Credentials{Username: string(username), Password: string(password)}, mail.Status{}
}

// challenge sends a challenge, which is written down as shown, and returns the decoded response, or nil and the reply
// that ends the exchange.
func (s *session) challenge(challenge, shown string) ([]byte, mail.Status) {
	s.line.WriteString("334 " + challenge + "\r\n")
	s.line.Transcript.Add(dialogue.Server, "334 "+shown)
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
