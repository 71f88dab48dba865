package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sending is the arguments of send to that server, without a login.
func sending(s *scripted, args ...string) []string {
	return append([]string{"send", "--server", s.addr, "--from", "me@a.test"}, args...)
}

// TestSendTells: what became of a letter, by words, exit status and JSON.
func TestSendTells(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []string
		status  int
		want    string // printed
		sent    bool
		count   int
		later   bool
	}{
		"all":             {nil, 0, "sent: 250 ok", true, 2, false},
		"one for good":    {[]string{"RCPT TO:<b=550 5.1.1 nobody"}, 1, "b@x.test refused for good: 550 5.1.1 nobody\nwaybill: sent to 1 of 2 recipients", false, 1, false},
		"one for now":     {[]string{"RCPT TO:<b=450 4.2.1 wait"}, 1, "b@x.test refused for now: 450 4.2.1 wait", false, 1, false},
		"nobody, for now": {[]string{"RCPT=450 4.2.1 wait"}, 75, "try again later", false, 0, true},
		"nobody":          {[]string{"RCPT=550 5.1.1 nobody"}, 1, "not sent: 550 5.1.1 nobody", false, 0, false},
		"sender":          {[]string{"MAIL=553 5.1.8 who?"}, 1, "refuses the sender <me@a.test>: 553 5.1.8 who?", false, 0, false},
		"sender, for now": {[]string{"MAIL=451 4.3.0 moment"}, 75, "try again later", false, 0, true},
		"dot":             {[]string{"DOT=554 5.6.0 spam"}, 1, "not sent: 554 5.6.0 spam", false, 0, false},
		"too large":       {[]string{"EHLO=250-x\r\n250 SIZE 100"}, 1, "not sent: 552 5.3.4 The message has", false, 0, false},
		"busy":            {[]string{"EHLO=421 busy"}, 75, "421 busy", false, 0, true},
		"lost":            {[]string{"DOT="}, 1, "may deliver it twice", false, 0, false},
		"control":         {[]string{"RCPT TO:<b=550 \x1b[2J\x9b2J"}, 1, "550 ?[2J", false, 1, false},
	} {
		s := newSMTP(t, test.answers...)
		args := sending(s, "--to", "a@x.test,b@x.test", "--to", "a@x.test", "--body", "x")
		out, errOut, status := waybill(t, "", args...)
		if status != test.status || !strings.Contains(out+errOut, test.want) || strings.Contains(out+errOut, "\x1b") || strings.Contains(out+errOut, "\x9b") {
			t.Errorf("%s: status %d, %s%s", name, status, out, errOut)
		}
		out, errOut, status = waybill(t, "", append(args, "--json")...)
		var r struct {
			Sent, Temporary, Unknown bool
			Accepted                 int
			Recipients               []struct {
				Address string
				Code    int
			}
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || status != test.status || r.Sent != test.sent || r.Accepted != test.count || r.Temporary != test.later || r.Unknown != (name == "lost") {
			t.Errorf("%s: status %d, %s%s %v", name, status, out, errOut, err)
		}
		if len(r.Recipients) > 0 && (len(r.Recipients) != 2 || r.Recipients[1].Address != "b@x.test" || r.Recipients[1].Code == 0) {
			t.Errorf("%s: %s", name, out)
		}
	}
	s := newSMTP(t)
	if _, errOut, status := waybill(t, "Subject: Grüße\nTo: b@x.test\n\nx", sending(s, "--letter", "-")...); status != 1 || !strings.Contains(errOut, "not sent: 550 5.6.7 ") {
		t.Errorf("UTF-8 in a header to a server without SMTPUTF8: %d %s", status, errOut)
	}
	out, errOut, status := waybill(t, "x\xfc", sending(s, "--to", "b@x.test", "--json")...)
	if status != 1 || !strings.Contains(out, `"error":"the text is not UTF-8`) {
		t.Errorf("an error before anybody is asked: %d %s%s", status, out, errOut)
	}
	out, errOut, status = waybill(t, "", "send", "--server", refusing(t), "--from", "me@a.test", "--to", "b@x.test", "--body", "x", "--json")
	if status != 75 || !json.Valid([]byte(out)) || !strings.Contains(errOut, "refused") {
		t.Errorf("nobody listens: %d %s%s", status, out, errOut)
	}
}

