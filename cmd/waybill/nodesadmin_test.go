package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestNodesShowAndManageEachOther: whatever node is asked, it shows the waybill and the queue of all, and what an operator does there
// takes effect on the node that has the message.
func TestNodesShowAndManageEachOther(t *testing.T) {
	t.Parallel()
	c := onSharedDatabase(t, 2, settings{retry: "1h"})
	has, other := c.all[0], c.all[1]
	load := c.newSenders()
	c.out.close("wait")
	c.out.close("there")
	load.handInAt(has, 5, "wait", toSink)
	load.handInAt(other, 1, "there", toSink)
	id := func(i int) string { return string(load.idOf(fmt.Sprintf("wait-%d", i))) }
	c.until("first attempts", 20*time.Second, func() bool {
		return strings.Count(other.do(0, "queue", "list"), "450 4.2.1") == 6
	})
	for i := range 5 {
		other.expect(other.do(0, "explain", id(i)), id(i), "come again later")
	}
	other.expect(other.do(0, "queue", "hold", id(0), id(1)), "2 messages held")
	if held := has.do(0, "queue", "list", "--held"); strings.Count(held, "450 4.2.1") != 2 || !strings.Contains(held, id(0)) || !strings.Contains(held, id(1)) {
		t.Errorf("the node that has the messages should see two that are held:\n%s", held)
	}
	c.out.open("wait")
	began := time.Now()
	other.expect(other.do(0, "queue", "release", id(0)), "1 message released")
	other.expect(other.do(0, "queue", "retry", id(2)), "1 message attempted now")
	other.expect(other.do(0, "queue", "drop", id(3)), "1 message dropped")
	other.expect(other.do(0, "queue", "bounce", id(4)), "1 message returned to")
	c.awaitThere("the sink", map[string]bool{"wait-0": true, "wait-2": true}, c.out.count)
	t.Logf("after %s they are there", time.Since(began).Round(10*time.Millisecond))
	c.until("the report on the message that was returned", 20*time.Second, func() bool { return len(c.uidls(other, testUser)) == 1 })
	if left := has.do(0, "queue", "list"); strings.Count(left, "\n") != 1+2*2 || !strings.Contains(left, id(1)) {
		t.Errorf("the queue should have the one that is held, and the other node's:\n%s", left)
	}
	other.expect(other.do(0, "queue", "drop", id(1)), "1 message dropped")
	for i, text := range []string{"released", "dropped", "to be tried now", "dropped", "returned"} {
		has.expect(has.do(0, "explain", id(i)), text)
	}
}
