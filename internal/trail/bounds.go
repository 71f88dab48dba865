package trail

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// What a message may take in the trail, in octets of values.
const (
	maxMessage = 64 << 10 // in all
	fullUntil  = 48 << 10 // beyond it, only how things ended is kept
	maxStep    = 16 << 10 // one step; a longer one is shortened
)

// Of a message that is attempted again and again, the first and the last attempts are kept.
const (
	firstAttempts = 3
	lastAttempts  = 3
)

// essential are the kinds that are kept to the end: without them a waybill would not say what became of the message.
var essential = []Kind{Accepted, Durable, Relayed, Filed, Failed, Bounced, Suppressed, Managed, Done, Fetched, Deleted}

// add adds a step to the batch, within the bounds.
func (t *Trail) add(b *store.Batch, id mail.ID, events []Event, now time.Time) {
	size := t.size(b, id, events)
	value := encode(id, events)
	if len(value) > maxStep {
		value = encodeShort(id, events)
	}
	if size+len(value) > fullUntil || len(value) > maxStep {
		all := len(events)
		events = bare(events)
		if value = encode(id, events); size+len(value) > maxMessage {
			events = nil
		}
		if all > len(events) {
			b.Count(keys.Omitted(id), int64(all-len(events)), 0)
		}
	}
	if len(events) > 0 {
		size += len(value)
		b.Put(keys.Step(id, now, t.seq.Add(1)), value)
	}
	t.sizes.set(id, size)
}

// size returns the octets that a message has in the trail. Where it must look there it also adds to the batch the
// end of attempts that are neither among the first nor, with the new one, among the last.
func (t *Trail) size(b *store.Batch, id mail.ID, events []Event) int {
	attempt := highestAttempt(events)
	if attempt <= firstAttempts+lastAttempts {
		if size, known := t.sizes.get(id); known {
			return size
		}
		if slices.ContainsFunc(events, func(e Event) bool { return e.Kind == Accepted }) {
			return 0 // its first step
		}
	}
	snap, err := t.st.Snapshot()
	if err != nil {
		return 0 // then the commit fails as well
	}
	defer snap.Close()
	size, omitted := 0, 0
	for e, err := range snap.Scan(store.Prefix(keys.Trail(id))) {
		if err != nil {
			break
		}
		if bytes.Equal(e.Key, keys.Omitted(id)) {
			continue
		}
		of, count, err := decodeHead(e.Value)
		if err == nil && of > firstAttempts && of <= attempt-lastAttempts {
			b.Delete(slices.Clone(e.Key))
			omitted += count
			continue
		}
		size += len(e.Value)
	}
	if omitted > 0 {
		b.Count(keys.Omitted(id), int64(omitted), 0)
	}
	return size
}

// bare returns the essential events without their evidence.
func bare(events []Event) []Event {
	var kept []Event
	for _, e := range events {
		if slices.Contains(essential, e.Kind) {
			e.Dialogue, e.DNS, e.Header = nil, nil, nil
			kept = append(kept, e)
		}
	}
	return kept
}

const (
	endLines = 10   // lines that stay at each end of a dialogue that is too long
	manyList = 10   // elements that stay of another list
	longText = 1024 // octets that stay of a text
)

// encodeShort encodes events of which the long lists and texts are cut.
func encodeShort(id mail.ID, events []Event) []byte {
	short := slices.Clone(events)
	for i := range short {
		e := &short[i]
		e.Text = cut(e.Text)
		e.Dialogue = shorten(e.Dialogue)
		e.DNS = e.DNS[:min(len(e.DNS), manyList)]
		e.Facts = e.Facts[:min(len(e.Facts), manyList)]
		e.Header = slices.Clone(e.Header[:min(len(e.Header), manyList)])
		for k := range e.Header {
			e.Header[k] = cut(e.Header[k])
		}
	}
	return encode(id, short)
}

func cut(s string) string {
	if len(s) <= longText {
		return s
	}
	return s[:longText] + "…"
}

// shorten leaves the ends of a dialogue, with a note between them.
func shorten(lines []dialogue.Line) []dialogue.Line {
	left := len(lines) - 2*endLines
	if left <= 1 {
		return lines
	}
	note := dialogue.Line{
		At: lines[endLines].At, Side: dialogue.Note, Text: fmt.Sprintf("(%d lines are not kept)", left),
	}
	short := append(slices.Clone(lines[:endLines]), note)
	return append(short, lines[len(lines)-endLines:]...)
}

// sizes remembers what messages of the last seconds have in the trail, so that a step need not look there. What
// a batch that failed would have added stays counted.
type sizes struct {
	mu       sync.Mutex
	now, old map[mail.ID]int
}

// manySizes is how many are remembered at least, if there were so many.
const manySizes = 16 << 10

func (s *sizes) get(id mail.ID) (size int, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, known = s.now[id]; known {
		return size, true
	}
	size, known = s.old[id]
	return size, known
}

func (s *sizes) set(id mail.ID, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || len(s.now) >= manySizes {
		s.now, s.old = map[mail.ID]int{}, s.now
	}
	s.now[id] = size
}
