// Package trail keeps the waybill: the typed events of every message's delivery, and of every session that
// came to nothing, as the one book that logs, `waybill explain` and the lab read.
package trail

import (
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// Kind names a step.
type Kind string

const (
	// At the clients.
	Composed  Kind = "client.composed"  // a message was written; Header has its fields
	Submitted Kind = "client.submitted" // the submission dialogue, as the client saw it
	Retrieved Kind = "client.retrieved" // the POP3 dialogue, as the client saw it

	// Names.
	Lookup        Kind = "dns.lookup"  // a question to a resolver and its answer
	Resolution    Kind = "dns.resolve" // how a resolver found an answer: the referrals that it followed
	ReverseLookup Kind = "dns.reverse" // a peer's address → its name, confirmed forward or not

	// Receiving.
	Connected Kind = "smtp.connected" // a peer connected to a listener
	Decided   Kind = "policy.decided" // a policy decision with the rule that made it
	Received  Kind = "smtp.received"  // a message's transaction, as the server saw it: Peer, the fields already in it (Header), Facts "reverse-path", "size"
	Accepted  Kind = "spool.accepted" // custody begins: written in the batch that takes it; Header has the fields that we added
	Durable   Kind = "spool.durable"  // that batch is on stable storage (At+Took): the 250 leaves after it
	Refused   Kind = "smtp.refused"   // a command or message was refused for good or for now
	Ended     Kind = "smtp.ended"     // the SMTP session is over; the rest of its dialogue

	// Queue, relay, filing.
	Routed     Kind = "queue.routed"     // a recipient's next hop, and why
	MXChosen   Kind = "relay.mx"         // the MX hosts of a domain in the order in which they are tried
	Relayed    Kind = "relay.delivered"  // the next hop has taken custody (its 250)
	Attempted  Kind = "relay.attempted"  // a host was tried and did not take the message
	Filed      Kind = "mailbox.filed"    // a message was put into a mailbox
	Deferred   Kind = "queue.deferred"   // tried, will be tried again; Status and At of the next attempt
	Failed     Kind = "queue.failed"     // given up; Status says why
	Bounced    Kind = "queue.bounced"    // a DSN was created; Ref is its message id
	Suppressed Kind = "queue.suppressed" // a DSN was not created, and why
	Managed    Kind = "queue.managed"    // an operator did something to the message: Text says what
	Done       Kind = "queue.done"       // no recipient is left; custody ends

	// Reading.
	MaildropOpened Kind = "pop3.opened"  // a login
	Fetched        Kind = "pop3.fetched" // the message was sent to its reader by RETR
	Deleted        Kind = "pop3.deleted" // the message was deleted at QUIT
	MaildropClosed Kind = "pop3.closed"  // the POP3 session is over; its dialogue

	// The trail itself.
	Omitted Kind = "trail.omitted" // events that are not kept, because there are too many; Text says how many
)

// Event is one step with its evidence. Small: no bodies, no secrets. Fields that do not apply stay empty.
type Event struct {
	Kind Kind          `json:"kind"`
	At   time.Time     `json:"at"`             // when the step began
	Took time.Duration `json:"took,omitempty"` // nanoseconds

	Actor string `json:"actor,omitempty"` // host name of the part that acted
	Role  string `json:"role,omitempty"`  // what that part is: "mail client", "MTA", "resolver", "POP3 server"

	Message   mail.ID `json:"message,omitempty"`   // in whose waybill the event stands; empty for sessions without one
	Session   string  `json:"session,omitempty"`   // joins the events of one connection
	Recipient string  `json:"recipient,omitempty"` // forward-path that the step was about
	Attempt   int     `json:"attempt,omitempty"`   // 1 for the first
	Ref       mail.ID `json:"ref,omitempty"`       // another message: the id at the next hop, a DSN

	Text string `json:"text,omitempty"` // one sentence for a person

	Peer     *Peer           `json:"peer,omitempty"`
	DNS      []DNS           `json:"dns,omitempty"`
	TLS      *TLS            `json:"tls,omitempty"`
	Dialogue []dialogue.Line `json:"dialogue,omitempty"`
	Decision *Decision       `json:"decision,omitempty"`
	Status   *mail.Status    `json:"status,omitempty"`
	Header   []string        `json:"header,omitempty"` // header fields that the step added, or found already there
	Facts    []Fact          `json:"facts,omitempty"`  // further named evidence, in the order in which it is shown
	NextAt   time.Time       `json:"nextAt,omitzero"`  // Deferred: when it is tried again
}

// Fact is one named piece of evidence.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Peer is who is at the other end: what we saw, and what it merely claimed.
type Peer struct {
	Addr    string `json:"addr"`              // seen: address:port
	Name    string `json:"name,omitempty"`    // seen: reverse name that leads back to the address, else ""
	Hello   string `json:"hello,omitempty"`   // claimed in HELO or EHLO
	Account string `json:"account,omitempty"` // proven by AUTH
}

// DNS is one question and what came of it.
type DNS struct {
	Name    string        `json:"name"`
	Type    string        `json:"type"`
	Server  string        `json:"server,omitempty"`  // address:port that was asked
	Code    string        `json:"code"`              // NOERROR, NXDOMAIN, NODATA, SERVFAIL, REFERRAL, TIMEOUT…
	Answers []string      `json:"answers,omitempty"` // records in master-file form, TTL included
	TTL     uint32        `json:"ttl"`               // seconds, smallest of the answers
	Cached  bool          `json:"cached,omitempty"`  // from our own cache: nobody was asked
	Took    time.Duration `json:"took,omitempty"`
}

// TLS is what a handshake agreed on.
type TLS struct {
	Version  string `json:"version"`
	Cipher   string `json:"cipher"`
	Verified bool   `json:"verified,omitempty"` // the certificate was checked and is good
	Subject  string `json:"subject,omitempty"`
}

// Decision is the outcome of a policy question, with the rule that decided.
type Decision struct {
	Question string `json:"question"` // "may this client relay?"
	Outcome  string `json:"outcome"`  // "allowed", "refused", "local"…
	Rule     string `json:"rule"`     // "[relay] trusted: 127.0.0.24/32"
	Reason   string `json:"reason,omitempty"`
}
