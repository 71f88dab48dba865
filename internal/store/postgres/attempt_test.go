package postgres

import (
	"fmt"
	"testing"
	"time"

	"waybill/internal/store"
)

// TestStatementsAreConstant: however many batches a group has, it takes the same statements.
func TestStatementsAreConstant(t *testing.T) {
	t.Parallel()
	count := func(batches int) int {
		g := &group{}
		l := locked{keys: map[string]stored{}, known: map[store.BatchID]store.Result{}, versions: versionsOfGroup}
		for i := range batches {
			b := &store.Batch{ID: store.NewBatchID(time.Now())}
			b.Create(fmt.Appendf(nil, "new/%d", i), make([]byte, 100))
			b.Put(fmt.Appendf(nil, "old/%d", i), nil)
			b.Delete(fmt.Appendf(nil, "gone/%d", i))
			b.Count([]byte("count"), 1, 0)
			b.DeleteRanges = []store.Range{store.Prefix(fmt.Appendf(nil, "range/%d/", i))}
			for _, key := range []string{"old", "gone"} {
				l.keys[fmt.Sprintf("%s/%d", key, i)] = stored{version: 1}
			}
			g.jobs = append(g.jobs, newJob(b))
		}
		a := &attempt{w: &writer{}, g: g, locked: l}
		a.plan = evaluate(g, &a.locked)
		for _, o := range a.plan.outcomes {
			if o.err != nil {
				t.Fatal(o.err)
			}
		}
		a.writes = a.plan.writes()
		return len(a.requests())
	}
	one := count(1)
	for _, batches := range []int{2, groupBatches} {
		if n := count(batches); n != one {
			t.Errorf("%d statements for %d batches, %d for one", n, batches, one)
		}
	}
	if one != 8 { // insert, two for ranges, update, delete, ids, change, newest
		t.Errorf("%d statements", one)
	}
}
