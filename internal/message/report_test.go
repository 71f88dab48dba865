package message

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example is a report as the queue makes it.
func example() Report {
	return Report{
		ReportingMTA: "mail.sendingemail.com", ID: mail.NewID(noon, 1)[:9] + "AAAAA", Original: "1RWQV8G01BBBBB",
		To:          mail.Address{Local: "me", Domain: "sendingemail.com"},
		ArrivalDate: noon.Add(-time.Minute),
		Recipients: []ReportRecipient{{
			ForwardPath: mail.Address{Local: "nobody", Domain: "receivingemail.com"}, Action: ActionFailed,
			Status:    mail.NewStatus(550, "5.1.1", "nobody@receivingemail.com... User unknown"),
			RemoteMTA: "mail.receivingemail.com", LastAttempt: noon,
			Diagnostic: mail.NewStatus(550, "5.1.1", "nobody@receivingemail.com... User unknown"),
		}},
		Header: []byte("Received: from a (b [192.0.2.1])\r\n\tby c;\r\n\tMon, 23 Nov 2026 11:59:00 +0000\r\n" +
			"From: me@sendingemail.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@sendingemail.com>\r\n"),
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	const golden = "testdata/report.eml"
	got := example().Bytes()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReportIsReadByPython(t *testing.T) {
	t.Parallel()
	hostile := example()
	hostile.Header = []byte("Subject: Gr\xc3\xbc\xc3\x9fe\x00\rX: y\nX-Long: " + strings.Repeat("x", 3000) +
		"\r\nMessage-ID: <a b>\r\nX-Trap: --=_report_" + string(hostile.ID) + "_0\r\n")
	p := &hostile.Recipients[0]
	p.Original = mail.Address{Local: "Straße", Domain: "xn--bcher-kva.test"} // not from ParseAddress, but must do no harm
	p.Original.Local = "strasse"
	p.RemoteMTA = "evil.test\r\nAction: delivered"
	p.Diagnostic = mail.NewStatus(550, "", "böse\r\n\r\n--boundary\x1b[2J"+strings.Repeat(" words", 1000))
	p.Status = p.Diagnostic
	hostile.Recipients = append(hostile.Recipients, ReportRecipient{
		ForwardPath: mail.Address{Local: "late", Domain: "b.test"}, Action: ActionDelayed, Status: mail.NewStatus(451, "4.4.1", "")})

	for name, r := range map[string]Report{"plain": example(), "hostile": hostile} {
		content := r.Bytes()
		checkForm(t, content)
		got := read(t, content)
		if got.Type != "multipart/report" || !slices.Equal(got.Types, []string{"text/plain", "message/delivery-status", "text/rfc822-headers"}) {
			t.Fatalf("%s: %s of %q", name, got.Type, got.Types)
		}
		if got.Header["Auto-Submitted"] != "auto-replied" || got.Header["To"] != "me@sendingemail.com" {
			t.Errorf("%s: header %v", name, got.Header)
		}
		if len(got.Report) != 1+len(r.Recipients) {
			t.Fatalf("%s: %d blocks of status", name, len(got.Report))
		}
		if s := got.Report[1]; s["Action"] != "failed" || s["Final-Recipient"] != "rfc822; nobody@receivingemail.com" ||
			!strings.HasPrefix(s["Diagnostic-Code"], "smtp; 550 ") || s["Status"][0] != '5' {
			t.Errorf("%s: status %v", name, s)
		}
		for _, want := range []string{"Grüße", "mail.sendingemail.com", "What to do:"} {
			if !strings.Contains(got.Text, want) {
				t.Errorf("%s: the text lacks %q:\n%s", name, want, got.Text)
			}
		}
		if strings.Contains(got.Text, "\x1b") || len(got.Text) > 4000 {
			t.Errorf("%s: text %q", name, got.Text)
		}
		if !strings.Contains(got.Quoted["Subject"], "Gr") {
			t.Errorf("%s: quoted %v", name, got.Quoted)
		}
	}
	if id := read(t, hostile.Bytes()).Header["In-Reply-To"]; id != "" {
		t.Errorf("a broken Message-ID is repeated: %q", id)
	}
}

// TestReportOfExpiry: the reason is that the message was given up, and after which time; the words are the host's last
// ones, and nobody's if it said nothing.
func TestReportOfExpiry(t *testing.T) {
	t.Parallel()
	for last, host := range map[string]string{"451 4.7.1 Greylisted": "mx.grey.test", "451 4.4.1 mx.down.test: connection refused": ""} {
		r := example()
		p := &r.Recipients[0]
		p.RemoteMTA, p.Diagnostic = "", mail.Status{}
		p.Status = mail.NewStatus(550, "5.4.7", "given up after 120h0m0s; the last attempt ended with: "+last)
		p.Explanation = p.Status.Text
		if host != "" {
			p.RemoteMTA, p.Diagnostic = host, mail.NewStatus(451, "4.7.1", "Greylisted")
		}
		text := strings.Join(strings.Fields(read(t, r.Bytes()).Text), " ")
		reason := "never taken. Given up after 120h0m0s; the last attempt ended with: 451 4.4.1 mx.down.test: connection refused. What"
		if host != "" {
			reason = "never taken. Given up after 120h0m0s. Words: the server mx.grey.test said: 451 4.7.1 Greylisted What"
		}
		if !strings.Contains(text, reason) || strings.Count(text, last) != 1 || strings.Contains(text, "5.4.7") {
			t.Errorf("%s:\n%s", last, text)
		}
	}
}

// TestReportOfOwnDecision: what this server decided by itself is nobody's words.
func TestReportOfOwnDecision(t *testing.T) {
	t.Parallel()
	r := example()
	r.Recipients[0].RemoteMTA, r.Recipients[0].Diagnostic = "", mail.Status{}
	if text := read(t, r.Bytes()).Text; strings.Contains(text, "Words:") || !strings.Contains(text, "Status:       550 5.1.1") {
		t.Errorf("%s", text)
	}
}

func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	r := example()
	r.Header = []byte(strings.Repeat("X-Much: "+strings.Repeat("x", 70)+"\r\n", 10000))
	if n := len(r.Bytes()); n > MaxQuoted+8<<10 {
		t.Errorf("%d octets", n)
	}
}

// Whatever the outcome of a step, a person gets a reason and something to do.
func TestMeaning(t *testing.T) {
	t.Parallel()
	for _, s := range []mail.Status{{}, {Code: 550}, {Code: 451}, mail.NewStatus(550, "5.1.1", ""), mail.NewStatus(400, "4.9.99", "")} {
		if cause, advice := Meaning(s); cause == "" || advice == "" {
			t.Errorf("%v: %q, %q", s, cause, advice)
		}
	}
	if cause, _ := Meaning(mail.NewStatus(451, "4.4.3", "")); !strings.Contains(cause, "DNS") {
		t.Errorf("4.4.3: %q", cause)
	}
}
