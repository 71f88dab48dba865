package trail

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/pebble/pebbletest"
)

// TestNodesAtOneInstant: what two nodes write of a message, and of their sessions, in the same microsecond stays apart.
func TestNodesAtOneInstant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		from := time.Now()
		id := mail.NewIDs(1).New(from)
		var nodes []*Trail
		for range 3 {
			nodes = append(nodes, New(st, Options{}))
		}
		for i, tr := range nodes { // the clock of a bubble stands still while somebody runs
			e := Event{Kind: Filed, At: time.Now(), Message: id, Text: fmt.Sprint("node ", i)}
			appendStep(t, tr, id, e)
			e.Kind, e.Message = Ended, ""
			tr.Record(e)
		}
		for _, tr := range nodes {
			if err := tr.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sessions, err := nodes[0].Sessions(t.Context(), from, from.Add(time.Second), 0)
		if err != nil {
			t.Fatal(err)
		}
		for what, events := range map[string][]Event{"message": eventsOf(t, nodes[0], id), "sessions": sessions} {
			var texts []string
			for _, e := range events {
				texts = append(texts, e.Text)
			}
			slices.Sort(texts)
			if want := []string{"node 0", "node 1", "node 2"}; !slices.Equal(texts, want) {
				t.Errorf("%s: %q, want %q", what, texts, want)
			}
		}
	})
}

// interrupted lets something else happen before the next commit, once.
type interrupted struct {
	store.Store
	once sync.Once
	by   func()
}

func (s *interrupted) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	s.once.Do(s.by)
	return s.Store.Commit(ctx, b)
}

// TestNodesDeleteOnce: where two nodes delete the same events of sessions at the same moment, their octets are subtracted once.
func TestNodesDeleteOnce(t *testing.T) {
	t.Parallel()
	record := func(t *testing.T, st store.Store, bound int64) *Trail {
		tr := New(st, Options{SessionOctets: bound})
		for range 10 {
			tr.Record(Event{Kind: Ended, At: time.Now(), Dialogue: dialogueOf(20)})
			if err := tr.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	for name, drop := range map[string]func(tr *Trail) error{
		"expire": func(tr *Trail) error { return tr.Expire(context.Background(), time.Now().Add(48*time.Hour)) },
		"trim": func(tr *Trail) error {
			_, counted := sessionOctets(t, tr.st)
			tr.o.SessionOctets = counted / 2
			return tr.trim(context.Background(), counted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := pebbletest.Open(t)
			other := record(t, st, 1<<20)
			defer other.Close(t.Context())
			tr := New(&interrupted{Store: st, by: func() {
				if err := drop(other); err != nil {
					t.Error(err)
				}
			}}, Options{})
			defer tr.Close(t.Context())
			before, _ := sessionOctets(t, st)
			if err := drop(tr); err != nil {
				t.Error(err)
			}
			if sum, counted := sessionOctets(t, st); sum != counted || sum >= before {
				t.Errorf("%d octets of %d are left, %d counted", sum, before, counted)
			}
		})
	}
}
