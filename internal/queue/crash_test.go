package queue

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/faultfs"
)

// ledger is what the world was told: who got a 250 for which message, and which messages a next hop has taken.
type ledger struct {
	mu    sync.Mutex
	acked []mail.ID
	never int // of them, those that end in a DSN
	taken map[mail.ID]bool
}

func (l *ledger) ack(id mail.ID, never bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, id)
	if never {
		l.never++
	}
}

func (l *ledger) take(id mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[id] = true
}

func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{acked: l.acked[:len(l.acked):len(l.acked)], never: l.never, taken: maps.Clone(l.taken)}
}

// crash is a disk as it was found, and what the world had been told at the latest.
type crash struct {
	disk *faultfs.Disk
	told *ledger
}

// The power fails after every sync and many other steps, while messages come in and are delivered here and there.
// Whatever got its 250 is then filed, taken by its next hop, or told of in a DSN, as soon as a queue runs on what
// is left: nothing is lost, and nothing is filed twice (the key is created, so a second time would fail).
func TestCrashAfterEveryStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for i, c := range crashes(t) {
			if !t.Run(fmt.Sprint(i), func(t *testing.T) { c.check(t) }) {
				return
			}
		}
	})
}
