package directory

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/srs"
	"waybill/internal/store"
	"waybill/internal/store/pebble/pebbletest"
)

// interrupted lets something else happen before the next commit, once.
type interrupted struct {
	store.Store
	by func()
}

func (s *interrupted) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if by := s.by; by != nil {
		s.by = nil
		by()
	}
	return s.Store.Commit(ctx, b)
}

// TestUsedAnewWhileForgotten: a reverse-path that another node uses anew while old ones are forgotten stays, and the others go.
func TestUsedAnewWhileForgotten(t *testing.T) {
	t.Parallel()
	st := &interrupted{Store: pebbletest.Open(t)}
	d, other := New(st, configured("a.test"), cheap), New(st.Store, configured("a.test"), cheap)
	now := time.Now()
	later := now.Add(2 * srs.Life)
	var kept [2]mail.Address
	rewrite := func(d *Directory, local string, at time.Time) mail.Address {
		var b store.Batch
		path, err := d.Rewrite(t.Context(), &b, mail.Address{Local: strings.Repeat(local, 64), Domain: "bounces.c.test"}, "a.test", at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for i, local := range []string{"x", "y"} {
		kept[i] = rewrite(d, local, now)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.ForgetForwards(done, later); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end of its context: %v", err)
	}
	st.by = func() { rewrite(other, "x", later) }
	if err := d.ForgetForwards(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Unwrap(t.Context(), kept[0], now); err != nil {
		t.Errorf("the one in use: %v", err)
	}
	if _, err := d.Unwrap(t.Context(), kept[1], now); err == nil {
		t.Error("the other one is there for ever")
	}
}
