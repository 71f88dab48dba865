package spool

import (
	"encoding/binary"
	"slices"

	"waybill/internal/mail"
	"waybill/internal/store/bodies"
	"waybill/internal/store/record"
)

// A record begins with the number of its format. An item is written in the lowest format that can say what it has, so
// the version of this program before format 2 reads all mail that needs nothing of it. The form of format 1, with the
// parts of package record:
//
//	body · reverse-path · body type · accepted · expires · due · attempts · number of recipients · each recipient:
//	flags (1: has an original, 2: has a status, 4 and 8: place of the state in states) · forward-path ·
//	original · code, enhanced code (3 numbers), text of the status
//
// A path is its local-part and its domain. Format 2 has after the body type: flags (1: SMTPUTF8, 2: has an ENVID,
// 4 and 8: place of RET in returns) · ENVID; and further flags of a recipient (16: has NOTIFY, 32: has ORCPT, 64: its
// delay was told), with after its status: NOTIFY · type and address of ORCPT. Format 3 has one more flag of a recipient
// (128: has a sender) and at its end that path. Format 4 has one more bit in NOTIFY (16: the recipient is Expanded).
const (
	format1 = 1
	format2 = 2
	format3 = 3
	format4 = 4
)

// Flags of a recipient.
const (
	hasOriginal = 1 << iota
	hasStatus
	stateUnit
	_
	hasNotify
	hasORCPT
	delayTold
	hasSender

	stateMask = 3
)

// isExpanded is a bit of a recipient's NOTIFY.
const isExpanded = 2 * byte(mail.NotifyDelay)

// Flags of an item.
const (
	needsUTF8 = 1 << iota
	hasEnvelopeID
	returnUnit

	returnMask = 3
)

// states and returns are written by their places.
var (
	states  = []State{Pending, Delivered, Failed}
	returns = []mail.Return{"", mail.ReturnFull, mail.ReturnHeader}
)

func (i *Item) encode() []byte {
	b := make([]byte, 0, 96+64*len(i.Recipients))
	format := i.format()
	b = append(b, format)
	b = i.Body.Append(b)
	b = appendPath(b, i.ReversePath)
	b = record.AppendText(b, i.BodyType)
	if format >= format2 {
		b = i.appendWishes(b)
	}
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

// format is the lowest one that can say what the item has.
func (i *Item) format() byte {
	format := byte(format1)
	if i.UTF8 || i.DSN != (mail.DSN{}) {
		format = format2
	}
	for k := range i.Recipients {
		switch r := &i.Recipients[k]; {
		case r.Expanded:
			return format4
		case !r.Sender.IsNull():
			format = format3
		case r.DelayTold || r.Report != (mail.Report{}):
			format = max(format, format2)
		}
	}
	return format
}

// appendWishes adds what only format 2 has of the item itself.
func (i *Item) appendWishes(b []byte) []byte {
	flags := byte(max(slices.Index(returns, i.DSN.Return), 0)) * returnUnit
	if i.UTF8 {
		flags |= needsUTF8
	}
	if i.DSN.EnvelopeID == "" {
		return append(b, flags)
	}
	return record.AppendText(append(b, flags|hasEnvelopeID), i.DSN.EnvelopeID)
}

func (r *Recipient) flags() byte {
	flags := byte(max(slices.Index(states, r.State), 0)) * stateUnit
	add := func(flag byte, has bool) {
		if has {
			flags |= flag
		}
	}
	add(hasOriginal, !r.Original.IsNull())
	add(hasStatus, r.Status != mail.Status{})
	add(hasNotify, r.Report.Notify != 0 || r.Expanded)
	add(hasORCPT, r.Report.Original != mail.OriginalRecipient{})
	add(delayTold, r.DelayTold)
	add(hasSender, !r.Sender.IsNull())
	return flags
}

func (r *Recipient) append(b []byte) []byte {
	flags := r.flags()
	b = append(b, flags)
	b = appendPath(b, r.ForwardPath)
	if flags&hasOriginal != 0 {
		b = appendPath(b, r.Original)
	}
	if flags&hasStatus != 0 {
		b = binary.AppendUvarint(b, uint64(r.Status.Code))
		for _, n := range r.Status.Enhanced {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = record.AppendText(b, r.Status.Text)
	}
	if flags&hasNotify != 0 {
		notify := byte(r.Report.Notify)
		if r.Expanded {
			notify |= isExpanded
		}
		b = append(b, notify)
	}
	if flags&hasORCPT != 0 {
		b = record.AppendText(record.AppendText(b, r.Report.Original.Type), r.Report.Original.Address)
	}
	if flags&hasSender != 0 {
		b = appendPath(b, r.Sender)
	}
	return b
}

func appendPath(b []byte, a mail.Address) []byte {
	return record.AppendText(record.AppendText(b, a.Local), a.Domain)
}

// Decode reads a record; what its key says is missing. Errors: record.ErrCorrupt.
func Decode(value []byte) (*Item, error) {
	format := byte(format4)
	if len(value) > 0 && value[0] >= format1 && value[0] < format4 {
		format = value[0]
	}
	r := record.NewReader(value, format)
	i := &Item{Body: bodies.Read(r), ReversePath: readPath(r), BodyType: mail.BodyType(r.Text())}
	if format >= format2 {
		i.readWishes(r)
	}
	i.Accepted, i.Expires, i.Due, i.Attempts = r.Time(), r.Time(), r.Time(), int(r.Uint31())
	count := r.Count()
	i.Recipients = make([]Recipient, 0, min(count, 1024))
	for range count {
		i.Recipients = append(i.Recipients, readRecipient(r, format))
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Item) readWishes(r *record.Reader) {
	flags := r.Octet()
	ret := int(flags / returnUnit & returnMask)
	if ret >= len(returns) || flags >= (returnMask+1)*returnUnit {
		r.Fail()
		return
	}
	i.UTF8, i.DSN.Return = flags&needsUTF8 != 0, returns[ret]
	if flags&hasEnvelopeID != 0 {
		i.DSN.EnvelopeID = r.Text()
	}
}

func readRecipient(r *record.Reader, format byte) (p Recipient) {
	flags := r.Octet()
	state := int(flags / stateUnit & stateMask)
	if state >= len(states) || format < format3 && flags >= hasSender || format == format1 && flags >= hasNotify {
		r.Fail()
		return p
	}
	p.State, p.DelayTold = states[state], flags&delayTold != 0
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
	if flags&hasNotify != 0 {
		notify := r.Octet()
		if notify >= 2*isExpanded || format < format4 && notify >= isExpanded {
			r.Fail()
		}
		p.Report.Notify, p.Expanded = mail.Notify(notify&^isExpanded), notify&isExpanded != 0
	}
	if flags&hasORCPT != 0 {
		p.Report.Original = mail.OriginalRecipient{Type: r.Text(), Address: r.Text()}
	}
	if flags&hasSender != 0 {
		p.Sender = readPath(r)
	}
	return p
}

func readPath(r *record.Reader) mail.Address { return mail.Address{Local: r.Text(), Domain: r.Text()} }
