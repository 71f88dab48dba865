package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/config"
	"waybill/internal/store"
)

// slowEngine takes its time for commits.
type slowEngine struct {
	engine
	takes time.Duration
	free  uint64
	sick  error
}

func (e *slowEngine) Commit(context.Context, *store.Batch) (store.Result, error) {
	time.Sleep(e.takes)
	return store.Result{}, nil
}
func (e *slowEngine) Healthy() error            { return e.sick }
func (e *slowEngine) DiskFree() (uint64, error) { return e.free, nil }

// TestOverload: while commits take too long no mail is to be taken; the store itself stays healthy for the queue.
func TestOverload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := &slowEngine{takes: 100 * time.Millisecond}
		w := watch(engine, time.Second)
		commit := func() { w.Commit(t.Context(), &store.Batch{}) }
		expect := func(when string, want error) {
			t.Helper()
			if got := (taking{w}).Healthy(); !errors.Is(got, want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
			if w.Healthy() != nil {
				t.Errorf("%s: the queue is told to wait", when)
			}
		}
		expect("at first", nil)
		commit()
		time.Sleep(time.Hour)
		engine.takes = 3 * time.Second
		go commit()
		synctest.Wait()
		expect("while it is not known yet", nil)
		time.Sleep(1500 * time.Millisecond)
		expect("while a commit does not come back", errSlow)
		time.Sleep(2 * time.Second)
		expect("after it came back late", errSlow)
		time.Sleep(slowFor)
		expect("some time later", nil)
		engine.takes = 100 * time.Millisecond
		commit()
		expect("after a fast one", nil)
	})
}

func TestHealth(t *testing.T) {
	t.Parallel()
	engine := &slowEngine{free: 100}
	n := &Node{core: &core{config: config.Config{Limits: config.Limits{MinFree: 50}}, engine: engine}, commits: watch(engine, time.Second)}
	expect := func(want string) {
		t.Helper()
		got := "<nil>"
		if err := n.health(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	expect("<nil>")
	engine.free = 49
	expect("49 octets are free on the disk of data, fewer than limits.min_free, 50")
	engine.sick = errors.New("write /var/lib/waybill/store: no space")
	expect("the store is unavailable; the log says why")
	n.draining.Store(true)
	expect("shutting down")
}
