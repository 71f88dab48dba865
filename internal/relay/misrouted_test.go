package relay

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/config"
	"waybill/internal/dns"
	"waybill/internal/routing"
)

// asked notes the names whose MX records were asked for.
type asked struct {
	Resolver
	names []string
}

func (a *asked) MX(ctx context.Context, domain string) ([]dns.MX, []dns.Answer, error) {
	a.names = append(a.names, domain)
	return a.Resolver.MX(ctx, domain)
}

// A route that a reload took away is no name to ask the DNS for: the mail waits.
func TestRouteThatHasGone(t *testing.T) {
	t.Parallel()
	h := &hosts{t: t}
	r := h.relay("p.test. 60 IN A 192.0.2.1\nsmtp.p.test. 60 IN A 192.0.2.1\n")
	resolver := &asked{Resolver: r.Resolver}
	r.Resolver = resolver
	for _, nextHop := range []string{"smtp.p.test:587", "192.0.2.1:587", "[2001:db8::1]:587", "[2001:db8::1]:25, [2001:db8::2]:25", "a.test:25, b.test:25"} {
		a := letter(nextHop)
		outcomes, _ := r.Deliver(t.Context(), a, nil)
		if s := outcomes[0].Status; s.Code != 451 || !strings.Contains(s.Text, nextHop) {
			t.Errorf("%s: %s", nextHop, s)
		}
		if plan := r.Plan(t.Context(), nextHop); plan.Status != outcomes[0].Status {
			t.Errorf("%s: plan %+v", nextHop, plan)
		}
	}
	if len(resolver.names) > 0 || len(h.dials) > 0 {
		t.Errorf("MX records of %q were asked for, %q were dialled", resolver.names, h.dials)
	}
}

// The operator hears of a mistake in a route at once, again after a while, and not for each message.
func TestMistakeInRouteIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, err := routing.New([]config.Route{{Domains: []string{"*"}, Via: []config.Hop{{Host: "smtpp.p.test", Port: 587}}}})
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		r := (&hosts{t: t}).relay("p.test. 60 IN TXT nothing\n")
		r.Routes, r.Logger = table, slog.New(slog.NewTextHandler(&log, nil))
		nextHop, _ := table.NextHop("b.test")
		said := func(n int) {
			t.Helper()
			for range 5 {
				if outcomes, _ := r.Deliver(t.Context(), letter(nextHop), nil); outcomes[0].Status.Code != 451 {
					t.Errorf("%s", outcomes[0].Status)
				}
			}
			if strings.Count(log.String(), "level=ERROR") != n || strings.Count(log.String(), "smtpp.p.test, a host of") != n {
				t.Errorf("want %d lines:\n%s", n, log.String())
			}
		}
		said(1)
		time.Sleep(complainAgain + time.Second)
		said(2)
	})
}
