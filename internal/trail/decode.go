package trail

import (
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/store/record"
)

// decoder takes a value apart that an encoder wrote.
type decoder struct {
	*record.Reader
	words []string // those that are not in the dictionary
}

// decodeHead returns what a value says of itself: the highest attempt, and the number of its events.
func decodeHead(value []byte) (attempt, events int, err error) {
	r := record.NewReader(value, format)
	attempt = int(r.Uint31())
	events = r.Count()
	return attempt, events, r.Err()
}

// decode returns the events of a step of message id. Times are in UTC.
// Check says whether the record of a step can be read. Errors: record.ErrCorrupt.
func Check(value []byte) error {
	_, err := decode("", value)
	return err
}

func decode(id mail.ID, value []byte) ([]Event, error) {
	c := &decoder{Reader: record.NewReader(value, format)}
	c.Uint31()
	count := c.Count()
	events := make([]Event, 0, min(count, 64))
	var before int64
	for range count {
		events = append(events, c.event(id, &before))
		if err := c.Err(); err != nil {
			return nil, err
		}
	}
	if err := c.End(); err != nil {
		return nil, err
	}
	return events, nil
}

func (c *decoder) word() string {
	n := c.Uvarint()
	switch known := uint64(len(dictionary)); {
	case n == 0:
		s := c.Text()
		if len(c.words) < maxWords {
			c.words = append(c.words, s)
		}
		return s
	case n <= known:
		return dictionary[n-1]
	case n <= known+uint64(len(c.words)):
		return c.words[n-known-1]
	}
	c.Fail()
	return ""
}

func (c *decoder) wordIf(fields, field int, s *string) {
	if fields&field != 0 {
		*s = c.word()
	}
}

func (c *decoder) event(id mail.ID, before *int64) (e Event) {
	f := int(c.Uint31())
	if f >= fieldsEnd {
		c.Fail()
		return e
	}
	e.Kind = Kind(c.word())
	if f&hasAt != 0 {
		*before += c.Varint()
		e.At = unixNano(*before)
	}
	if f&hasTook != 0 {
		e.Took = time.Duration(c.Varint())
	}
	c.wordIf(f, hasActor, &e.Actor)
	c.wordIf(f, hasRole, &e.Role)
	e.Message = id
	c.wordIf(f, hasMessage, (*string)(&e.Message))
	c.wordIf(f, hasSession, &e.Session)
	c.wordIf(f, hasRecipient, &e.Recipient)
	if f&hasAttempt != 0 {
		e.Attempt = int(c.Uint31())
	}
	c.wordIf(f, hasRef, (*string)(&e.Ref))
	if f&hasText != 0 {
		e.Text = c.Text()
	}
	c.evidence(f, &e, *before)
	if f&hasNextAt != 0 {
		e.NextAt = unixNano(*before + c.Varint())
	}
	return e
}

func (c *decoder) evidence(f int, e *Event, at int64) {
	if f&hasPeer != 0 {
		e.Peer = &Peer{Addr: c.word(), Name: c.word(), Hello: c.word(), Account: c.word()}
	}
	if f&hasDNS != 0 {
		e.DNS = c.dns()
	}
	if f&hasTLS != 0 {
		e.TLS = &TLS{Version: c.word(), Cipher: c.word(), Verified: c.Octet() != 0, Subject: c.word()}
	}
	if f&hasDialogue != 0 {
		e.Dialogue = c.dialogue(at)
	}
	if f&hasDecision != 0 {
		e.Decision = &Decision{Question: c.word(), Outcome: c.word(), Rule: c.word(), Reason: c.Text()}
	}
	if f&hasStatus != 0 {
		s := &mail.Status{Code: int(c.Uint31())}
		for i := range s.Enhanced {
			s.Enhanced[i] = uint16(c.Uint31())
		}
		s.Text = c.Text()
		e.Status = s
	}
	if f&hasHeader != 0 {
		e.Header = c.texts()
	}
	if f&hasFacts != 0 {
		for range c.Count() {
			e.Facts = append(e.Facts, Fact{Name: c.word(), Value: c.word()})
		}
	}
}

func (c *decoder) dns() (answers []DNS) {
	for range c.Count() {
		answers = append(answers, DNS{
			Name: c.word(), Type: c.word(), Server: c.word(), Code: c.word(), Answers: c.texts(),
			TTL: uint32(c.Uvarint()), Cached: c.Octet() != 0, Took: time.Duration(c.Varint()),
		})
	}
	return answers
}

func (c *decoder) dialogue(before int64) (lines []dialogue.Line) {
	for range c.Count() {
		before += c.Varint()
		lines = append(lines, dialogue.Line{At: unixNano(before), Side: dialogue.Side(c.word()), Text: c.Text()})
	}
	return lines
}

func (c *decoder) texts() (list []string) {
	for range c.Count() {
		list = append(list, c.Text())
	}
	return list
}
