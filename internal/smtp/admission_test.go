package smtp

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestAdmissionIsShared: the bounds hold over all servers of a node together.
func TestAdmissionIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			admission *Admission
			want      string
		}{
			{NewAdmission(2, 100), "421 4.3.2 "},
			{NewAdmission(100, 2), "421 4.7.0 "},
		} {
			var p policies
			limits := Limits{Sessions: 1, SessionsPerAddress: 1} // which do not count here
			a := start(t, &Server{Hostname: "a.test", NewSession: p.newSession, Admission: test.admission, Limits: limits})
			b := start(t, &Server{Hostname: "b.test", NewSession: p.newSession, Admission: test.admission, Limits: limits})
			first, second := dial(t, a), dial(t, b)
			first.hear("220 a.test")
			second.hear("220 b.test")
			for _, l := range []*memListener{a, b} {
				third := dial(t, l)
				third.hear(test.want)
				third.hearEnd()
			}
			second.say("QUIT")
			second.hear("221 ")
			second.hearEnd()
			synctest.Wait()
			dial(t, a).hear("220 ")
		}
	})
}

// TestAdmissionForgets: it remembers those that are there and nobody else.
func TestAdmissionForgets(t *testing.T) {
	a := NewAdmission(10, 5)
	for i := range 1000 {
		network := netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i%200))
		if refusal := a.enter(network); refusal.Code != 0 {
			t.Fatal(refusal)
		}
		a.leave(network)
	}
	if a.present != 0 || len(a.networks) != 0 {
		t.Errorf("%d sessions and %d networks are remembered", a.present, len(a.networks))
	}
}

// TestShutdownDoesNotWaitForDelays: a reply that is held back leaves at once when the server shuts down.
func TestShutdownDoesNotWaitForDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p policies
		s := &Server{Hostname: "mail.test", NewSession: p.newSession, Limits: Limits{UnknownAtOnce: 1, UnknownDelay: time.Hour, UnknownDelayMax: time.Hour}}
		c := dial(t, start(t, s))
		c.say("HELO x", "MAIL FROM:<a@b.test>", "RCPT TO:<nobody@b.test>", "RCPT TO:<nobody@b.test>")
		c.hear("220 ", "250 ", "250 ", "550 ")
		synctest.Wait()
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		c.hear("550 ")
		c.say("RSET")
		c.hear("250 ", "421 4.3.2 ")
		c.hearEnd()
		if err := <-done; err != nil || time.Since(began) > 0 {
			t.Errorf("Shutdown: %v after %v", err, time.Since(began))
		}
	})
}

// TestShutdownLetsChunksFinish: between two chunks a session is in a transaction.
func TestShutdownLetsChunksFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p policies
		s := &Server{Hostname: "mail.test", NewSession: p.newSession}
		c := dial(t, start(t, s))
		c.say("EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<you@b.test>", "BDAT 5", "one")
		c.hear("220 ")
		for range 10 {
			c.hear("250")
		}
		c.hear("250 2.1.0 ", "250 2.1.5 ", "250 2.0.0 5 octets")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		c.say("NOOP", "BDAT 5 LAST", "two")
		c.hear("250 2.0.0 OK", "250 2.0.0 ID1 ", "421 4.3.2 ")
		c.hearEnd()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if m, _ := p.takeMessage(); m != "one\r\ntwo\r\n" {
			t.Errorf("got %q", m)
		}
	})
}
