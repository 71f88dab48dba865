package login

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waybill/internal/directory"
	"waybill/internal/guard"
	"waybill/internal/mail"
	"waybill/internal/scram"
)

// accounts is a directory with one account, me@a.test, password "secret".
type accounts struct {
	keys scram.Keys
	err  error // of every question, if not nil
}

func (d *accounts) Authenticate(_ context.Context, login, password string) (directory.Account, error) {
	switch {
	case d.err != nil:
		return directory.Account{}, d.err
	case !strings.EqualFold(login, "me@a.test") || password != "secret":
		return directory.Account{}, directory.ErrCredentials
	}
	return directory.Account{Address: mail.Address{Local: "me", Domain: "a.test"}}, nil
}

func (d *accounts) SCRAM(_ context.Context, login string) (directory.Account, scram.Keys, bool, error) {
	if d.err != nil || !strings.EqualFold(login, "me@a.test") {
		return directory.Account{}, scram.Fake([]byte("x"), login, 4096), false, d.err
	}
	return directory.Account{Address: mail.Address{Local: "me", Domain: "a.test"}}, d.keys, true, nil
}

func (d *accounts) OffersSCRAM() bool { return d.keys.Iterations > 0 }

var peer = Client{Session: "s", Addr: netip.MustParseAddr("192.0.2.7")}

func newService(t *testing.T) (*Service, *accounts) {
	t.Helper()
	keys, err := scram.Derive("secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	d := &accounts{keys: keys}
	return &Service{
		Directory: d, Logger: slog.New(slog.DiscardHandler),
		Guard: guard.New(guard.Options{BanAfter: 3, BanTime: time.Hour, Delay: time.Nanosecond}),
	}, d
}

// exchange logs in by SCRAM as a client that is bound to theirs would, to a server whose connection is ours.
func exchange(t *testing.T, s *Service, login, password string, ours, theirs []byte) (*Exchange, error) {
	t.Helper()
	mechanism := scram.SHA256
	if theirs != nil {
		mechanism = scram.SHA256Plus
	}
	client, err := scram.NewClient(scram.ClientOptions{Login: login, Password: password, Binding: theirs})
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.SCRAM(peer, mechanism, ours)
	if err != nil {
		t.Fatal(err)
	}
	var answer []byte
	for done := false; !done; {
		message, _, err := client.Next(answer)
		if err != nil {
			t.Fatal(err)
		}
		if answer, done, err = x.Next(t.Context(), message); err != nil {
			return x, err
		}
	}
	if _, proven, err := client.Next(answer); !proven || err != nil {
		t.Errorf("the server's proof: %v, %v", proven, err)
	}
	return x, nil
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s, d := newService(t)
	if a, err := s.Password(t.Context(), peer, "AUTH PLAIN", "ME@a.test", "me@A.test", "secret"); err != nil || a.Key() != "me@a.test" {
		t.Errorf("%v, %v", a, err)
	}
	broken := errors.New("store")
	for _, c := range []struct {
		identity, login, password string
		err, want                 error
	}{
		{"", "me@a.test", "wrong", nil, ErrWrong},
		{"", "nobody@a.test", "secret", nil, ErrWrong},
		{"you@a.test", "me@a.test", "secret", nil, ErrIdentity},
		{"", "me@a.test", "secret", directory.ErrBusy, ErrBusy},
		{"", "me@a.test", "secret", broken, broken},
	} {
		d.err = c.err
		if _, err := s.Password(t.Context(), peer, "AUTH PLAIN", c.identity, c.login, c.password); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	s, d := newService(t)
	here, elsewhere := []byte("this connection"), []byte("another one")
	if got := s.Mechanisms(here); len(got) != 2 || got[0] != scram.SHA256Plus {
		t.Errorf("offered on a connection that binds: %v", got)
	}
	for _, binding := range [][]byte{nil, here} {
		x, err := exchange(t, s, "Me@a.test", "secret", binding, binding)
		if err != nil || x.Account().Key() != "me@a.test" {
			t.Errorf("%v, %v", x.Account(), err)
		}
	}
	if _, err := exchange(t, s, "me@a.test", "secret", here, elsewhere); !errors.Is(err, ErrMalformed) {
		t.Errorf("somebody stands between: %v", err)
	}
	d.err = errors.New("store")
	if _, err := exchange(t, s, "me@a.test", "secret", nil, nil); !errors.Is(err, d.err) {
		t.Errorf("a store that is down: %v", err)
	}
	d.err, d.keys = nil, scram.Keys{}
	if got := s.Mechanisms(here); got != nil {
		t.Errorf("offered where no domain has keys: %v", got)
	}
}

// TestGuessing: passwords and proofs are counted together, the same for who exists and who does not, and a ban is told
// before anything is looked at; what proves nothing about a password is not counted.
func TestGuessing(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"me@a.test", "nobody@a.test"} {
		s, _ := newService(t)
		for range 5 {
			x, err := s.SCRAM(peer, scram.SHA256, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := x.Next(t.Context(), []byte("no message of SCRAM")); !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
		}
		_, first := exchange(t, s, login, "wrong", nil, nil)
		_, second := exchange(t, s, login, "wrong", nil, nil)
		_, third := s.Password(t.Context(), peer, "AUTH PLAIN", "", login, "wrong")
		for err, rule := range map[error]string{
			first: "AUTH SCRAM-SHA-256", second: "AUTH SCRAM-SHA-256",
			third: "AUTH PLAIN; [auth] ban_after: 3 failed logins from 192.0.2.7, until ",
		} {
			r, ok := errors.AsType[*Refusal](err)
			if !ok || r.Cause != ErrWrong || r.Login != login || !strings.HasPrefix(r.Decision.Rule, rule) {
				t.Errorf("%s: %v, want the rule %s", login, err, rule)
			}
		}
		for _, password := range []string{"secret", "wrong"} {
			_, byProof := exchange(t, s, login, password, nil, nil)
			_, byPassword := s.Password(t.Context(), peer, "AUTH PLAIN", "", login, password)
			if !errors.Is(byProof, ErrBanned) || !errors.Is(byPassword, ErrBanned) {
				t.Errorf("%s, banned: %v, %v", login, byProof, byPassword)
			}
		}
	}
}
