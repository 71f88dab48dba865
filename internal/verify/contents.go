package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

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

	asked   bool
	objects []int64 // their sizes, if asked
}

func (v *verifier) draft(e store.Entry) {
	_, id, ok := keys.ParseDraft(e.Key)
	if !ok { // it would keep all others from being swept
		v.malformed(e)
		return
	}
	v.drafts[id] = true
}

func (v *verifier) sweep(e store.Entry) {
	if _, ok := keys.ParseSweep(e.Key); !ok {
		v.malformed(e)
		return
	}
	if _, n := binary.Uvarint(e.Value); n <= 0 {
		v.found(Damage, fmt.Sprintf("the mark %q", e.Key), "it cannot be read, and the contents that nobody holds are not deleted")
	}
}

// chunk looks at a part of a content, which is complete when that of another one comes.
func (v *verifier) chunk(e store.Entry) {
	id, n, ok := keys.ParseChunk(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	if v.content == nil || v.content.id != bodies.ID(id) {
		v.endContent()
		v.content = &content{id: id}
	}
	c := v.content
	if keys.IsIndex(n) {
		c.index = append([]byte{}, e.Value...)
		return
	}
	c.torn = c.torn || n != c.next
	c.next = n + 1
	c.sizes = append(c.sizes, int64(len(e.Value)))
}

// endContent compares a content with its holders.
func (v *verifier) endContent() {
	c := v.content
	if v.content = nil; c == nil {
		return
	}
	v.report.Bodies++
	held := false
	for e, err := range v.snap.Scan(store.Prefix(keys.Refs(c.id))) {
		if err != nil {
			return // told where the references are read
		}
		held = true
		_, holder, _ := keys.ParseRef(e.Key)
		if body, what, known := v.held(holder); known {
			v.compare(c, body, holder, what)
		}
	}
	switch {
	case held || v.isUnderWay(c):
	case len(c.sizes) == 0:
		v.found(Untidy, bodyOf(c.id), "it is gone, and the index of its parts is left")
	default:
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
	return v.drafts[c.id]
}

// held returns what a holder says of the body that it holds.
func (v *verifier) held(holder string) (body bodies.Body, what string, ok bool) {
	value, _, err := v.snap.Get([]byte(holder))
	if err != nil {
		return body, "", false // told where the references are read
	}
	if x, uid, isMail := keys.ParseMessage([]byte(holder)); isMail {
		entry, err := mailbox.DecodeEntry(value)
		return entry.Body, messageOf(x, uid), err == nil
	}
	id, isSpool := strings.CutPrefix(holder, "spool/")
	if !isSpool {
		return body, "", false
	}
	item, err := spool.Decode(value)
	if err != nil {
		return body, "", false
	}
	return item.Body, "message " + id + " in the queue", true
}

func (v *verifier) compare(c *content, body bodies.Body, holder, what string) {
	if _, err := message.DecodeParts(c.index, body.Size); c.index != nil && err != nil {
		v.found(Damage, what, "the index of its parts cannot be read: %v", err)
	}
	switch {
	case body.ID != c.id:
		v.found(Damage, what, "it holds %s and says that its content is another one", bodyOf(c.id))
	case len(c.sizes) == 0: // told where the references are read
	case c.torn || len(c.sizes) != int(body.Chunks()):
		v.found(Damage, what, "its content has %d parts of %d", len(c.sizes), body.Chunks())
	default:
		for n, size := range c.sizes {
			if want := body.ChunkSize(uint32(n)); size != want {
				v.found(Damage, what, "part %d of its content has %d octets, and must have %d", n, size, want)
				return
			}
		}
		v.compareObjects(c, body, holder, what)
	}
}

// compareObjects looks at what of a content lies in the object store. Once that could not be asked it is not asked again.
func (v *verifier) compareObjects(c *content, body bodies.Body, holder, what string) {
	if !body.InObjects || v.unasked {
		return
	}
	if !c.asked {
		sizes, err := v.contents.ObjectSizes(v.ctx, body)
		if err != nil {
			v.unasked = true
			v.found(Damage, "the object store", "it cannot be asked, and contents that lie there were not looked at: %v", err)
			return
		}
		c.asked, c.objects = true, sizes
	}
	for i, size := range c.objects {
		n := uint32(i) + body.Chunks()
		switch want := body.ChunkSize(n); {
		case size == want:
			continue
		case v.letGo(c.id, holder):
			return
		case size < 0:
			v.found(Damage, what, "part %d of its content is not in the object store", n)
			return
		default:
			v.found(Damage, what, "part %d of its content has %d octets in the object store, and must have %d", n, size, want)
			return
		}
	}
}

// letGo says whether the holder has let go of the content since the snapshot was taken: then its objects are rightly gone. Objects are deleted only after the last
// reference, so one that is still there says that they were to be there when they were looked for.
func (v *verifier) letGo(id bodies.ID, holder string) bool {
	now, err := v.st.Snapshot()
	if err != nil {
		return false // rather a finding too many
	}
	defer now.Close()
	for _, key := range [][]byte{[]byte(holder), keys.Ref(id, holder)} {
		if _, _, err := now.Get(key); errors.Is(err, store.ErrNotFound) {
			return true
		}
	}
	return false
}

// reference looks whether what a holder holds is there, and the holder.
func (v *verifier) reference(e store.Entry) {
	id, holder, ok := keys.ParseRef(e.Key)
	if !ok {
		v.malformed(e)
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

// bodyOf shows a body's id.
func bodyOf(id bodies.ID) string { return "content " + id.String() }
