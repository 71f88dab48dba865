package message

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"waybill/internal/mail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example is a report as the queue makes it.
func example() Report {
	return Report{
		ReportingMTA: "mail.sendingemail.com", ID: mail.NewIDs(1).New(noon)[:9] + "AAAAA", Original: "1RWQV8G01BBBBB",
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

// written is the report as it is sent.
func written(t *testing.T, r Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// one is the example with that for its only recipient.
func one(change func(*Report, *ReportRecipient)) Report {
	r := example()
	change(&r, &r.Recipients[0])
	return r
}

// returning makes the report return the whole message.
func returning(r Report, body string) Report {
	whole := string(r.Header) + "\r\n" + body
	r.Message = func(w io.Writer) error {
		for part := range strings.SplitSeq(whole, "") { // octet by octet
			if _, err := io.WriteString(w, part); err != nil {
				return err
			}
		}
		return nil
	}
	return r
}

// documents are reports of all kinds, by their golden files.
func documents() map[string]Report {
	wishes := func(r *Report, p *ReportRecipient) {
		r.EnvelopeID = "QQ314159"
		p.ORCPT = mail.OriginalRecipient{Type: "rfc822", Address: "everybody@list.test"}
	}
	return map[string]Report{
		"report":         example(),
		"rfc3461-wishes": one(wishes),
		"rfc3464-delayed": one(func(_ *Report, p *ReportRecipient) {
			p.Action, p.RetryUntil = ActionDelayed, noon.Add(24*time.Hour)
			p.Status = mail.NewStatus(451, "4.7.1", "Greylisted")
			p.Diagnostic = p.Status
		}),
		"rfc3464-delivered": one(func(r *Report, p *ReportRecipient) {
			wishes(r, p)
			p.Action, p.RemoteMTA, p.Diagnostic = ActionDelivered, "", mail.Status{}
			p.Status = mail.NewStatus(250, "2.1.5", "filed")
		}),
		"rfc3461-relayed": one(func(_ *Report, p *ReportRecipient) {
			p.Action, p.Status = ActionRelayed, mail.NewStatus(250, "", "taken")
			p.Diagnostic = p.Status
		}),
		"rfc3461-5.2.7.3-expanded": one(func(r *Report, p *ReportRecipient) {
			wishes(r, p)
			p.Action, p.RemoteMTA, p.Diagnostic = ActionExpanded, "", mail.Status{}
			p.Status = mail.NewStatus(250, "2.1.5", "passed on to the addresses of the alias")
		}),
		"rfc3461-returned": returning(example(), "Here is my data.\r\n"),
		"rfc6533-7bit": one(func(_ *Report, p *ReportRecipient) {
			p.ORCPT = mail.OriginalRecipient{Type: "utf-8", Address: "j\u00fcrgen+a@receivingemail.com"}
		}),
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, r := range documents() {
		golden := "testdata/" + name + ".eml"
		got := written(t, r)
		checkForm(t, got)
		read(t, got)
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
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestOriginalRecipientOnlyIfSaid: without ORCPT there is no Original-Recipient (RFC 3461 §6.3), and a person reads the address
// that the sender knows.
func TestOriginalRecipientOnlyIfSaid(t *testing.T) {
	t.Parallel()
	got := string(written(t, one(func(_ *Report, p *ReportRecipient) {
		p.Original = mail.Address{Local: "everybody", Domain: "list.test"}
	})))
	if strings.Contains(got, "Original-Recipient") || !strings.Contains(got, "everybody@list.test") {
		t.Errorf("got\n%s", got)
	}
}

// international is a report about a message that needed SMTPUTF8.
func international() Report {
	r := example()
	r.International = true
	r.To.Local = "j\u00fcrgen"
	r.Header = []byte("From: J\u00fcrgen <j\u00fcrgen@sendingemail.com>\r\nSubject: Gr\u00fc\u00dfe\r\nMessage-ID: <1@sendingemail.com>\r\n")
	r.Recipients[0].ForwardPath.Local = "r\u00e9gis"
	r.Recipients[0].Diagnostic.Text = "r\u00e9gis unknown"
	return r
}

// TestReportIsInternational: what RFC 6533 has for UTF-8 is used where it is needed and the sender can take it.
func TestReportIsInternational(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		report Report
		needs  Needs
		want   []string
		not    string
	}{
		"header": {international(), Needs{mail.Body8BitMIME, true}, []string{
			"Content-Type: message/global-delivery-status", "Content-Type: message/global-headers",
			"Final-Recipient: utf-8; ", "r\u00e9gis", "Subject: Gr\u00fc\u00dfe\r\n", "smtp; 550 5.1.1 r\u00e9gis unknown",
		}, "message/delivery-status"},
		"whole": {returning(international(), "x\r\n"), Needs{mail.Body8BitMIME, true}, []string{
			"Content-Type: message/global\r\n", "message/global-delivery-status",
		}, "rfc822-headers"},
		"header is no UTF-8": {func() Report {
			r := international()
			r.Header = []byte("Subject: Gr\xfc\xdfe\r\n")
			return r
		}(), Needs{mail.Body8BitMIME, true}, []string{"message/global-headers", "Subject: Gr=FC=DFe"}, "\xfc"},
		"nothing is": {func() Report {
			r := example()
			r.International = true
			return r
		}(), Needs{}, []string{"message/delivery-status"}, "global"},
		"sender cannot": {func() Report {
			r := international()
			r.International, r.To.Local = false, "me"
			return r
		}(), Needs{}, []string{"Final-Recipient: utf-8; ", "r\\x{E9}gis", "text/rfc822-headers"}, "global"},
		"8-bit content": {returning(example(), "Gr\u00fc\u00dfe\r\n"), Needs{Body: mail.Body8BitMIME}, []string{
			"Content-Type: message/rfc822\r\n", "Content-Transfer-Encoding: 8bit", "Gr\u00fc\u00dfe",
		}, "global"},
	} {
		var b bytes.Buffer
		needs, err := test.report.Write(&b)
		if err != nil || needs != test.needs {
			t.Errorf("%s: needs %+v, %v, want %+v", name, needs, err, test.needs)
		}
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, b.String())
			}
		}
		if strings.Contains(b.String(), test.not) {
			t.Errorf("%s has %q:\n%s", name, test.not, b.String())
		}
		if !needs.UTF8 { // which Python does not read
			read(t, b.Bytes())
		}
		if needs.UTF8 && !utf8.Valid(b.Bytes()) {
			t.Errorf("%s is no UTF-8", name)
		}
	}
}

// TestReportReturnsTheMessage: octet for octet, whatever it has that looks like a boundary; and a message that cannot
// be read leaves nothing half written.
func TestReportReturnsTheMessage(t *testing.T) {
	t.Parallel()
	r := example()
	trap := "--" + boundaryOf(r.ID, 0) + "\r\n--" + boundaryOf(r.ID, 1) + "--\r\n"
	content := string(written(t, returning(r, trap)))
	if !strings.Contains(content, "\r\n\r\n"+string(r.Header)+"\r\n"+trap+"\r\n--"+boundaryOf(r.ID, 2)+"--\r\n") {
		t.Errorf("the message is not returned as it was:\n%s", content)
	}
	if parts := read(t, []byte(content)).Types; !slices.Equal(parts, []string{"text/plain", "message/delivery-status", "message/rfc822"}) {
		t.Errorf("parts %q", parts)
	}
	r.Message = func(io.Writer) error { return io.ErrUnexpectedEOF }
	var b bytes.Buffer
	if _, err := r.Write(&b); !errors.Is(err, io.ErrUnexpectedEOF) || b.Len() > 0 {
		t.Errorf("%v, with %d octets written", err, b.Len())
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
		content := written(t, r)
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
	if id := read(t, written(t, hostile)).Header["In-Reply-To"]; id != "" {
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
		text := strings.Join(strings.Fields(read(t, written(t, r)).Text), " ")
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
	if text := read(t, written(t, r)).Text; strings.Contains(text, "Words:") || !strings.Contains(text, "Status:       550 5.1.1") {
		t.Errorf("%s", text)
	}
}

func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	r := example()
	r.Header = []byte(strings.Repeat("X-Much: "+strings.Repeat("x", 70)+"\r\n", 10000))
	if n := len(written(t, r)); n > MaxQuoted+8<<10 {
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
