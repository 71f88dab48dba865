package queue

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// dsn is a delivery status notification as it came to its reader.
type dsn struct {
	item    spool.Item
	content string
}

// fields returns the values of a field of the delivery status, in their order.
func (d dsn) fields(name string) []string {
	var values []string
	for line := range strings.Lines(d.content) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// inbox collects the DSNs that are filed.
type inbox struct {
	mu   sync.Mutex
	dsns []dsn
}

func (r *rig) collect() *inbox {
	var in inbox
	r.local.hold = func(ctx context.Context, a spool.Attempt) {
		if !a.Item.ReversePath.IsNull() {
			return
		}
		content, err := r.spool.Open(ctx, a.Item)
		if err != nil {
			r.t.Error(err)
			return
		}
		defer content.Close()
		text, err := io.ReadAll(content)
		if err != nil {
			r.t.Error(err)
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		in.dsns = append(in.dsns, dsn{*a.Item, string(text)})
	}
	return &in
}

// only returns the one DSN there must be.
func (in *inbox) only(t *testing.T) dsn {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.dsns) != 1 {
		t.Fatalf("%d DSNs: %+v", len(in.dsns), in.dsns)
	}
	return in.dsns[0]
}

func (in *inbox) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.dsns)
}

// asking sets the NOTIFY of the recipients, one after the other.
func asking(notify ...mail.Notify) func(*spool.Item) {
	return func(item *spool.Item) {
		for i, n := range notify {
			item.Recipients[i].Report.Notify = n
		}
	}
}

// suppressed returns the texts of the events that say that something is not told.
func (r *rig) suppressed(id mail.ID) (texts []string) {
	for _, ev := range r.all() {
		if ev.Message == id && ev.Kind == trail.Suppressed {
			texts = append(texts, ev.Recipient+": "+ev.Text)
		}
	}
	return texts
}

// Who is told of a failure: who asked for it, and who said nothing.
func TestNotifyOfFailures(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.answer = byLocalPart
		r.wishes = asking(mail.NotifyNever, mail.NotifySuccess|mail.NotifyDelay, mail.NotifyFailure, 0)
	}, func(t *testing.T, r *rig) {
		in := r.collect()
		synctest.Wait()
		id := r.send("me@a.test", "never1@b.test", "never2@b.test", "never3@b.test", "never4@b.test")
		synctest.Wait()
		r.expect("failures told", in.only(t).fields("Final-Recipient"), []string{"rfc822; never3@b.test", "rfc822; never4@b.test"})
		r.expect("suppressed", r.suppressed(id), []string{
			"never1@b.test: nobody is told: the sender asked for no such report (NOTIFY=NEVER)",
			"never2@b.test: nobody is told: the sender asked for no such report (NOTIFY=SUCCESS,DELAY)",
		})
	})
}

// A success is told to who asked for it: filed here, or handed to a host that does not offer DSN.
func TestNotifyOfSuccess(t *testing.T) {
	success := asking(mail.NotifySuccess, mail.NotifyFailure)
	for _, test := range []struct {
		name, domain string
		dsn          bool
		action       []string
		told         string
		suppressed   []string
	}{
		{"filed", "a.test", false, []string{"delivered"}, "me@a.test is told by message * that it was delivered, as NOTIFY asked for", nil},
		{"relayed", "b.test", false, []string{"relayed"}, "me@a.test is told by message * that it was passed on to a host that does not offer DSN, as NOTIFY asked for", nil},
		{"passed", "b.test", true, nil, "", []string{
			"you@b.test: nobody is told: mx.b.test offers DSN and took NOTIFY over, so it reports the success (RFC 3461 §5.2.1)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.remote.host, r.remote.dsn = "mx.b.test", test.dsn
			}, func(t *testing.T, r *rig) {
				in := r.collect()
				r.wishes = func(item *spool.Item) {
					success(item)
					item.DSN = mail.DSN{EnvelopeID: "QQ314159", Return: mail.ReturnFull}
					item.Recipients[0].Report.Original = mail.OriginalRecipient{Type: "rfc822", Address: "first@list.test"}
				}
				synctest.Wait()
				id := r.send("me@a.test", "you@"+test.domain, "other@"+test.domain)
				synctest.Wait()
				r.expect("suppressed", r.suppressed(id), test.suppressed)
				if test.action == nil {
					if in.count() > 0 {
						t.Errorf("told: %+v", in.dsns)
					}
					return
				}
				d := in.only(t)
				r.expect("actions", d.fields("Action"), test.action)
				r.expect("envelope id", d.fields("Original-Envelope-Id"), []string{"QQ314159"})
				r.expect("original recipient", d.fields("Original-Recipient"), []string{"rfc822; first@list.test"})
				if strings.Contains(d.content, "Here is my data.") {
					t.Error("the report of a success returns the message")
				}
				bounced, _ := r.event(id, trail.Bounced)
				if got := strings.Replace(bounced.Text, string(bounced.Ref), "*", 1); got != test.told {
					t.Errorf("event %q", got)
				}
			})
		})
	}
}

