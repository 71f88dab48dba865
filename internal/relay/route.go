package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waybill/internal/config"
	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/routing"
	"waybill/internal/trail"
)

// route is where mail for a next hop goes: groups of hosts of one preference each, the most preferred first.
type route struct {
	nextHop  string
	groups   [][]host
	implicit bool           // no MX: the domain itself is the host (RFC 5321 §5.1)
	static   *routing.Route // what the configuration says of it; nil: nothing

	configured bool // the hosts are those of static
}

// host is a mail exchanger, the target of an address literal, or a host that the configuration names.
type host struct {
	name       string
	preference uint16
	addr       netip.Addr // valid where no name is to be looked up
	port       uint16
}

// target is one address to try.
type target struct {
	place
	late bool // did not answer a while ago
}

// findRoute finds the hosts for the next hop. If there are none, the recipients have got their outcomes.
func (d *delivery) findRoute(ctx context.Context) (*route, bool) {
	r := &route{nextHop: d.attempt.NextHop, static: d.relay.Routes.Of(d.attempt.NextHop)}
	if r.static != nil && len(r.static.Via) > 0 {
		r.groups, r.configured = hostsOf(r.static.Via), true
		return r, true
	}
	if namesRoute(r.nextHop) { // never a question to the DNS
		d.because(d.misrouted("the configuration has no route to %s any more", r.nextHop))
		return nil, false
	}
	if strings.HasPrefix(r.nextHop, "[") {
		addr, err := mail.ParseLiteral(r.nextHop)
		if err != nil {
			d.refuse(ours(noSuchDomain.WithText("%s", err)))
			return nil, false
		}
		r.groups = [][]host{{{name: r.nextHop, addr: addr, port: smtpPort}}}
		return r, true
	}
	began := time.Now()
	records, answers, err := d.relay.Resolver.MX(ctx, r.nextHop)
	ev := d.event(trail.MXChosen, began)
	ev.Took, ev.DNS = time.Since(began), trail.Evidence(answers)
	status := d.choose(r, records, answers, err)
	ev.Text = r.describe(status)
	if status.Code != 0 {
		ev.Status = &status
	}
	d.events = append(d.events, ev)
	switch {
	case status.Permanent():
		d.refuse(ours(status))
	case status.Temporary():
		d.because(ours(status))
	}
	return r, status.Code == 0
}

// hostsOf returns the hosts of a route, each a group of its own: they are tried in their order.
func hostsOf(via []config.Hop) (groups [][]host) {
	for _, hop := range via {
		h := host{name: hop.Host, addr: hop.Addr, port: hop.Port}
		if hop.Addr.IsValid() {
			h.name = mail.Literal(hop.Addr)
		}
		groups = append(groups, []host{h})
	}
	return groups
}

// choose makes the route out of the answer to the MX question, or says why there is none.
func (d *delivery) choose(r *route, records []dns.MX, answers []dns.Answer, err error) mail.Status {
	switch {
	case errors.Is(err, dns.ErrNotFound) && nameMissing(answers):
		return noSuchDomain.WithText("the domain %s does not exist", r.nextHop)
	case errors.Is(err, dns.ErrNotFound), err == nil && len(records) == 0:
		r.implicit = true
		records = []dns.MX{{Host: r.nextHop}}
	case err != nil:
		return dnsFailed.WithText("the MX hosts of %s could not be looked up: %s", r.nextHop, err)
	case isNullMX(records):
		return nullMX.WithText("the domain %s takes no mail (null MX)", r.nextHop)
	}
	usable := d.relay.beforeSelf(records)
	if len(usable) == 0 {
		return loopsBack.WithText("the best MX host of %s is this server, which does not take its mail", r.nextHop)
	}
	r.groups = d.relay.order(usable)
	return mail.Status{}
}

func nameMissing(answers []dns.Answer) bool {
	if len(answers) == 0 {
		return false
	}
	code := answers[len(answers)-1].Code
	return code == dns.CodeNXDomain || code == dns.CodeBadName
}

