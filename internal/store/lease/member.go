package lease

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// member is the value of node/<n>.
type member struct {
	holder uint16 // who works on the slice; noNode: nobody, it is free
	name   string // of node n
	joined time.Time
}

const format = 1

func (m member) encode() []byte {
	b := binary.AppendUvarint([]byte{format}, uint64(m.holder))
	return record.AppendTime(record.AppendText(b, m.name), m.joined)
}

func decode(value []byte) (m member, err error) {
	r := record.NewReader(value, format)
	holder := r.Uvarint()
	m.name, m.joined = r.Text(), r.Time()
	if holder > noNode {
		r.Fail()
	}
	m.holder = uint16(holder)
	return m, r.End()
}

// Readable returns why the value of node/<n> cannot be read; nil if it can.
func Readable(value []byte) error {
	_, err := decode(value)
	return err
}

// nodes is what a snapshot says of them.
type nodes struct {
	members map[uint16]member
	epochs  map[uint16]store.Version
	beats   map[uint16]store.Version
}

func read(snap store.Snapshot) (n nodes, err error) {
	n = nodes{map[uint16]member{}, map[uint16]store.Version{}, map[uint16]store.Version{}}
	for e, err := range snap.Scan(store.Prefix(keys.Nodes())) {
		if err != nil {
			return n, fmt.Errorf("read the nodes: %w", err)
		}
		number, ok := keys.ParseNode(e.Key)
		m, err := decode(e.Value)
		if err != nil || !ok {
			return n, fmt.Errorf("key %q: %w", e.Key, errors.Join(err, record.ErrCorrupt))
		}
		n.members[number], n.epochs[number] = m, e.Version
	}
	for e, err := range snap.Scan(store.Prefix(keys.Beats())) {
		if err != nil {
			return n, fmt.Errorf("read the beats of the nodes: %w", err)
		}
		if number, ok := keys.ParseBeat(e.Key); ok {
			n.beats[number] = e.Version
		}
	}
	return n, nil
}

// survey reads the nodes as of now.
func (l *Lease) survey() (nodes, error) {
	snap, err := l.o.Store.Snapshot()
	if err != nil {
		return nodes{}, err
	}
	defer snap.Close()
	return read(snap)
}

// Node is a node of a store, for operators.
type Node struct {
	Number uint16
	Name   string
	Joined time.Time
	Beat   time.Time // when it last showed that it is alive, by its own clock; zero: it has left, or was taken for dead
	Taken  []string  // names of the nodes that are none any more whose slices it works on
}

// Nodes returns those that are at work, or were when they last told, by number. Errors: those of the store.
func Nodes(snap store.Snapshot) ([]Node, error) {
	n, err := read(snap)
	if err != nil {
		return nil, err
	}
	var all []Node
	for _, number := range slices.Sorted(maps.Keys(n.members)) {
		m := n.members[number]
		if m.holder != number {
			continue
		}
		node := Node{Number: number, Name: m.name, Joined: m.joined}
		if value, _, err := snap.Get(keys.Beat(number)); err == nil {
			node.Beat = time.UnixMicro(store.ReadCounter(value)).UTC()
		}
		for slice, of := range n.members {
			if of.holder == number && slice != number {
				node.Taken = append(node.Taken, of.name)
			}
		}
		slices.Sort(node.Taken)
		all = append(all, node)
	}
	return all, nil
}

// Slices returns those of the queue that have messages. Errors: those of the store.
func Slices(st store.Store) (found []uint16, err error) {
	snap, err := st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("look for slices of the queue: %w", err)
	}
	defer snap.Close()
	next := keys.DueAll()
	end := store.After(next)
	for next != nil {
		r := store.Range{Start: next, End: end, Limit: 1}
		next = nil
		for e, err := range snap.Scan(r) {
			if err != nil {
				return nil, fmt.Errorf("look for slices of the queue: %w", err)
			}
			slice, ok := keys.ParseSlice(e.Key)
			if !ok { // no entry, and nothing behind it is one of that slice
				next = append(append([]byte(nil), e.Key...), 0)
				continue
			}
			found = append(found, slice)
			next = store.After(keys.DueSlice(slice))
		}
	}
	return found, nil
}
