package bodies_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"waybill/internal/store/objects"
)

// memory is an object store for tests in which time is a bubble's (synctest), where no server can be asked. It knows no If-None-Match.
type memory struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (m *memory) Put(_ context.Context, key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string][]byte{}
	}
	m.all[key] = bytes.Clone(data)
	return nil
}

func (m *memory) Create(ctx context.Context, key string, data []byte) (sure bool, err error) {
	return false, m.Put(ctx, key, data)
}

// CallTime makes 75 s of what is waited for, as it is with a bucket.
func (*memory) CallTime() time.Duration { return 30 * time.Second }

func (m *memory) Get(ctx context.Context, key string, into []byte) error {
	return m.GetEnd(ctx, key, int64(len(into)), into)
}

func (m *memory) GetEnd(_ context.Context, key string, size int64, into []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.all[key]
	switch {
	case !ok:
		return objects.ErrNotFound
	case int64(len(data)) != size:
		return objects.ErrCorrupt
	}
	copy(into, data[len(data)-len(into):])
	return nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
	return nil
}

func (m *memory) List(_ context.Context, prefix, after string) (found []objects.Object, more bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(m.all)) {
		if strings.HasPrefix(key, prefix) && key > after {
			found = append(found, objects.Object{Key: key, Size: int64(len(m.all[key]))})
		}
	}
	return found, false, nil
}