// isNullMX: one record with an empty host (RFC 7505 §3).
func isNullMX(records []dns.MX) bool {
	return len(records) == 1 && strings.Trim(records[0].Host, ".") == ""
}

// beforeSelf drops the records that name this server, and those that are no better: mail handed to them would
// come back (RFC 5321 §5.1).
func (r *Relay) beforeSelf(records []dns.MX) []dns.MX {
	limit := 1 << 16
	for _, mx := range records {
		if strings.EqualFold(strings.TrimSuffix(mx.Host, "."), r.Hostname) {
			limit = min(limit, int(mx.Preference))
		}
	}
	var kept []dns.MX
	for _, mx := range records {
		if int(mx.Preference) < limit {
			kept = append(kept, mx)
		}
	}
	return kept
}

// order groups records by preference, the lowest number first, in random order within a group, and keeps the
// first maxHosts.
func (r *Relay) order(records []dns.MX) [][]host {
	records = slices.Clone(records)
	r.shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	slices.SortStableFunc(records, func(a, b dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	var groups [][]host
	for i, mx := range records[:min(len(records), maxHosts)] {
		if i == 0 || mx.Preference != records[i-1].Preference {
			groups = append(groups, nil)
		}
		h := host{name: strings.ToLower(strings.TrimSuffix(mx.Host, ".")), preference: mx.Preference, port: smtpPort}
		groups[len(groups)-1] = append(groups[len(groups)-1], h)
	}
	return groups
}

// describe tells the order in one sentence.
func (r *route) describe(status mail.Status) string {
	if status.Code != 0 {
		return status.Text
	}
	if r.implicit {
		return r.nextHop + " has no MX record, so it is its own mail server"
	}
	var names []string
	for _, group := range r.groups {
		for _, h := range group {
			names = append(names, fmt.Sprintf("%s (preference %d)", h.name, h.preference))
		}
	}
	verb := "handles"
	if len(names) > 1 {
		verb = "handle"
	}
	return fmt.Sprintf("%s %s mail for %s", strings.Join(names, ", then "), verb, r.nextHop)
}

// targets looks up the addresses of a group's hosts. self says that one of them is this server.
func (d *delivery) targets(ctx context.Context, r *route, group []host) (targets []target, self bool) {
	for _, h := range group {
		addrs := []netip.Addr{h.addr}
		if !h.addr.IsValid() {
			addrs = d.addrs(ctx, r, h.name)
		}
		for _, addr := range addrs {
			to := netip.AddrPortFrom(addr, h.port)
			if d.relay.IsSelf(to) {
				return nil, true
			}
			targets = append(targets, target{place: place{host: h.name, addr: to, route: r.static}})
		}
	}
	return targets, false
}

// addrs looks up one host; what goes wrong is noted for the recipients that stay open.
func (d *delivery) addrs(ctx context.Context, r *route, name string) []netip.Addr {
	began := time.Now()
	addrs, answers, err := d.relay.Resolver.Addrs(ctx, name)
	ev := d.event(trail.Lookup, began)
	ev.Took, ev.DNS = time.Since(began), trail.Evidence(answers)
	switch {
	case err == nil && len(addrs) > 0:
		ev.Text = fmt.Sprintf("the address of %s", name)
	case (err == nil || errors.Is(err, dns.ErrNotFound)) && r.configured:
		v := d.misrouted("%s, a host of the route to %s, has no address", name, r.nextHop)
		ev.Text, ev.Status = v.Text, &v.Status
		d.because(v)
	case err == nil, errors.Is(err, dns.ErrNotFound):
		ev.Text = name + " has no address"
	default:
		status := dnsFailed.WithText("the address of %s could not be looked up: %s", name, err)
		ev.Text, ev.Status = status.Text, &status
		d.because(ours(status))
	}
	d.events = append(d.events, ev)
	return addrs
}
