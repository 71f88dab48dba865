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
type rates[K comparable] struct {
	rate  float64 // a second; 0: nothing is counted
	start time.Time

	mu   sync.Mutex
	paid map[K]float64 // seconds after start
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
	return 0, true
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
