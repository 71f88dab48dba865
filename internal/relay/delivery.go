package relay

import (
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// delivery is the state of one attempt. final and last run parallel to attempt.Recipients.
type delivery struct {
	relay    *Relay
	attempt  spool.Attempt
	events   []trail.Event
	limit    time.Duration // of the attempt
	walk     *walk         // nil before the hosts are known
	sessions int           // connections, for their names

	final []verdict // zero while a recipient is open
	last  []verdict // the latest 4xx that a host gave for this very recipient
	why   verdict   // why the open ones are open: temporary if any cause was
	taken bool      // a host has taken the message for somebody
	octet octets    // of the content, as far as they were looked at
}

// verdict is a status and whose words it is: the host that gave it, or "" for our own.
type verdict struct {
	mail.Status
	host   string
	passed bool // a success at a host that took over what the sender asked to be told (RFC 3461)
}

func ours(s mail.Status) verdict { return verdict{Status: s} }

// Statuses made here, not by a peer. Enhanced codes: RFC 3463, RFC 7505.
var (
	noSuchDomain  = mail.NewStatus(550, "5.1.2", "")
	nullMX        = mail.NewStatus(556, "5.1.10", "") // RFC 7505 §4.1
	noAddress     = mail.NewStatus(550, "5.4.4", "")
	loopsBack     = mail.NewStatus(554, "5.4.6", "")
	dnsFailed     = mail.NewStatus(451, "4.4.3", "")
	noAnswer      = mail.NewStatus(451, "4.4.1", "")
	badConnection = mail.NewStatus(451, "4.4.2", "")
	tooManyNow    = mail.NewStatus(452, "4.5.3", "")
	badProtocol   = mail.NewStatus(451, "4.5.0", "")
	loginFailed   = mail.NewStatus(454, "4.7.0", "")
	tlsRequired   = mail.NewStatus(454, "4.7.4", "")
	localError    = mail.NewStatus(451, "4.3.0", "")
	notConverted  = mail.NewStatus(554, "5.6.3", "") // RFC 6152 §3
	addressUTF8   = mail.NewStatus(553, "5.6.7", "") // RFC 6531 §3.5
	contentUTF8   = mail.NewStatus(550, "5.6.9", "")
)

// open returns the number of recipients without a final status.
func (d *delivery) open() int {
	n := 0
	for _, s := range d.final {
		if s.Code == 0 {
			n++
		}
	}
	return n
}

// settle gives the recipient at position i the status of a host: final, or noted for the end.
func (d *delivery) settle(i int, v verdict) {
	if v.Success() || v.Permanent() {
		d.final[i] = v
		return
	}
	d.last[i] = v
}

// refuse ends all open recipients.
func (d *delivery) refuse(v verdict) {
	for i := range d.final {
		if d.final[i].Code == 0 {
			d.final[i] = v
		}
	}
}

// because notes why open recipients could not be delivered so far. A temporary cause outlives a permanent one:
// the host that failed for now may take the mail later.
func (d *delivery) because(v verdict) {
	if d.why.Temporary() && !v.Temporary() {
		return
	}
	d.why = v
}

// outcomes returns an outcome for each recipient of the attempt.
func (d *delivery) outcomes() []spool.Outcome {
	outcomes := make([]spool.Outcome, len(d.final))
	for i, v := range d.final {
		if v.Code == 0 {
			v = d.last[i]
		}
		if v.Code == 0 {
			v = d.why
		}
		if v.Code == 0 {
			v = ours(noAnswer.WithText("no host of %s was reached", d.attempt.NextHop))
		}
		outcomes[i] = spool.Outcome{Recipient: d.attempt.Recipients[i], Status: v.Status, RemoteMTA: v.host, Passed: v.passed}
	}
	return outcomes
}

// event begins an event of this attempt. It names the recipient if there is only one.
func (d *delivery) event(kind trail.Kind, at time.Time) trail.Event {
	ev := trail.Event{
		Kind: kind, At: at, Actor: d.relay.Hostname, Role: role,
		Message: d.attempt.Item.ID, Attempt: d.attempt.Number,
	}
	if len(d.attempt.Recipients) == 1 {
		ev.Recipient = d.path(0).String()
	}
	return ev
}

// path is the forward-path at position i.
func (d *delivery) path(i int) mail.Address {
	return d.attempt.Item.Recipients[d.attempt.Recipients[i]].ForwardPath
}
