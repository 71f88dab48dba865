package pop3

import (
	"context"
	"encoding/base64"
	"errors"
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

// auth is SASL; the mechanism is PLAIN (RFC 5034, RFC 4616).
func (s *session) auth(ctx context.Context, args []string) reply {
	s.name, s.state = "", authorization
	if !strings.EqualFold(args[0], "PLAIN") {
		return mechanism
	}
	response, err := "", error(nil)
	if len(args) > 1 {
		response = args[1]
	} else if response, err = s.challenge(); err != nil {
		r, err := s.lineProblem(err)
		if err != nil {
			return reply{end: err}
		}
		return r
	}
	if response == "*" {
		return authCancelled
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

// challenge asks for the response with an empty challenge.
func (s *session) challenge() (string, error) {
	s.conn.Transcript().Add(dialogue.Server, "+ ")
	s.wire.WriteString("+ \r\n")
	line, err := s.readLine(s.limits.SecretLine)
	if err == nil {
		s.conn.Transcript().Add(dialogue.Client, "***")
	}
	return line, err
}

// parsePlain decodes the message of SASL PLAIN.
func parsePlain(response string) (identity, name, password string, valid bool) {
	data, err := base64.StdEncoding.Strict().DecodeString(response)
	if err != nil {
		return "", "", "", false
	}
	parts := strings.Split(string(data), "\x00")
	if len(parts) != 3 || parts[1] == "" {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// login asks the policy and opens the maildrop.
func (s *session) login(ctx context.Context, name, password string) reply {
	drop, err := s.policy.Login(ctx, name, password)
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
		list = append(list, "USER", "SASL PLAIN")
	}
	if s.server.TLS != nil && s.conn.TLS() == nil && s.state != transaction {
		list = append(list, "STLS")
	}
	r.lines = s.listing(len(list), func(b []byte, i int) []byte { return append(b, list[i]...) })
	return r
}
