package guard

import "container/list"

// table is a map of so many keys at most: the one that was touched least lately makes room for another.
type table[K comparable, V any] struct {
	max     int
	entries map[K]*list.Element
	order   list.List // of *entry[K, V], touched last in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newTable[K comparable, V any](max int) *table[K, V] {
	return &table[K, V]{max: max, entries: map[K]*list.Element{}}
}

// get returns the value of a key, or nil.
func (t *table[K, V]) get(key K) *V {
	e := t.entries[key]
	if e == nil {
		return nil
	}
	return &e.Value.(*entry[K, V]).value
}

// touch returns the value of a key, a new one if there is none.
func (t *table[K, V]) touch(key K) *V {
	if e := t.entries[key]; e != nil {
		t.order.MoveToFront(e)
		return &e.Value.(*entry[K, V]).value
	}
	if len(t.entries) >= t.max {
		oldest := t.order.Remove(t.order.Back()).(*entry[K, V])
		delete(t.entries, oldest.key)
	}
	e := &entry[K, V]{key: key}
	t.entries[key] = t.order.PushFront(e)
	return &e.value
}
