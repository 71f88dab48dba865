package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sendAs submits as the test's user with those arguments and wants that exit status.
func (s *server) sendAs(status int, stdin string, args ...string) string {
	s.t.Helper()
	args = append([]string{"send", "--server", s.submission, "--user", testUser, "--password-file", passwordFile(s.t), "--insecure", "--from", testUser}, args...)
	out, errOut, got := waybill(s.t, stdin, args...)
	if got != status {
		s.t.Fatalf("%v: status %d, want %d: %s%s", args, got, status, out, errOut)
	}
	return out + errOut
}

// TestSendComposes: a letter with all that one can have is read by Python as it was meant.
func TestSendComposes(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	s := newServer(t, "")
	s.start()
	dir := t.TempDir()
	binaryFile, named := filepath.Join(dir, "x.pdf"), filepath.Join(dir, "Über \"uns\".txt")
	content := bytes.Repeat([]byte{0, 1, 2, 255, '\r', '\n', '.'}, 100_001)
	for file, text := range map[string][]byte{binaryFile: content, named: []byte("ein Text\n")} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.sendAs(0, "Grüße\n.\nFrom here\n", "--to", testUser, "--cc", "alice+cc@example.test", "--bcc", "alice+bcc@example.test", "--reply-to", "answers@example.test",
		"--subject", "Ünïcode, and a rather long subject that has to be folded somewhere because no line may be so long",
		"--header", "X-Note: a = b; ü", "--attach", binaryFile, "--attach", named)
	message := filepath.Join(dir, "message")
	if err := os.WriteFile(message, []byte(fetch(t, s, 1)[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `
import email, email.policy, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
assert not m.defects, m.defects
assert m['subject'].startswith('Ünïcode, and a rather long subject') and m['subject'].endswith('so long'), m['subject']
assert m['reply-to'] == 'answers@example.test' and m['cc'] == 'alice+cc@example.test' and m['x-note'] == 'a = b; ü', m.items()
assert 'bcc' not in m and b'+bcc' not in open(sys.argv[1], 'rb').read().split(b'\nSubject', 1)[1]
assert m.get_body().get_content() == 'Grüße\n.\nFrom here\n', m.get_body().get_content()
files = {a.get_filename(): a for a in m.iter_attachments()}
assert sorted(files) == ['x.pdf', 'Über "uns".txt'], files
assert files['x.pdf'].get_content_type() == 'application/pdf'
assert files['x.pdf'].get_payload(decode=True) == bytes([0,1,2,255,13,10,46]) * 100001
`
	if out, err := exec.Command(python, "-c", script, message).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSendWhole: a whole message is sent as it is, to those that it names if nobody else is named, but for Bcc.
func TestSendWhole(t *testing.T) {
	s := newServer(t, "")
	s.start()
	whole := "From: alice@example.test\nTo: A <alice@example.test>\nBcc: alice+hidden@example.test,\n alice+too@example.test\nSubject: whole\n\n.\nlast line without an end"
	s.sendAs(0, whole, "--letter", "-")
	got := fetch(t, s, 1)
	if len(got) != 1 || strings.Contains(got[0], "hidden") || !strings.HasSuffix(got[0], "Subject: whole\r\n\r\n.\r\nlast line without an end\r\n") {
		t.Errorf("%d messages: %q", len(got), got)
	}
	out := s.sendAs(0, "Bcc: x@y.test\n\nx\n", "--letter", "-", "--to", testUser, "-v")
	for _, want := range []string{"C: EHLO ", "S: 235 ", "C: RCPT TO:<" + testUser + ">", "C: AUTH "} {
		if !strings.Contains(out, want) {
			t.Errorf("-v does not show %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, testPassword) || !strings.Contains(out, "***") && !strings.Contains(out, "(") {
		t.Errorf("-v shows the password:\n%s", out)
	}
	s.sendAs(2, "x\n", "--letter", "-", "--subject", "x")
	s.sendAs(2, "From: x@y.test\n\nx\n", "--letter", "-")
	s.sendAs(1, "no header at all", "--letter", "-", "--to", testUser)
	s.sendAs(2, "x")
	s.sendAs(2, "x", "--to", testUser, "--header", "No name: x")
	s.sendAs(2, "x", "--to", testUser, "--header", "nothing")
}

// TestSendSeveralDomains: without a server of one's own, that is a wrong command.
func TestSendSeveralDomains(t *testing.T) {
	t.Parallel()
	_, errOut, status := waybill(t, "", "send", "--resolver", refusing(t), "--from", "me@a.test", "--to", "x@a.test", "--to", "y@b.test", "--body", "x")
	if status != 2 || !strings.Contains(errOut, "several domains") || !strings.Contains(errOut, "--server") {
		t.Errorf("status %d, %s", status, errOut)
	}
}
