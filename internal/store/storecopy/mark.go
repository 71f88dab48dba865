package storecopy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// mark is the value of the key "copying" in a target.
type mark struct {
	source       string
	last         []byte // the last key that was copied
	keys, octets int64
}

const format = 1

func (m mark) encode() []byte {
	b := record.AppendText(record.AppendText([]byte{format}, m.source), m.last)
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(m.keys)), uint64(m.octets))
}

func decode(value []byte) (m mark, err error) {
	r := record.NewReader(value, format)
	m.source, m.last = r.Text(), bytes.Clone(r.Bytes())
	m.keys, m.octets = r.Size(), r.Size()
	return m, r.End()
}

// add counts an entry that is in the batch with the mark.
func (m *mark) add(e entry) {
	m.last = e.key
	m.keys++
	m.octets += int64(e.size())
}

// readMark returns the mark of a target; its version is Absent if there is none.
func readMark(st store.Store) (m mark, version store.Version, err error) {
	snap, err := st.Snapshot()
	if err != nil {
		return m, 0, err
	}
	defer snap.Close()
	value, version, err := snap.Get(keys.Copying())
	if errors.Is(err, store.ErrNotFound) {
		return m, store.Absent, nil
	}
	if err != nil {
		return m, 0, err
	}
	if m, err = decode(value); err != nil {
		return m, 0, fmt.Errorf("key %q: %w", keys.Copying(), err)
	}
	return m, version, nil
}

// Unfinished returns the source of a copy of which the store is only a part as yet, or "". Nobody may serve such a store.
func Unfinished(st store.Store) (source string, err error) {
	m, version, err := readMark(st)
	if err != nil || version == store.Absent {
		return "", err
	}
	return m.source, nil
}

// checkEmpty refuses a store with anything in it but what migration and nodes have left that found nothing to do.
func checkEmpty(st store.Store) error {
	snap, err := st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Range{}) {
		if err != nil {
			return err
		}
		if !stays(e.Key) && !bytes.Equal(e.Key, keys.Layout()) {
			return ErrNotEmpty
		}
	}
	return nil
}

const (
	// watchFor is how long a node's beat is watched: nodes write theirs every three seconds.
	watchFor   = 7 * time.Second
	watchEvery = 100 * time.Millisecond
)

// refuseUsed returns ErrUsed if nodes work on a store. Each of them has a key that it writes every few seconds; where
// there is no such key, or it does not change, there is no node. It returns the beats that it has seen, all of them dead.
func refuseUsed(ctx context.Context, st store.Store, watch time.Duration) (before map[string]store.Version, err error) {
	before, err = beats(st)
	if err != nil || len(before) == 0 {
		return before, err
	}
	for until := time.Now().Add(watch); time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(watchEvery):
		}
		now, err := beats(st)
		if err != nil {
			return nil, err
		}
		if grown(before, now) {
			return nil, ErrUsed
		}
	}
	return before, nil
}

// grown says whether a node has begun, or shown that it is alive.
func grown(before, now map[string]store.Version) bool {
	for key, version := range now {
		if old, known := before[key]; !known || old != version {
			return true
		}
	}
	return false
}

// beats returns the versions of the nodes' beats.
func beats(st store.Store) (map[string]store.Version, error) {
	snap, err := st.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	found := map[string]store.Version{}
	for e, err := range snap.Scan(store.Prefix(keys.Beats())) {
		if err != nil {
			return nil, err
		}
		found[string(e.Key)] = e.Version
	}
	return found, nil
}
