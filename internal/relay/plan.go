package relay

import (
	"context"
	"fmt"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// Plan is the way that mail for a next hop would take now.
type Plan struct {
	Hosts  []string      // "mail.example.test [192.0.2.1]", in the order in which they would be tried
	TLS    string        // what is said about TLS and a login
	Status mail.Status   // why there is no way; zero if there is
	Events []trail.Event // the questions to the DNS and their answers
}

// Plan finds the way for a next hop as Deliver would, and connects to nobody.
func (r *Relay) Plan(ctx context.Context, nextHop string) Plan {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	d := &delivery{
		relay: r, limit: planTime, final: make([]verdict, 1), last: make([]verdict, 1),
		attempt: spool.Attempt{Item: &spool.Item{Recipients: make([]spool.Recipient, 1)}, NextHop: nextHop, Recipients: []int{0}},
	}
	p := Plan{TLS: tlsWords(target{place: place{route: r.Routes.Of(nextHop)}})}
	w, ok := d.walkTo(ctx)
	for ok {
		var t target
		if t, ok = w.next(ctx); ok {
			p.Hosts = append(p.Hosts, t.planned())
		}
	}
	p.Events = d.events
	if len(p.Hosts) == 0 {
		p.Status = d.outcomes()[0].Status
	}
	return p
}

func (t target) planned() string {
	if t.late {
		return t.String() + ", which did not answer a while ago and comes last"
	}
	return t.String()
}

func tlsWords(t target) string {
	login := ""
	if t.route != nil && t.route.User != "" {
		login = fmt.Sprintf(", then a login as %s", t.route.User)
	}
	switch t.tls() {
	case config.RouteTLSRequired:
		return "STARTTLS with a certificate that is valid for the host's name" + login
	case config.RouteTLSImplicit:
		return "TLS from the first byte with a certificate that is valid for the host's name" + login
	}
	return "STARTTLS if it is offered, whatever the certificate says"
}

// planTime bounds the questions for a Plan.
const planTime = attemptTime / 60