// An alias that was expanded is told as that, and nothing of it leaves, even if its domain is no longer ours.
func TestNotifyOfExpansion(t *testing.T) {
	for _, alias := range []string{"list@a.test", "list@gone.test"} {
		t.Run(alias, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.remote.answer = byLocalPart
				r.wishes = func(item *spool.Item) {
					item.Recipients[0].Report.Notify, item.Recipients[0].Expanded = mail.NotifySuccess, true
					item.Recipients[1].Report.Notify, item.Recipients[2].Report.Notify = mail.NotifyNever, mail.NotifyFailure
				}
			}, func(t *testing.T, r *rig) {
				in := r.collect()
				synctest.Wait()
				id := r.send("me@a.test", alias, "one@a.test", "two@b.test")
				synctest.Wait()
				d := in.only(t)
				r.expect("recipients", d.fields("Final-Recipient"), []string{"rfc822; " + alias})
				r.expect("actions", d.fields("Action"), []string{"expanded"})
				bounced, _ := r.event(id, trail.Bounced)
				if !strings.HasSuffix(bounced.Text, "that it was passed on to the several addresses of an alias, as NOTIFY asked for") {
					t.Errorf("event %q", bounced.Text)
				}
				if r.remote.attempts[alias] > 0 || r.remote.attempts["two@b.test"] != 1 {
					t.Errorf("attempts at other servers: %v", r.remote.attempts)
				}
			})
		})
	}
}

// TestDelay: after four hours the sender is told of all recipients that are late, in one DSN, once, whatever restarts.
func TestDelay(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.answer, r.remote.host = byLocalPart, "mx.b.test"
		r.wishes = asking(0, mail.NotifyDelay, mail.NotifyFailure, 0)
	}, func(t *testing.T, r *rig) {
		in := r.collect()
		id := r.send("me@a.test", "later1@b.test", "later2@c.test", "later3@d.test", "you@b.test")
		time.Sleep(4*time.Hour - time.Minute)
		synctest.Wait()
		if in.count() > 0 {
			t.Fatalf("told too early: %+v", in.dsns)
		}
		time.Sleep(80 * time.Minute)
		synctest.Wait()
		d := in.only(t)
		late := d.fields("Final-Recipient")
		slices.Sort(late)
		r.expect("delays told", late, []string{"rfc822; later1@b.test", "rfc822; later2@c.test"})
		r.expect("actions", d.fields("Action"), []string{"delayed", "delayed"})
		until := r.load(id).Expires.Format("Mon, 2 Jan 2006 15:04:05 -0700")
		r.expect("retried until", d.fields("Will-Retry-Until"), []string{until, until})
		if !strings.Contains(d.content, "mx.b.test said: 450 4.2.1 later") {
			t.Errorf("the DSN lacks the peer's words:\n%s", d.content)
		}
		for i, want := range []bool{true, true, true, false} {
			if got := r.load(id).Recipients[i].DelayTold; got != want {
				t.Errorf("recipient %d: told %v", i, got)
			}
		}
		r.stop()
		r.start()
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		in.only(t)
		r.expect("suppressed", r.suppressed(id), []string{
			"later3@d.test: nobody is told: it is late, but the sender asked for no such report (NOTIFY=FAILURE)"})
	})
}

