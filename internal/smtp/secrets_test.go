package smtp

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// However an AUTH is garbled, refused or torn apart, what it holds stays out of the transcript.
func TestTranscriptHasNoGarbledSecrets(t *testing.T) {
	for _, test := range []struct{ say, want string }{
		{" AUTH PLAIN c2VjcmV0", "AUTH PLAIN ***"},
		{"\tauth plain c2VjcmV0", "AUTH PLAIN ***"},
		{"AUTH\tPLAIN\tc2VjcmV0", "AUTH PLAIN ***"},
		{"\u00a0AUTH\u00a0c2VjcmV0", "AUTH ***"},
		{"\xff\xfd\x03AUTH PLAIN c2VjcmV0", "(a line that is no command)"},
		{"XAUTH c2VjcmV0", "(a line that is no command)"},
		{"AUTHPLAIN c2VjcmV0", "(a line that is no command)"},
		{" AUTH LOGIN\r\nc2VjcmV0\r\nc2VjcmV0", "AUTH LOGIN|(a line that is no command)|(a line that is no command)"},
		{"AUTH LOGIN\r\nc2VjcmV0\r\nNOOP\r\nc2VjcmV0", "AUTH LOGIN|(a line that is no command)|NOOP|(a line that is no command)"},
		{"AUTH LOGIN\nc2VjcmV0\r\nc2VjcmV0", "(a line that ends in LF)|(a line that is no command)|(a line that is no command)"},
		{"AUTH LOGIN x\x00\r\nc2VjcmV0", "(a line with NUL in it)|(a line that is no command)"},
		{"AUTH LOGIN " + strings.Repeat("x", 20000) + "\r\nc2VjcmV0", "(a line that is too long)|(a line that is no command)"},
		{"WHAT is this", "WHAT is this"}, // no secret is near, and the operator wants to see it
	} {
		synctest.Test(t, func(t *testing.T) {
			var p policies // which offers no AUTH
			c := dial(t, start(t, &Server{Hostname: "mail.test", NewSession: p.newSession}))
			c.say("EHLO x", test.say, "QUIT")
			if _, err := io.ReadAll(c.in); err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, line := range p.last.Transcript().Lines() {
				if line.Side == "C" {
					said = append(said, line.Text)
				}
			}
			if got := strings.Join(said, "|"); got != "EHLO x|"+test.want+"|QUIT" {
				t.Errorf("%.60q is in the transcript as %q, want %q", test.say, got, test.want)
			}
		})
	}
}
