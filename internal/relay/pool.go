package relay

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"waybill/internal/routing"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// Bounds of the reuse of connections.
const (
	keepTime     = 2 * time.Second // how long a connection waits for another message, and how recent the one before must be
	maxPerHost   = 100             // transactions on one connection: hosts close those that never end
	maxKept      = 1000            // connections that wait, to all hosts
	goodbyeLimit = 10 * time.Second
)

// place is where a connection leads to and how it was made: only mail for which the same holds may use it.
type place struct {
	host  string
	addr  netip.AddrPort
	route *routing.Route // its TLS and login
}

// connection is an SMTP connection on which a transaction may begin.
type connection struct {
	client *smtp.Client
	tls    *trail.TLS
	began  time.Time
	used   int // transactions so far
}

// pool keeps connections for the next message to the same host, if messages come one upon the other: a connection costs a
// handful of round trips, and with TLS more time than the message. A lone message ends with QUIT at once.
type pool struct {
	mu     sync.Mutex
	places map[place]*traffic
	kept   int
	closed bool
}

// traffic is what happens at one place.
type traffic struct {
	running int
	last    time.Time // when the last delivery ended
	idle    []*idler  // the one used last is the last one
}

// idler is a connection that waits.
type idler struct {
	*connection
	timer *time.Timer
}

func newPool() *pool { return &pool{places: map[place]*traffic{}} }

// begin notes that a delivery begins at p, and returns a connection that waits there; nil if none does.
func (p *pool) begin(at place) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.places[at]
	if t == nil {
		t = &traffic{}
		p.places[at] = t
	}
	t.running++
	if len(t.idle) == 0 {
		return nil
	}
	last := t.idle[len(t.idle)-1]
	t.idle = t.idle[:len(t.idle)-1]
	p.kept--
	last.timer.Stop()
	return last.connection
}

// busy says whether a connection to p is worth keeping: others are under way there, or the one before was a moment ago.
func (p *pool) busy(at place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.places[at]
	return !p.closed && p.kept < maxKept && t != nil && (t.running > 1 || time.Since(t.last) < keepTime)
}

// end notes that a delivery at p has ended, and keeps its connection, which may be nil.
func (p *pool) end(at place, c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.places[at]
	t.running--
	t.last = time.Now()
	switch {
	case c == nil:
	case p.closed:
		c.client.Close()
	default:
		i := &idler{connection: c}
		i.timer = time.AfterFunc(keepTime, func() { p.goodbye(at, i) })
		t.idle = append(t.idle, i)
		p.kept++
	}
	if t.running == 0 && len(t.idle) == 0 {
		time.AfterFunc(keepTime, func() { p.forget(at, t) })
	}
}

// goodbye ends a connection that has waited for long enough.
func (p *pool) goodbye(at place, i *idler) {
	if !p.remove(at, i) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeLimit)
	defer cancel()
	i.client.Quit(ctx)
}

func (p *pool) remove(at place, i *idler) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.places[at]
	if t == nil { // its last connection was taken as this timer ran out, and all is over since
		return false
	}
	for k, other := range t.idle {
		if other == i {
			t.idle = append(t.idle[:k], t.idle[k+1:]...)
			p.kept--
			if t.running == 0 && len(t.idle) == 0 {
				delete(p.places, at)
			}
			return true
		}
	}
	return false
}

// forget drops a place where nothing has happened for a while.
func (p *pool) forget(at place, t *traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places[at] == t && t.running == 0 && len(t.idle) == 0 && time.Since(t.last) >= keepTime {
		delete(p.places, at)
	}
}

// close ends all connections that wait, with a word of goodbye to each, and keeps none any more.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	var idle []*idler
	for _, t := range p.places {
		idle = append(idle, t.idle...)
		t.idle = nil
	}
	p.kept = 0
	p.mu.Unlock()
	var ended sync.WaitGroup
	for _, i := range idle {
		i.timer.Stop()
		ended.Go(func() { i.client.Quit(ctx) })
	}
	ended.Wait()
}
