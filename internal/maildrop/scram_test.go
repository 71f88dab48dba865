package maildrop

import (
	"encoding/base64"
	"net"
	"net/textproto"
	"strings"
	"testing"

	"waybill/internal/scram"
)

// TestLoginBySCRAM: the maildrop opens once both sides have proven what they know; neither the transcript nor the waybill
// has what they said.
func TestLoginBySCRAM(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct{ password, last, want string }{
		{password, "", "+OK logged in, 0 messages (0 octets)"},
		{password, "bW9yZQ==", "-ERR that is not what the mechanism demands*"},
		{"wrong", "", "-ERR [AUTH] wrong login or password"},
	} {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		text := textproto.NewConn(nc)
		line := func() string {
			l, err := text.ReadLine()
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		line()
		ended := s.trail.sessionEnd("")
		got := scramLogin(t, text, line, c.password, c.last)
		if want, open := strings.CutSuffix(c.want, "*"); got != want && !(open && strings.HasPrefix(got, want)) {
			t.Errorf("%q, then %q: %s, want %s", c.password, c.last, got, c.want)
		}
		text.PrintfLine("QUIT")
		line()
		text.Close()
		<-ended
		s.trail.mu.Lock()
		for _, e := range s.trail.events {
			for _, l := range e.Dialogue {
				if strings.HasPrefix(l.Text, "+ ") && l.Text != "+ " && l.Text != "+ ***" {
					t.Errorf("the waybill has %q", l.Text)
				}
			}
		}
		s.trail.mu.Unlock()
	}
}

// scramLogin goes through the exchange and returns the line that ends it. last answers the server's proof.
func scramLogin(t *testing.T, text *textproto.Conn, line func() string, password, last string) string {
	t.Helper()
	client, err := scram.NewClient(scram.ClientOptions{Login: you, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	text.PrintfLine("AUTH SCRAM-SHA-256")
	for proven := false; ; {
		reply := line()
		challenge, more := strings.CutPrefix(reply, "+ ")
		if !more {
			return reply
		}
		if proven {
			t.Fatal("the server asks on after its proof")
		}
		message, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatal(err)
		}
		var answer []byte
		if answer, proven, err = client.Next(message); err != nil {
			t.Fatal(err)
		}
		said := base64.StdEncoding.EncodeToString(answer)
		if proven {
			said = last
		}
		text.PrintfLine("%s", said)
	}
}
