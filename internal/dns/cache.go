package dns

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// entry is what is known about a question, with the TTLs as of stored. It is never changed once it is made.
type entry struct {
	code   string   // NOERROR, NXDOMAIN, NODATA, or a failure's
	rrs    []dns.RR // of NOERROR, and the aliases that led to the others
	soa    *dns.SOA // of a negative answer, its TTL that of the answer; may be nil
	server string   // who said so
	ttl    uint32   // seconds
	stored time.Time
}

// newEntry gives an entry the TTL of what is in it; a negative answer without SOA is not kept (RFC 2308 §5).
func newEntry(code string, rrs []dns.RR, soa *dns.SOA, server string, at time.Time) entry {
	e := entry{code: code, rrs: rrs, soa: soa, server: server, stored: at}
	switch {
	case code != CodeNoError && soa == nil:
	case code != CodeNoError && len(rrs) == 0:
		e.ttl = soa.Hdr.Ttl
	case code != CodeNoError:
		e.ttl = min(soa.Hdr.Ttl, minTTL(rrs))
	default:
		e.ttl = minTTL(rrs)
	}
	return e
}

// aged returns the entry as it is at now: TTLs counted down, the records its own.
func (e entry) aged(now time.Time) entry {
	age := uint32(max(0, now.Sub(e.stored)) / time.Second)
	left := e
	left.ttl, left.stored, left.rrs = e.ttl-min(age, e.ttl), now, make([]dns.RR, len(e.rrs))
	for i, rr := range e.rrs {
		left.rrs[i] = older(rr, age)
	}
	if e.soa != nil {
		left.soa = older(e.soa, age).(*dns.SOA)
	}
	return left
}

// older returns a copy of rr with age seconds less to live.
func older(rr dns.RR, age uint32) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Ttl -= min(age, rr.Header().Ttl)
	return rr
}

// cache keeps entries for as long as their TTLs allow, and of too many those that were used last.
type cache struct {
	entries int // limit
	records int // limit, over all entries

	mu    sync.Mutex
	held  int // records
	byKey map[question]*list.Element
	order *list.List // of cached; the front was used last
}

type cached struct {
	key question
	entry
}

// recordsPerEntry bounds what entries with many records take: this many on average.
const recordsPerEntry = 8

func newCache(entries int) *cache {
	return &cache{
		entries: entries, records: entries * recordsPerEntry,
		byKey: map[question]*list.Element{}, order: list.New(),
	}
}

// get returns what is known about q at now, with its TTLs counted down. That a name does not exist is known for all
// its types at once.
func (c *cache) get(q question, now time.Time) (entry, bool) {
	c.mu.Lock()
	e, ok := c.find(q, now)
	if !ok {
		e, ok = c.find(question{q.name, dns.TypeNone}, now)
	}
	c.mu.Unlock()
	if !ok {
		return entry{}, false
	}
	return e.aged(now), true
}

func (c *cache) find(q question, now time.Time) (entry, bool) {
	el, ok := c.byKey[q]
	if !ok {
		return entry{}, false
	}
	e := el.Value.(cached)
	if now.Sub(e.stored) >= time.Duration(e.ttl)*time.Second {
		c.remove(el)
		return entry{}, false
	}
	c.order.MoveToFront(el)
	return e.entry, true
}

// put remembers e, unless its TTL is 0.
func (c *cache) put(q question, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[q]; ok {
		c.remove(el)
	}
	if e.ttl == 0 || len(e.rrs) > c.records {
		return
	}
	if e.code == CodeNXDomain && len(e.rrs) == 0 { // with aliases it is their end that does not exist
		q.qtype = dns.TypeNone
		if el, ok := c.byKey[q]; ok {
			c.remove(el)
		}
	}
	c.byKey[q] = c.order.PushFront(cached{q, e})
	c.held += len(e.rrs)
	for c.order.Len() > c.entries || c.held > c.records {
		c.remove(c.order.Back())
	}
}

// drop forgets q.
func (c *cache) drop(q question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[q]; ok {
		c.remove(el)
	}
}

func (c *cache) remove(el *list.Element) {
	e := c.order.Remove(el).(cached)
	delete(c.byKey, e.key)
	c.held -= len(e.rrs)
}