// TestSendRefuses: what cannot be sent is told before anybody is asked, and nothing is sent.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	s := newSMTP(t)
	for _, test := range []struct {
		status int
		stdin  string
		want   string
		args   []string
	}{
		{2, "x", "NAME: TEXT", []string{"--header", "no colon"}},
		{2, "x", "cannot be the name", []string{"--header", "No name: x"}},
		{2, "x", "line break", []string{"--header", "X: a\r\nBcc: b@x.test"}},
		{2, "x", "control character", []string{"--header", "X: \x1b[2J"}},
		{2, "x", "BCC is made from other parts", []string{"--header", "BCC: c@x.test"}},
		{2, "x", "line break", []string{"--subject", "a\nb"}},
		{2, "x", "\"Gr\\xfc\\xdfe\" is not UTF-8", []string{"--subject", "Gr\xfc\xdfe"}},
		{1, "ein\nGr\xfc\xdfe\n", "line 2 has the octet 0xFC", nil},
		{2, "x", "--reply-to", []string{"--reply-to", "nobody"}},
		{2, "x", "--to", []string{"--to", "Me <a@x.test>"}},
		{2, "x", "--bcc", []string{"--bcc", "a@x.test\r\nRCPT TO:<b@x.test>"}},
		{2, "x", "--from", []string{"--from", "a@x.test b"}},
		{2, "x", "whole addresses", []string{"--from", "<>"}},
		{1, "Subject: x\nno field\n\nx", "\"no field\"", []string{"--letter", "-"}},
		{1, "From x@y.test Thu Jan 1\nSubject: x\n\nx", "no header", []string{"--letter", "-"}},
		{1, "Subject: Gr\xfc\xdfe\n\nx", "not UTF-8", []string{"--letter", "-"}},
		{1, "Subject: x\n\none\ntwo\rthree\n", "line 4 of the message has a CR", []string{"--letter", "-"}},
		{1, "Subject: x\n\none\ntwo\r", "line 4 of the message has a CR", []string{"--letter", "-"}},
		{2, "x", "--server", []string{"--server", "host:port"}},
		{2, "x", "--server", []string{"--server", "a b"}},
		{2, "x", "--password-file", []string{"--user", "me@a.test"}},
		{2, "x", "for a login", []string{"--password-stdin", "--body", "x"}},
	} {
		out, errOut, status := waybill(t, test.stdin, sending(s, append([]string{"--to", "b@x.test"}, test.args...)...)...)
		if status != test.status || !strings.Contains(errOut, test.want) || strings.ContainsAny(errOut, "\x1b\r") {
			t.Errorf("%q: status %d, %s%s", test.args, status, out, errOut)
		}
	}
	for text, want := range map[string]string{"To: b@x.test, <broken\n\nx": "To cannot be read", "Resent-To: b@x.test\n\nx": "Resent-To", "Subject: x\n\nx": "nobody"} {
		if _, errOut, status := waybill(t, text, sending(s, "--letter", "-")...); status == 0 || !strings.Contains(errOut, want) {
			t.Errorf("%q: status %d, %s", text, status, errOut)
		}
	}
	if heard := s.heard(); heard != "" {
		t.Errorf("the server heard %s", heard)
	}
}

// TestSendWholeIsCompleted: what a message must have is added, Bcc goes, and all else stays.
func TestSendWholeIsCompleted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Subject: x\nBcc: b@x.test\n\n.\nend":                                                "From: me@a.test\r\nDate: *\r\nMessage-ID: <*@a.test>\r\nSubject: x\r\n\r\n..\r\nend\r\n.\r\n",
		"Subject: x\nTo: b@x.test\nResent-Bcc: c@x.test":                                     "From: me@a.test\r\nDate: *\r\nMessage-ID: <*@a.test>\r\nSubject: x\r\nTo: b@x.test\r\n\r\n.\r\n",
		"From: a@b.test\r\nDate: 1\r\nbCC : c@x.test,\r\n d@x.test\r\nMessage-ID: 2\r\n\r\n": "From: a@b.test\r\nDate: 1\r\nMessage-ID: 2\r\n\r\n.\r\n",
	} {
		s := newSMTP(t)
		if out, errOut, status := waybill(t, text, sending(s, "--letter", "-", "--to", "b@x.test")...); status != 0 {
			t.Fatalf("%q: %s%s", text, out, errOut)
		}
		got, _ := s.message()
		rest := got
		for part := range strings.SplitSeq(want, "*") {
			var ok bool
			if _, rest, ok = strings.Cut(rest, part); !ok {
				t.Errorf("%q was sent as %q", text, got)
				break
			}
		}
		if rest != "" {
			t.Errorf("%q was sent as %q", text, got)
		}
	}
}

// TestSendStreams: however large a letter is, little of it is in memory.
func TestSendStreams(t *testing.T) {
	t.Parallel()
	const size, most = 96 << 20, 64 << 20
	dir := t.TempDir()
	file, whole := filepath.Join(dir, "file.bin"), filepath.Join(dir, "whole.eml")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1<<10)
	f.WriteString("From: me@a.test\r\nDate: 1\r\nMessage-ID: 2\r\n\r\n")
	for range size / len(lines) {
		f.WriteString(lines)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	attached := int64(size+2) / 3 * 4
	attached += (attached + 75) / 76 * 2
	for name, test := range map[string]struct {
		args  []string
		stdin string
		least int64
	}{
		"attachment": {[]string{"--body", "x", "--attach", file}, "", attached},
		"whole":      {[]string{"--letter", whole}, "", size},
		"stdin":      {[]string{"--letter", "-"}, whole, size},
	} {
		s := newSMTP(t)
		path, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), path, sending(s, append(test.args, "--to", "b@x.test")...)...)
		if test.stdin != "" { // a pipe
			f, err := os.Open(test.stdin)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.Stdin = io.MultiReader(f)
		}
		memory, started := make(chan string, 1), make(chan bool)
		s.use(func(line string) string {
			switch line {
			case "DATA":
				return "354 go"
			case "DOT": // the program waits
				<-started
				status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
				_, after, _ := strings.Cut(string(status), "VmHWM:")
				memory <- strings.Fields(after + " 0")[0]
			}
			return "250 ok"
		})
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v %s", name, err, &out)
			continue
		}
		if _, n := s.message(); n < test.least || n > test.least+2000 {
			t.Errorf("%s: %d octets of %d", name, n, test.least)
		}
		if kib, err := strconv.Atoi(<-memory); err != nil || kib == 0 || kib<<10 > most {
			t.Errorf("%s: %d KiB of memory, %v", name, kib, err)
		}
	}
}
