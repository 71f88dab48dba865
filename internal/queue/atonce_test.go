package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// TestAtOnce: who is filed with the acceptance, and who is not.
func TestAtOnce(t *testing.T) {
	many := make([]string, maxAtOnce+1)
	for i := range many {
		many[i] = fmt.Sprintf("r%d@a.test", i)
	}
	success := func(r *rig) {
		r.wishes = func(item *spool.Item) { item.Recipients[0].Report.Notify = mail.NotifySuccess | mail.NotifyFailure }
	}
	refuse := func(code int, enhanced string) func(*rig) {
		return func(r *rig) {
			r.local.answer = func(a spool.Attempt, i int) mail.Status {
				if strings.HasPrefix(a.Item.Recipients[i].ForwardPath.Local, "bad") {
					return mail.NewStatus(code, enhanced, "")
				}
				return delivered(a, i)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare    func(*rig)
		recipients []string
		all        bool
	}{
		"one":                         {recipients: []string{"you@a.test"}, all: true},
		"as many as may be":           {recipients: many[1:], all: true},
		"a long way behind it":        {recipients: []string{"you@a.test"}},
		"too many":                    {recipients: many},
		"one elsewhere":               {recipients: []string{"you@a.test", "you@b.test"}},
		"one who does not exist":      {prepare: refuse(550, "5.1.1"), recipients: []string{"you@a.test", "bad@a.test"}},
		"one whose mailbox is full":   {prepare: refuse(452, "4.2.2"), recipients: []string{"bad@a.test"}},
		"the sender wants to be told": {prepare: success, recipients: []string{"you@a.test"}},
		"a panic": {prepare: func(r *rig) {
			r.local.answer = func(spool.Attempt, int) mail.Status { panic("as the test demands") }
		}, recipients: []string{"you@a.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, vfs.NewMem())
			if c.prepare != nil {
				c.prepare(r)
			}
			r.queue = New(r.options)
			defer r.store.Close()
			item := r.accept("me@b.test", c.recipients...)
			if name != "a long way behind it" {
				item.Hops = &message.Hops{}
			}
			var b store.Batch
			events, all := r.queue.AtOnce(t.Context(), &b, item)
			if all != c.all {
				t.Fatalf("all is %v", all)
			}
			if !all {
				if len(events) != 0 {
					t.Errorf("events %v of what did not happen", events)
				}
				return
			}
			var kinds []trail.Kind
			for _, e := range events {
				kinds = append(kinds, e.Kind)
				if e.Message != item.ID || e.Attempt != 1 {
					t.Errorf("%+v", e)
				}
			}
			want := append(slices.Repeat([]trail.Kind{trail.Routed}, len(c.recipients)), trail.Attempted, trail.Done)
			if !slices.Equal(kinds, want) {
				t.Errorf("told %v, want %v", kinds, want)
			}
			if len(b.Puts) != len(c.recipients) {
				t.Errorf("the batch files %d, want %d", len(b.Puts), len(c.recipients))
			}
		})
	}
}
