package spool

import (
	"encoding/binary"
	"slices"

	"waybill/internal/mail"
	"waybill/internal/store/bodies"
	"waybill/internal/store/record"
)

// format is the first octet of a record. The form of format 1, with the parts of package record:
//
//	body · reverse-path · body type · accepted · expires · due · attempts · number of recipients · each recipient:
//	flags (1: has an original, 2: has a status, 4 and 8: place of the state in states) · forward-path ·
//	original · code, enhanced code (3 numbers), text of the status
//
// A path is its local-part and its domain.
const format = 1

const (
	hasOriginal = 1 << iota
	hasStatus
	stateUnit
)

// states are written by their places.
var states = []State{Pending, Delivered, Failed}

func (i *Item) encode() []byte {
	b := make([]byte, 0, 96+64*len(i.Recipients))
	b = append(b, format)
	b = i.Body.Append(b)
	b = appendPath(b, i.ReversePath)
	b = record.AppendText(b, i.BodyType)
	b = record.AppendTime(b, i.Accepted)
	b = record.AppendTime(b, i.Expires)
	b = record.AppendTime(b, i.Due)
	b = binary.AppendUvarint(b, uint64(i.Attempts))
	b = binary.AppendUvarint(b, uint64(len(i.Recipients)))
	for k := range i.Recipients {
		b = i.Recipients[k].append(b)
	}
	return b
}

func (r *Recipient) append(b []byte) []byte {
	flags := byte(max(slices.Index(states, r.State), 0)) * stateUnit
	if !r.Original.IsNull() {
		flags |= hasOriginal
	}
	status := r.Status.Code != 0 || r.Status.Text != "" || r.Status.Enhanced != mail.Enhanced{}
	if status {
		flags |= hasStatus
	}
	b = append(b, flags)
	b = appendPath(b, r.ForwardPath)
	if !r.Original.IsNull() {
		b = appendPath(b, r.Original)
	}
	if status {
		b = binary.AppendUvarint(b, uint64(r.Status.Code))
		for _, n := range r.Status.Enhanced {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = record.AppendText(b, r.Status.Text)
	}
	return b
}

func appendPath(b []byte, a mail.Address) []byte {
	return record.AppendText(record.AppendText(b, a.Local), a.Domain)
}

func decode(value []byte) (*Item, error) {
	r := record.NewReader(value, format)
	i := &Item{
		Body: bodies.Read(r), ReversePath: readPath(r), BodyType: mail.BodyType(r.Text()),
		Accepted: r.Time(), Expires: r.Time(), Due: r.Time(), Attempts: int(r.Uint31()),
	}
	count := r.Count()
	i.Recipients = make([]Recipient, 0, min(count, 1024))
	for range count {
		i.Recipients = append(i.Recipients, readRecipient(r))
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return i, nil
}

func readRecipient(r *record.Reader) (p Recipient) {
	flags := r.Octet()
	state := int(flags / stateUnit)
	if state >= len(states) {
		r.Fail()
		return p
	}
	p.State = states[state]
	p.ForwardPath = readPath(r)
	if flags&hasOriginal != 0 {
		p.Original = readPath(r)
	}
	if flags&hasStatus != 0 {
		p.Status.Code = int(r.Uint31())
		for k := range p.Status.Enhanced {
			p.Status.Enhanced[k] = uint16(r.Uint31())
		}
		p.Status.Text = r.Text()
	}
	return p
}

func readPath(r *record.Reader) mail.Address { return mail.Address{Local: r.Text(), Domain: r.Text()} }
