package directory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"waybill/internal/store"
)

const (
	rememberFor   = 5 * time.Minute
	maxRemembered = 10_000
)

// remembered knows the passwords that were right of late, so that a client that logs in for each message, or looks for
// mail every minute, does not cost a slow hash each time. It keeps no password, only a hash under a key that lives
// as long as the process; each is good for the version of the stored hash that it was checked against.
type remembered struct {
	key []byte

	mu    sync.Mutex
	known map[[sha256.Size]byte]rightPassword
}

type rightPassword struct {
	version store.Version
	until   time.Time
}

func newRemembered() *remembered {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails, since Go 1.24
	return &remembered{key: key, known: map[[sha256.Size]byte]rightPassword{}}
}

// name is what an account and a password are remembered as. Neither holds a NUL.
func (r *remembered) name(account, password string) (name [sha256.Size]byte) {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(account + "\x00" + password))
	mac.Sum(name[:0])
	return name
}

// has says whether the password was right against that version, and not long ago.
func (r *remembered) has(account, password string, v store.Version) bool {
	name := r.name(account, password)
	r.mu.Lock()
	defer r.mu.Unlock()
	right, ok := r.known[name]
	if ok && (right.version != v || !time.Now().Before(right.until)) {
		delete(r.known, name)
		return false
	}
	return ok
}

// add remembers a password that was right.
func (r *remembered) add(account, password string, v store.Version) {
	name := r.name(account, password)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxRemembered {
		for other := range r.known { // begins anywhere
			delete(r.known, other)
			break
		}
	}
	r.known[name] = rightPassword{version: v, until: time.Now().Add(rememberFor)}
}
