package lease

import (
	"math/rand"
	"testing"
	"time"

	"waybill/internal/store"
)

func testChaos(t *testing.T, seed int64) {
	bubble(t, func(t *testing.T, st store.Store) {
		rnd := rand.New(rand.NewSource(seed))
		var nodes []node
		frozen := map[int]bool{}
		for range 4 {
			nodes = append(nodes, join(t, st, "node"))
		}
		changes := 0
		for range 400 {
			time.Sleep(time.Duration(rnd.Intn(8000)) * time.Millisecond)
			i := rnd.Intn(len(nodes))
			switch rnd.Intn(6) {
			case 0:
				if !frozen[i] {
					nodes[i].freeze()
					frozen[i] = true
				}
			case 1, 2:
				if frozen[i] {
					nodes[i].wake()
					delete(frozen, i)
				}
			case 3:
				nodes[i].Cut.Store(true)
			case 4:
				nodes[i].Cut.Store(false)
			case 5:
				if _, err := nodes[i].mail(t); err == nil {
					changes++
				}
			}
			checkAlone(t, nodes)
		}
		if changes == 0 {
			t.Error("nobody ever took mail in")
		}
		for i, n := range nodes {
			n.Cut.Store(false)
			if frozen[i] {
				n.wake()
			}
		}
		time.Sleep(time.Minute)
		found, err := Slices(st)
		if err != nil {
			t.Fatal(err)
		}
		for _, slice := range found {
			if n := holders(slice, nodes...); n != 1 {
				t.Errorf("slice %d has %d nodes in the end", slice, n)
			}
		}
		for _, n := range nodes {
			n.leave(t)
		}
	})
}

// checkAlone: of those who hold a slice one has time left at most, and one can record something.
func checkAlone(t *testing.T, nodes []node) {
	t.Helper()
	for slice := range uint16(1024) {
		alive, able := 0, 0
		for _, n := range nodes {
			if !n.Holds(slice) {
				continue
			}
			if n.Alive() {
				alive++
			}
			if n.act(slice) == nil {
				able++
			}
		}
		if alive > 1 || able > 1 {
			t.Fatalf("slice %d: %d nodes have time left, %d can record outcomes", slice, alive, able)
		}
	}
}
