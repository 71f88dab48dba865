package storecopy

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// doubtful is a store that does not tell what became of the end of a copy, which it has made or not; then it is away until it has been asked
// some times.
type doubtful struct {
	store.Store
	applies bool
	away    int
	asked   bool
}

func (d *doubtful) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if len(b.Deletes) == 0 || string(b.Deletes[0]) != string(keys.Copying()) {
		return d.Store.Commit(ctx, b)
	}
	if !d.asked {
		d.asked = true
		if d.applies {
			if _, err := d.Store.Commit(ctx, b); err != nil {
				return store.Result{}, err
			}
		}
		return store.Result{}, fmt.Errorf("%w: the reply was lost", store.ErrUnknown)
	}
	if d.away--; d.away >= 0 {
		return store.Result{}, store.ErrUnavailable
	}
	return d.Store.Commit(ctx, b)
}

// TestEndInDoubt: a copy whose end was not answered finds out what became of it; if it cannot, it says so, and is whole or goes on.
func TestEndInDoubt(t *testing.T) {
	t.Parallel()
	for _, applies := range []bool{false, true} {
		for _, away := range []int{1, 1000} {
			from, to := embedded(t), embedded(t)
			commit(t, from, func(b *store.Batch) { b.Put([]byte("k"), []byte("v")) })
			o := Options{From: from, To: &doubtful{Store: to, applies: applies, away: away}, Source: "s", patience: time.Minute}
			if away > 1 {
				o.patience = 1200 * time.Millisecond
			}
			_, err := Copy(t.Context(), o)
			if away == 1 && err != nil || away > 1 && !errors.Is(err, store.ErrUnknown) {
				t.Errorf("applied: %v, away: %d: %v", applies, away, err)
			}
			if away > 1 {
				o.To = to
				if _, err := Copy(t.Context(), o); applies != errors.Is(err, ErrNotEmpty) || !applies && err != nil {
					t.Errorf("applied: %v; once more: %v", applies, err)
				}
			}
			checkCopy(t, from, to)
		}
	}
}

// TestMarkIsTold: whoever gives the command hears that the target is marked, though nothing is copied.
func TestMarkIsTold(t *testing.T) {
	t.Parallel()
	from, to := embedded(t), embedded(t)
	commit(t, from, func(b *store.Batch) { b.Put([]byte("k"), []byte("v")) })
	for commits, want := range []bool{false, true} {
		told := false
		o := Options{From: from, To: &breaking{to, commits}, Source: "s", Progress: func(Progress) { told = true }}
		_, err := Copy(t.Context(), o)
		source, unreadable := Unfinished(to)
		if !errors.Is(err, errBroken) || unreadable != nil || told != want || (source != "") != want {
			t.Errorf("after %d commits: told: %v, the mark is of %q: %v, %v", commits, told, source, err, unreadable)
		}
	}
}
