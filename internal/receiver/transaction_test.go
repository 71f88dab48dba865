package receiver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/spool"
)

func TestProtocol(t *testing.T) {
	t.Parallel()
	for want, is := range map[string][4]bool{ // EHLO, SMTPUTF8, TLS, login
		"SMTP": {}, "ESMTP": {true}, "ESMTPS": {true, false, true}, "ESMTPA": {true, false, false, true}, "ESMTPSA": {true, false, true, true},
		"UTF8SMTP": {true, true}, "UTF8SMTPS": {true, true, true}, "UTF8SMTPA": {true, true, false, true}, "UTF8SMTPSA": {true, true, true, true},
	} {
		if got := protocol(is[0], is[1], is[2], is[3]); got != want {
			t.Errorf("%v: %s, want %s", is, got, want)
		}
	}
}

func TestNeedsUTF8(t *testing.T) {
	t.Parallel()
	plain, utf8 := mail.Address{Local: "a", Domain: "b.test"}, mail.Address{Local: "ä", Domain: "b.test"}
	for _, test := range []struct {
		declared, header bool
		added, from, to  mail.Address
		want             bool
	}{
		{false, false, mail.Address{}, plain, plain, false},
		{true, false, mail.Address{}, plain, plain, false}, // declared in vain
		{true, true, mail.Address{}, plain, plain, true},
		{false, true, mail.Address{}, plain, plain, false}, // octets that nobody calls UTF-8
		{true, false, mail.Address{}, utf8, plain, true},
		{true, false, mail.Address{}, mail.Address{}, utf8, true},
		{false, false, utf8, mail.Address{}, plain, true},
	} {
		s := &session{tx: transaction{reversePath: test.from, params: smtp.MailParams{UTF8: test.declared},
			recipients: []spool.Recipient{{ForwardPath: plain}, {ForwardPath: test.to}}}}
		s.r = &Receiver{Options: Options{IDs: mail.NewIDs(1)}}
		if item := s.newItem(time.Now(), &header{utf8: test.header, sender: test.added}); item.UTF8 != test.want {
			t.Errorf("%+v: %v", test, item.UTF8)
		}
	}
}

// TestReportsAreKept: what the sender asked for about DSNs goes into the spool.
func TestReportsAreKept(t *testing.T) {
	t.Parallel()
	report := mail.Report{Notify: mail.NotifySuccess, Original: mail.OriginalRecipient{Type: "rfc822", Address: "b@c.test"}}
	dsn := mail.DSN{Return: mail.ReturnHeader, EnvelopeID: "x"}
	s := &session{r: &Receiver{Options: Options{IDs: mail.NewIDs(1)}}, tx: transaction{params: smtp.MailParams{DSN: dsn, Body: mail.Body8BitMIME},
		recipients: []spool.Recipient{{Report: report, State: spool.Pending}}}}
	item := s.newItem(time.Now(), &header{})
	if item.DSN != dsn || item.BodyType != mail.Body8BitMIME || !slices.Equal(item.Recipients, s.tx.recipients) {
		t.Errorf("%+v", item)
	}
}

// TestManyPartsAreNothing: a message of 100,000 MIME parts is a message.
func TestManyPartsAreNothing(t *testing.T) {
	text := "L: MTA\nS: 220 *\nC: HELO x.test\nS: 250 *\nC: MAIL FROM:<x@y.test>\nS: 250 *\nC: RCPT TO:<alice@example.test>\nS: 250 *\n" +
		"C: DATA\nS: 354 *\nC: Content-Type: multipart/mixed; boundary=b\nC: \n" + strings.Repeat("C: --b\nC: \n", 100_000) +
		"C: .\nS: 250 2.0.0 *\nC: QUIT\nS: 221 *\nV: local | * | \nH: boundary=b*--b*\n"
	newBench(t, text).play()
}
