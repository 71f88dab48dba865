package verify

import (
	"bytes"
	"fmt"

	"waybill/internal/mailbox"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
)

// content is what was found of one body: its chunks come one after the other.
type content struct {
	id    bodies.ID
	sizes []int64
	next  uint32 // the number that the next chunk must have
	torn  bool
	index []byte // of its parts; nil: it has none
}

// bodies reads all contents and compares each with what those who hold it say of it.
func (v *verifier) bodies() error {
	var c *content
	err := v.each([]byte("body/"), func(e store.Entry) {
		id, n, ok := keys.ParseChunk(e.Key)
		if !ok {
			v.found(Damage, fmt.Sprintf("key %q", e.Key), "it is no key of a content")
			return
		}
		if c == nil || c.id != bodies.ID(id) {
			v.content(c)
			c = &content{id: id}
		}
		if keys.IsIndex(n) {
			c.index = append([]byte{}, e.Value...)
			return
		}
		c.torn = c.torn || n != c.next
		c.next = n + 1
		c.sizes = append(c.sizes, int64(len(e.Value)))
	})
	v.content(c)
	if err != nil {
		return err
	}
	return v.each([]byte("ref/"), v.reference)
}

// content compares a body with its holders.
func (v *verifier) content(c *content) {
	if c == nil {
		return
	}
	v.report.Bodies++
	held := false
	for e, err := range v.snap.Scan(store.Prefix(keys.Refs(c.id))) {
		if err != nil {
			return // told where the references are read
		}
		held = true
		_, holder, ok := keys.ParseRef(e.Key)
		if body, what, known := v.held(holder); ok && known {
			v.compare(c, body, what)
		}
	}
	if !held && !v.isUnderWay(c) {
		var octets int64
		for _, n := range c.sizes {
			octets += n
		}
		v.found(Untidy, bodyOf(c.id), "nobody holds it, and nothing is going to delete it: %d octets", octets)
	}
}

// isUnderWay says whether a body that nobody holds is a draft, or about to be deleted.
func (v *verifier) isUnderWay(c *content) bool {
	for range v.snap.Scan(store.Prefix(keys.Sweep(c.id, ""))) {
		return true
	}
	draft := false
	for e, err := range v.snap.Scan(store.Prefix(keys.Drafts())) {
		draft = draft || err != nil || bytes.HasSuffix(e.Key, c.id[:])
	}
	return draft
}

// held returns what a holder says of the body that it holds.
func (v *verifier) held(holder string) (body bodies.Body, what string, ok bool) {
	value, _, err := v.snap.Get([]byte(holder))
	if err != nil {
		return body, "", false // told where the references are read
	}
	if isMail(holder) {
		x, uid, _ := keys.ParseMessage([]byte(holder))
		entry, err := mailbox.DecodeEntry(value)
		return entry.Body, fmt.Sprintf("message %d of %s, mailbox %d", uid, x.Account, x.Number), err == nil
	}
	item, err := spool.Decode(value)
	if err != nil {
		return body, "", false
	}
	return item.Body, "message " + holder[len("spool/"):] + " in the queue", true
}

func (v *verifier) compare(c *content, body bodies.Body, what string) {
	if _, err := message.DecodeParts(c.index, body.Size); c.index != nil && err != nil {
		v.found(Damage, what, "the index of its parts cannot be read: %v", err)
	}
	switch {
	case body.ID != c.id:
		v.found(Damage, what, "it holds %s and says that its content is another one", bodyOf(c.id))
	case c.torn || len(c.sizes) != int(body.Chunks()):
		v.found(Damage, what, "its content has %d parts of %d", len(c.sizes), body.Chunks())
	default:
		for n, size := range c.sizes {
			if want := body.ChunkSize(uint32(n)); size != want {
				v.found(Damage, what, "part %d of its content has %d octets, and must have %d", n, size, want)
				return
			}
		}
	}
}

// reference looks whether what a holder holds is there, and the holder.
func (v *verifier) reference(e store.Entry) {
	id, holder, ok := keys.ParseRef(e.Key)
	if !ok {
		v.found(Damage, fmt.Sprintf("key %q", e.Key), "it is no key of a reference")
		return
	}
	_, what, known := v.held(holder)
	switch {
	case !known && !v.has([]byte(holder)):
		v.found(Untidy, bodyOf(id), "it is held by %q, who is not there", holder)
	case known && !v.has(keys.Chunk(id, 0)):
		v.found(Damage, what, "its content is lost")
	}
}
