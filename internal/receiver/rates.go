package receiver

import (
	"sync"
	"time"
)

const (
	rateBurst   = 60      // seconds' worth of messages that may come at once
	maxRateKeys = 1 << 16 // that are told apart
	rateSample  = 8       // keys that are looked at to make room for another
)

// rates holds each of many keys to a rate, by the generic cell rate algorithm (ITU-T I.371): of a key it keeps only when
// its debt is paid off. Its memory is bounded: of many keys those are forgotten that owe least.
//
// Nodes that share a store add what the others tell them to a key's debt, a second later at most. So what all of them take
// together keeps to the rate, but for what came at once at several of them: that is then waited for.
type rates[K comparable] struct {
	rate  float64 // a second; 0: nothing is counted
	start time.Time

	mu     sync.Mutex
	paid   map[K]float64 // seconds after start
	untold map[K]uint64  // messages that the others do not know of; nil: there are no others
}

func newRates[K comparable](rate float64) *rates[K] {
	return &rates[K]{rate: rate, start: time.Now(), paid: map[K]float64{}}
}

// take counts one message against key, or says how long it must wait for its turn.
func (r *rates[K]) take(now time.Time, key K) (wait time.Duration, ok bool) {
	if r.rate <= 0 {
		return 0, true
	}
	interval := 1 / r.rate
	tolerance := max(0, rateBurst-interval)
	r.mu.Lock()
	defer r.mu.Unlock()
	at := now.Sub(r.start).Seconds()
	paid, known := r.paid[key]
	paid = max(paid, at)
	if early := paid - tolerance - at; early > 0 {
		return time.Duration(min(early, maxWait.Seconds()) * float64(time.Second)), false
	}
	if !known && len(r.paid) >= maxRateKeys {
		r.forget()
	}
	r.paid[key] = paid + interval
	if _, waits := r.untold[key]; r.untold != nil && (waits || len(r.untold) < maxRateKeys) {
		r.untold[key]++
	}
	return 0, true
}

// share makes others hear of what is taken.
func (r *rates[K]) share() {
	if r.rate > 0 {
		r.untold = map[K]uint64{}
	}
}

// next returns, and forgets, one of the keys that the others are to be told of.
func (r *rates[K]) next() (key K, messages uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, messages = range r.untold {
		delete(r.untold, key)
		return key, messages, true
	}
	return key, 0, false
}

// hear counts messages that another node took at that time.
func (r *rates[K]) hear(at time.Time, key K, messages uint64) {
	if r.rate <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	paid, known := r.paid[key]
	owed := at.Sub(r.start).Seconds() // of what came before this process began it is below zero
	if known {
		owed = max(owed, paid)
	}
	owed += float64(messages) / r.rate
	if !known && len(r.paid) >= maxRateKeys {
		r.forget()
	}
	r.paid[key] = owed
}

// maxWait bounds what is told of a rate that is next to nothing.
const maxWait = 24 * time.Hour

// forget drops of some keys the one that owes least.
func (r *rates[K]) forget() {
	var least K
	n := 0
	for key, paid := range r.paid { // begins anywhere
		if n == 0 || paid < r.paid[least] {
			least = key
		}
		if n++; n == rateSample {
			break
		}
	}
	delete(r.paid, least)
}
