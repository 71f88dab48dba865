package storecopy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// visited is a store into which somebody else writes right before a commit, the how manieth is said.
type visited struct {
	store.Store
	commits, at int
	visit       store.Batch
}

func (v *visited) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if v.commits++; v.commits == v.at {
		if _, err := v.Store.Commit(ctx, &v.visit); err != nil {
			return store.Result{}, err
		}
	}
	return v.Store.Commit(ctx, b)
}

// TestJoinedAsItBegan: a node, or a command, that began to use the target when it had been looked at, and before it was marked, keeps it as it is.
func TestJoinedAsItBegan(t *testing.T) {
	t.Parallel()
	for name, visit := range map[string]store.Batch{
		"node":    {Puts: []store.Put{{Key: keys.Node(7)}, {Key: keys.Beat(7)}}},
		"command": {Puts: []store.Put{{Key: []byte("a letter")}}},
	} {
		from, to := embedded(t), embedded(t)
		commit(t, from, func(b *store.Batch) { b.Put([]byte{0}, []byte("v")) })
		commit(t, to, func(b *store.Batch) { b.Put(keys.Layout(), []byte{9}) })
		_, err := Copy(t.Context(), Options{From: from, To: &visited{Store: to, at: 1, visit: visit}, Source: "s"})
		if !errors.Is(err, ErrTargetUsed) {
			t.Errorf("%s: %v", name, err)
		}
		if found := content(t, to); len(found) != 1+len(visit.Puts) || found[string(keys.Layout())] != "\x09" {
			t.Errorf("%s: there is %d keys", name, len(found))
		}
	}
}

// TestWrittenMeanwhile: what somebody else wrote into the target is not taken away, be it new or in the place of what was copied.
func TestWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a letter", "large/0/1"} {
		for _, resumed := range []bool{false, true} {
			from, to := embedded(t), embedded(t)
			furnish(t, from)
			commit(t, from, func(b *store.Batch) { b.DeleteRanges = []store.Range{store.Prefix(keys.Beats())} })
			o := Options{From: from, To: to, Source: "s"}
			if resumed {
				if _, err := Copy(t.Context(), Options{From: from, To: &breaking{to, 3}, Source: "s"}); !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
			}
			var once sync.Once
			o.Progress = func(p Progress) {
				if p.Phase == Copying && p.Keys > 2000 { // all that is large was copied
					once.Do(func() { commit(t, to, func(b *store.Batch) { b.Put([]byte(key), []byte("taken")) }) })
				}
			}
			if _, err := Copy(t.Context(), o); !errors.Is(err, ErrTargetUsed) {
				t.Errorf("%s, resumed: %v: %v", key, resumed, err)
			}
			if got := content(t, to)[key]; got != "taken" {
				t.Errorf("%s, resumed: %v: it is %.20q now", key, resumed, got)
			}
		}
	}
}

// TestDeletedMeanwhile: what was deleted from the source after it was copied is deleted from the target, too.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	from, to := embedded(t), embedded(t)
	commit(t, from, func(b *store.Batch) { b.Put([]byte{0}, []byte("v")) })
	o := Options{From: from, To: to, Source: "s", Progress: func(p Progress) {
		if p.Phase == Copying && p.Keys > 0 {
			commit(t, from, func(b *store.Batch) { b.Delete([]byte{0}) })
		}
	}}
	if r, err := Copy(t.Context(), o); err != nil || r.Repaired != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	checkCopy(t, from, to)
}

// TestUsedUnseen: a source that somebody writes to who is no node, when everything was compared, is compared again; and for ever if that
// goes on for ever.
func TestUsedUnseen(t *testing.T) {
	t.Parallel()
	for _, times := range []int{1, passes} {
		from, to := distributed(t), embedded(t)
		commit(t, from, func(b *store.Batch) { b.Put([]byte("k"), []byte("v")) })
		n := 0
		o := Options{From: from, To: to, Source: "s", watch: time.Millisecond, Progress: func(p Progress) {
			if p.Phase == Comparing && n < times {
				n++
				commit(t, from, func(b *store.Batch) { b.Put(fmt.Append(nil, "a letter", n), []byte("v")) })
			}
		}}
		switch _, err := Copy(t.Context(), o); {
		case times == passes:
			if !errors.Is(err, ErrRestless) {
				t.Error(err)
			}
		case err != nil:
			t.Error(err)
		default:
			checkCopy(t, from, to)
		}
	}
}
