package trail

import (
	"encoding/binary"
	"sync"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/store/record"
)

// format is the first octet of a step's value. The form of format 1, with the parts of package record:
//
//	highest attempt of the events · number of events · each event: fields present · kind · these fields in the order
//	of the constants below
//
// A word is 0 and a text, or the place (from 1) of a text that came before: the dictionary first, then every text that
// stood in a word. Times are differences in nanoseconds: of an event from the one before, of a line of a dialogue
// from the line before, and of the first of them from zero and from the event.
const format = 1

const (
	hasAt = 1 << iota
	hasTook
	hasActor
	hasRole
	hasMessage // only if it is not the one in the key
	hasSession
	hasRecipient
	hasAttempt
	hasRef
	hasText
	hasPeer
	hasDNS
	hasTLS
	hasDialogue
	hasDecision
	hasStatus
	hasHeader
	hasFacts
	hasNextAt
	fieldsEnd
)

// dictionary has the words of format 1 that need not be spelled out. It can grow at the end, nothing else.
var dictionary = []string{
	string(dialogue.Client), string(dialogue.Server), string(dialogue.Note),
	string(Lookup), string(Resolution), string(ReverseLookup), string(Connected), string(Decided), string(Received),
	string(Accepted), string(Durable), string(Refused), string(Ended), string(Routed), string(MXChosen),
	string(Relayed), string(Attempted), string(Filed), string(Deferred), string(Failed), string(Bounced),
	string(Suppressed), string(Done), string(MaildropOpened), string(Fetched), string(Deleted), string(MaildropClosed),
	"MTA", "MSA", "MDA", "POP3 server", "A", "AAAA", "MX", "PTR", "CNAME", "NOERROR", "NXDOMAIN", "NODATA", "SERVFAIL",
	"TIMEOUT", "local", "allowed", "refused", "queue id", "reverse-path", "size", "mailbox", "TLS 1.3", "TLS 1.2",
	"is the recipient ours?", "may this client relay?", "250", "",
}

var dictionaryPlaces = places(dictionary)

func places(words []string) map[string]int {
	m := make(map[string]int, len(words))
	for i, w := range words {
		m[w] = i + 1
	}
	return m
}

// maxWords bounds the table of words, on both sides.
const maxWords = 4096

// encoder writes values; the table is kept for the next one.
type encoder struct {
	b     []byte
	words map[string]int // places of those that are not in the dictionary
}

var encoders = sync.Pool{New: func() any { return &encoder{words: map[string]int{}} }}

// encode returns the value of a step of message id; "" for sessions.
func encode(id mail.ID, events []Event) []byte {
	c := encoders.Get().(*encoder)
	defer encoders.Put(c)
	c.b = append(c.b[:0], format)
	clear(c.words)
	c.uint(highestAttempt(events))
	c.uint(len(events))
	var before int64
	for i := range events {
		c.event(id, &events[i], &before)
	}
	return append([]byte(nil), c.b...)
}

func highestAttempt(events []Event) (n int) {
	for i := range events {
		n = max(n, events[i].Attempt)
	}
	return n
}

func (c *encoder) uint(n int)    { c.b = binary.AppendUvarint(c.b, uint64(max(n, 0))) }
func (c *encoder) int(n int64)   { c.b = binary.AppendVarint(c.b, n) }
func (c *encoder) text(s string) { c.b = record.AppendText(c.b, s) }

// word writes a text that is likely to come again.
func (c *encoder) word(s string) {
	if n := dictionaryPlaces[s]; n > 0 {
		c.uint(n)
		return
	}
	if n := c.words[s]; n > 0 {
		c.uint(n)
		return
	}
	c.uint(0)
	c.text(s)
	if len(c.words) < maxWords {
		c.words[s] = len(dictionary) + len(c.words) + 1
	}
}

// wordIf writes a word whose field is present.
func (c *encoder) wordIf(fields, field int, s string) {
	if fields&field != 0 {
		c.word(s)
	}
}

