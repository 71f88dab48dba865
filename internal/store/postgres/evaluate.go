package postgres

import (
	"fmt"
	"slices"
	"strings"

	"waybill/internal/store"
)

// stored is what the server said of a key, of which the transaction now holds the row.
type stored struct {
	version store.Version
	number  int64 // if the value is so short that it may be a counter
}

// locked is what a transaction knows before its group is evaluated.
type locked struct {
	schemas  *schemas
	keys     map[string]stored // those that exist
	known    map[store.BatchID]store.Result
	versions int64 // the first of versionsOfGroup
	bucket   int64
}

// cell is a key during the evaluation.
type cell struct {
	existed bool // in the database
	present bool // now
	version store.Version
	number  int64
	value   []byte // if it was written
	written bool
	wanted  bool // a batch that is applied builds on what it found here
}

// plan is what a group comes to.
type plan struct {
	l        *locked
	cells    map[string]*cell
	ranges   []store.Range
	outcomes []outcome // one for each job
	ids      []store.BatchID
	results  [][]byte
	// unlocked are the keys that were thought to be absent: their names hold numbers, so nobody could look.
	unlocked []string
}

// evaluate goes through the batches of a group in their order. It changes neither g nor l, and comes to the same each time.
func evaluate(g *group, l *locked) *plan {
	p := &plan{l: l, cells: make(map[string]*cell, 8*len(g.jobs)), outcomes: make([]outcome, len(g.jobs))}
	first := map[store.BatchID]store.Result{}
	for i, j := range g.jobs {
		id := j.batch.ID
		if id != (store.BatchID{}) {
			r, ok := l.known[id]
			if !ok {
				r, ok = first[id]
			}
			if ok {
				p.outcomes[i].result = r
				continue
			}
		}
		r, err := p.apply(j.batch, store.Version(l.versions+int64(i)))
		p.outcomes[i] = outcome{r, err}
		if err == nil && id != (store.BatchID{}) {
			first[id] = r
			p.ids = append(p.ids, id)
			p.results = append(p.results, encodeResult(r))
		}
	}
	return p
}

// refused tells whether no batch of the group is to be applied, nor was before.
func (p *plan) refused() bool {
	return !slices.ContainsFunc(p.outcomes, func(o outcome) bool { return o.err == nil })
}

func (p *plan) cell(key []byte) *cell {
	c := p.cells[string(key)]
	if c == nil {
		c = &cell{}
		if s, ok := p.l.keys[string(key)]; ok {
			*c = cell{existed: true, present: true, version: s.version, number: s.number}
		}
		if len(p.ranges) > 0 && p.ranged(string(key)) { // a batch before has deleted it
			c.remove()
		}
		p.cells[string(key)] = c
	}
	return c
}

// apply evaluates one batch.
func (p *plan) apply(b *store.Batch, version store.Version) (r store.Result, err error) {
	for i := range b.Checks {
		c := p.cell(b.Checks[i].Key)
		if have := c.version; have != b.Checks[i].Version {
			return r, fmt.Errorf("%w: key %q has version %d, not %d", store.ErrConflict, b.Checks[i].Key, have, b.Checks[i].Version)
		}
	}
	if r.Counters, err = p.count(b); err != nil {
		return store.Result{}, err
	}
	r.Version = version
	for i := range b.Checks {
		p.cell(b.Checks[i].Key).wanted = true
	}
	for i := range b.Counters {
		p.cell(b.Counters[i].Key).write(version, int8Param(r.Counters[i]))
	}
	for _, x := range b.DeleteRanges {
		p.ranges = append(p.ranges, x)
		for key, c := range p.cells {
			if within(key, x) {
				c.remove()
			}
		}
	}
	for _, key := range b.Deletes {
		p.cell(key).remove()
	}
	for i := range b.Puts {
		put := &b.Puts[i]
		key := filled(put.Key, put.KeySlots, r.Counters)
		if len(put.KeySlots) > 0 && p.cells[string(key)] == nil {
			p.unlocked = append(p.unlocked, string(key))
		}
		p.cell(key).write(version, filled(put.Value, put.ValueSlots, r.Counters))
	}
	return r, nil
}

func (c *cell) write(v store.Version, value []byte) {
	c.present, c.written, c.version, c.value = true, true, v, value
	c.number = 0
	if len(value) <= 8 {
		c.number = store.ReadCounter(value)
	}
}

func (c *cell) remove() {
	*c = cell{existed: c.existed, written: true, wanted: true, version: store.Absent}
}

// count evaluates the counters of a batch.
func (p *plan) count(b *store.Batch) ([]int64, error) {
	if len(b.Counters) == 0 {
		return nil, nil
	}
	numbers := make([]int64, len(b.Counters))
	for i := range b.Counters {
		c := &b.Counters[i]
		n := p.cell(c.Key).number
		for k := range i { // a batch may count the same thing twice
			if string(b.Counters[k].Key) == string(c.Key) {
				n = numbers[k]
			}
		}
		var err error
		if numbers[i], err = c.Advance(n); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// row is one to be written.
type row struct {
	key     string
	version store.Version
	value   []byte
}

// writes is what a plan does to the table.
type writes struct {
	inserts  []row
	updates  []row
	removes  []string // all that are absent now: those that existed, and those inserted for their lock
	kept     []string // keys in the ranges that are not deleted with them
	starts   [][]byte
	ends     [][]byte
	affected []string // every key that changed, for those who watch
}

// writes sorts the plan's result by what has to be done.
//
// A key that a batch found absent, and that is absent afterwards, is inserted and removed again: so it is locked like
// every other one that the group's outcome depends on.
func (p *plan) writes() *writes {
	w := &writes{inserts: make([]row, 0, len(p.cells)), affected: make([]string, 0, len(p.cells))}
	for key, c := range p.cells {
		switch {
		case c.present && !c.existed:
			w.inserts = append(w.inserts, row{key, c.version, c.value})
		case c.present && c.written:
			w.updates = append(w.updates, row{key, c.version, c.value})
		case !c.present && c.existed:
			w.removes = append(w.removes, key)
		case !c.present && c.wanted:
			w.inserts = append(w.inserts, row{key: key})
			w.removes = append(w.removes, key)
		}
		if c.written {
			w.affected = append(w.affected, key)
		}
		if c.present && p.ranged(key) {
			w.kept = append(w.kept, key)
		}
	}
	byKey := func(a, b row) int { return strings.Compare(a.key, b.key) }
	slices.SortFunc(w.inserts, byKey)
	slices.SortFunc(w.updates, byKey)
	slices.Sort(w.removes)
	for _, r := range p.ranges {
		w.starts = append(w.starts, octets(r.Start))
		w.ends = append(w.ends, endOf(r.End))
	}
	return w
}

func (p *plan) ranged(key string) bool {
	return slices.ContainsFunc(p.ranges, func(r store.Range) bool { return within(key, r) })
}

// endOf is the end of a range for the server: nil, which has no bound, is what no key reaches.
func endOf(end []byte) []byte {
	if end != nil {
		return end
	}
	end = make([]byte, maxKey+1)
	for i := range end {
		end[i] = 0xff
	}
	return end
}
