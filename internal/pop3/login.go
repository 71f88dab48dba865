package pop3

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"waybill/internal/dialogue"
)

// user takes the name; whether it exists is not told.
func (s *session) user(_ context.Context, args []string) reply {
	name := strings.TrimSpace(args[0])
	if name == "" {
		return nameMissing
	}
	s.name, s.state = name, userGiven
	return ok("password, please")
}

// pass logs in. The password is the rest of the line: spaces belong to it (RFC 1939 §7).
func (s *session) pass(ctx context.Context, args []string) reply {
	name := s.name
	s.name, s.state = "", authorization
	return s.login(ctx, name, args[0])
}

// auth is SASL (RFC 5034): PLAIN (RFC 4616), and what the policy offers besides.
func (s *session) auth(ctx context.Context, args []string) reply {
	s.name, s.state = "", authorization
	mechanism := strings.ToUpper(args[0])
	if mechanism != "PLAIN" && !slices.Contains(s.policy.Mechanisms(), mechanism) {
		return unknownMechanism(s.mechanisms())
	}
	response, problem := s.initialResponse(args[1:])
	switch {
	case problem != nil:
		return *problem
	case mechanism != "PLAIN":
		return s.exchange(ctx, s.policy.Exchange(mechanism), response)
	}
	identity, name, password, valid := parsePlain(response)
	switch {
	case !valid:
		return authMalformed
	case identity != "" && !strings.EqualFold(identity, name):
		return otherIdentity
	}
	return s.login(ctx, name, password)
}

// mechanisms is what AUTH is offered for.
func (s *session) mechanisms() string {
	return strings.Join(append(slices.Clip(s.policy.Mechanisms()), "PLAIN"), " ")
}

// initialResponse returns the response that came with the command, "=" being an empty one (RFC 5034 §4), or asks for it.
func (s *session) initialResponse(args []string) ([]byte, *reply) {
	switch {
	case len(args) == 0:
		return s.challenge("", "")
	case args[0] == "=":
		return nil, nil
	}
	return decodeResponse(args[0])
}

// challenge sends a challenge, which is written down as shown, and returns the response, or the reply that ends it.
func (s *session) challenge(challenge, shown string) ([]byte, *reply) {
	s.conn.Transcript().Add(dialogue.Server, "+ "+shown)
	s.wire.WriteString("+ " + challenge + "\r\n")
	line, err := s.readLine(s.limits.SecretLine)
	if err != nil {
		r, err := s.lineProblem(err)
		if err != nil {
			r = reply{end: err}
		}
		return nil, &r
	}
	s.conn.Transcript().Add(dialogue.Client, "***")
	return decodeResponse(line)
}

func decodeResponse(line string) ([]byte, *reply) {
	if line == "*" {
		return nil, &authCancelled
	}
	response, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil {
		return nil, &authNotBase64
	}
	return response, nil
}

// maxChallenges bounds what a mechanism asks; SCRAM asks twice.
const maxChallenges = 10

// exchange passes on what both sides say until one ends it. Nothing of it is written down: with the whole of it,
// passwords could be guessed at.
func (s *session) exchange(ctx context.Context, x Exchange, response []byte) reply {
	for range maxChallenges {
		challenge, drop, err := x.Next(ctx, response)
		if err != nil || drop != nil {
			return s.opened(drop, err)
		}
		var problem *reply
		if response, problem = s.challenge(base64.StdEncoding.EncodeToString(challenge), "***"); problem != nil {
			return *problem
		}
	}
	return authMalformed
}

// parsePlain takes identity NUL login NUL password.
func parsePlain(response []byte) (identity, name, password string, valid bool) {
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 || parts[1] == "" {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// login asks the policy and opens the maildrop.
func (s *session) login(ctx context.Context, name, password string) reply {
	return s.opened(s.policy.Login(ctx, name, password))
}

// opened begins the transaction, or says why there is none.
func (s *session) opened(drop Maildrop, err error) reply {
	banned, isBanned := errors.AsType[*BannedError](err)
	switch {
	case err == nil:
		s.drop, s.state = newOpened(drop), transaction
		n, size := s.drop.total()
		return ok("logged in, " + messages(n) + " (" + octets(size) + ")")
	case errors.Is(err, ErrInUse): // the password was right
		return maildropInUse
	case errors.Is(err, ErrAuth):
		return s.refused(wrongLogin)
	case isBanned:
		return s.refused(tooManyFailures(banned.After))
	case errors.Is(err, ErrBusy):
		return s.refused(loginFault)
	case errors.Is(err, ErrResponse):
		return authMalformed
	}
	s.server.logger().Error("POP3 login failed for a fault of ours", "session", s.conn.ID(), "error", err)
	return loginFault
}

// refused counts logins, so that a connection is not good for guessing.
func (s *session) refused(r reply) reply {
	if s.failures++; s.failures >= s.limits.LoginFailures {
		return r.last()
	}
	return r
}

// stls begins TLS (RFC 2595 §4).
func (s *session) stls(context.Context, []string) reply {
	switch {
	case s.conn.TLS() != nil:
		return tlsActive
	case s.server.TLS == nil:
		return tlsUnavailable
	}
	r := ok("begin TLS")
	r.then = upgrade
	return r
}

// capa lists what works now (RFC 2449 §5).
func (s *session) capa(context.Context, []string) reply {
	r := ok("capabilities")
	list := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if s.policy.CleartextLogin() {
		list = append(list, "USER", "SASL "+s.mechanisms())
	}
	if s.server.TLS != nil && s.conn.TLS() == nil && s.state != transaction {
		list = append(list, "STLS")
	}
	r.lines = s.listing(len(list), func(b []byte, i int) []byte { return append(b, list[i]...) })
	return r
}