// A bounce that is late is nobody's business.
func TestNoDelayOfABounce(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
		in := r.collect()
		id := r.send("", "later@b.test")
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if in.count() > 0 || r.suppressed(id) != nil {
			t.Errorf("told: %+v, %q", in.dsns, r.suppressed(id))
		}
	})
}

// RET=FULL returns the message with a failure, if it is short enough; else it is the header.
func TestReturn(t *testing.T) {
	long := "Subject: Test Email\r\n\r\n" + strings.Repeat("Here is my data. Here is my data.\r\n", returnLimit/35+1)
	short := "Subject: Test Email\r\n\r\n" + strings.Repeat("Here is my data.\r\n", 20_000)
	for _, test := range []struct {
		name, content string
		ret           mail.Return
		whole         bool
		event         string
	}{
		{"not said", short, "", false, "what was not delivered"},
		{"HDRS", short, mail.ReturnHeader, false, "what was not delivered"},
		{"FULL", short, mail.ReturnFull, true, "what was not delivered, which has all of it as RET=FULL asked"},
		{"FULL but long", long, mail.ReturnFull, false,
			"what was not delivered, with its header alone although RET=FULL asked for all: it is longer than 1048576 octets"},
		{"FULL of 8 bits", "Subject: Test Email\r\n\r\nGrüße\r\n", mail.ReturnFull, true, "what was not delivered, which has all of it as RET=FULL asked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.remote.answer, r.content = byLocalPart, test.content
				r.wishes = func(item *spool.Item) { item.DSN.Return = test.ret }
			}, func(t *testing.T, r *rig) {
				in := r.collect()
				synctest.Wait()
				id := r.send("me@a.test", "never@b.test")
				synctest.Wait()
				d := in.only(t)
				if whole := strings.Contains(d.content, "Received: by mail.a.test\r\n"+test.content); whole != test.whole {
					t.Errorf("the message is returned: %v, in %d octets", whole, len(d.content))
				}
				if !strings.Contains(d.content, "Subject: Test Email") || !test.whole && strings.Contains(d.content, "Here is") {
					t.Errorf("the DSN has not the header alone:\n%.4000s", d.content)
				}
				if eightBit := strings.Contains(test.content, "ü"); (d.item.BodyType == mail.Body8BitMIME) != eightBit {
					t.Errorf("the DSN is declared as %q", d.item.BodyType)
				}
				if bounced, _ := r.event(id, trail.Bounced); !strings.HasSuffix(bounced.Text, string(bounced.Ref)+" "+test.event) {
					t.Errorf("event %q", bounced.Text)
				}
			})
		})
	}
}

// The DSN about an international message needs SMTPUTF8 itself, if anything in it is not ASCII.
func TestInternationalDSN(t *testing.T) {
	for content, want := range map[string]bool{"Subject: Grüße\r\n\r\nx\r\n": true, "Subject: x\r\n\r\nGrüße\r\n": false} {
		t.Run("", func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.remote.answer, r.content = byLocalPart, content
				r.wishes = func(item *spool.Item) { item.UTF8, item.BodyType = true, mail.Body8BitMIME }
			}, func(t *testing.T, r *rig) {
				in := r.collect()
				synctest.Wait()
				r.send("me@a.test", "never@b.test")
				synctest.Wait()
				d := in.only(t)
				if global := strings.Contains(d.content, "message/global-delivery-status"); d.item.UTF8 != want || global != want {
					t.Errorf("needs SMTPUTF8: %v, in the form of RFC 6533: %v", d.item.UTF8, global)
				}
			})
		})
	}
}