// fields says which fields of e are present.
func fields(id mail.ID, e *Event) (f int) {
	for _, x := range [...]struct {
		field   int
		present bool
	}{
		{hasAt, !e.At.IsZero()}, {hasTook, e.Took != 0}, {hasActor, e.Actor != ""}, {hasRole, e.Role != ""},
		{hasMessage, e.Message != id}, {hasSession, e.Session != ""}, {hasRecipient, e.Recipient != ""},
		{hasAttempt, e.Attempt > 0}, {hasRef, e.Ref != ""}, {hasText, e.Text != ""}, {hasPeer, e.Peer != nil},
		{hasDNS, len(e.DNS) > 0}, {hasTLS, e.TLS != nil}, {hasDialogue, len(e.Dialogue) > 0},
		{hasDecision, e.Decision != nil}, {hasStatus, e.Status != nil}, {hasHeader, len(e.Header) > 0},
		{hasFacts, len(e.Facts) > 0}, {hasNextAt, !e.NextAt.IsZero()},
	} {
		if x.present {
			f |= x.field
		}
	}
	return f
}

// event writes e; before is the time of the event before it.
func (c *encoder) event(id mail.ID, e *Event, before *int64) {
	f := fields(id, e)
	c.uint(f)
	c.word(string(e.Kind))
	if f&hasAt != 0 {
		at := e.At.UnixNano()
		c.int(at - *before)
		*before = at
	}
	if f&hasTook != 0 {
		c.int(int64(e.Took))
	}
	c.wordIf(f, hasActor, e.Actor)
	c.wordIf(f, hasRole, e.Role)
	c.wordIf(f, hasMessage, string(e.Message))
	c.wordIf(f, hasSession, e.Session)
	c.wordIf(f, hasRecipient, e.Recipient)
	if f&hasAttempt != 0 {
		c.uint(e.Attempt)
	}
	c.wordIf(f, hasRef, string(e.Ref))
	if f&hasText != 0 {
		c.text(e.Text)
	}
	c.evidence(f, e, *before)
	if f&hasNextAt != 0 {
		c.int(e.NextAt.UnixNano() - *before)
	}
}

// evidence writes the fields of e that are more than one value.
func (c *encoder) evidence(f int, e *Event, at int64) {
	if p := e.Peer; f&hasPeer != 0 {
		c.word(p.Addr)
		c.word(p.Name)
		c.word(p.Hello)
		c.word(p.Account)
	}
	if f&hasDNS != 0 {
		c.dns(e.DNS)
	}
	if t := e.TLS; f&hasTLS != 0 {
		c.word(t.Version)
		c.word(t.Cipher)
		c.bool(t.Verified)
		c.word(t.Subject)
	}
	if f&hasDialogue != 0 {
		c.dialogue(e.Dialogue, at)
	}
	if d := e.Decision; f&hasDecision != 0 {
		c.word(d.Question)
		c.word(d.Outcome)
		c.word(d.Rule)
		c.text(d.Reason)
	}
	if s := e.Status; f&hasStatus != 0 {
		c.uint(s.Code)
		for _, n := range s.Enhanced {
			c.uint(int(n))
		}
		c.text(s.Text)
	}
	if f&hasHeader != 0 {
		c.texts(e.Header)
	}
	if f&hasFacts != 0 {
		c.uint(len(e.Facts))
		for _, fact := range e.Facts {
			c.word(fact.Name)
			c.word(fact.Value)
		}
	}
}

func (c *encoder) dns(answers []DNS) {
	c.uint(len(answers))
	for i := range answers {
		a := &answers[i]
		c.word(a.Name)
		c.word(a.Type)
		c.word(a.Server)
		c.word(a.Code)
		c.texts(a.Answers)
		c.uint(int(a.TTL))
		c.bool(a.Cached)
		c.int(int64(a.Took))
	}
}

func (c *encoder) dialogue(lines []dialogue.Line, before int64) {
	c.uint(len(lines))
	for i := range lines {
		at := before
		if !lines[i].At.IsZero() {
			at = lines[i].At.UnixNano()
		}
		c.int(at - before)
		before = at
		c.word(string(lines[i].Side))
		c.text(lines[i].Text)
	}
}

func (c *encoder) texts(list []string) {
	c.uint(len(list))
	for _, s := range list {
		c.text(s)
	}
}

func (c *encoder) bool(v bool) {
	var n byte
	if v {
		n = 1
	}
	c.b = append(c.b, n)
}

func unixNano(n int64) time.Time { return time.Unix(0, n).UTC() }
