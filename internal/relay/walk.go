package relay

import "context"

// walk goes through the targets of a route: group after group, looked up only when it is their turn, and then those that
// did not answer a while ago. Deliver and Plan both go this way.
type walk struct {
	*delivery
	route  *route
	groups [][]host // not looked up yet
	ready  []target
	later  []target // did not answer a while ago
	found  bool     // a target, in any group
	tries  int
}

// walkTo begins the walk to the next hop of the attempt. If no way leads there, the recipients have got their outcomes.
func (d *delivery) walkTo(ctx context.Context) (*walk, bool) {
	route, ok := d.findRoute(ctx)
	if !ok {
		return nil, false
	}
	return &walk{delivery: d, route: route, groups: route.groups}, true
}

// next returns the next target, if there is one and it may be tried.
func (w *walk) next(ctx context.Context) (t target, ok bool) {
	w.fill(ctx)
	from := &w.ready
	if len(w.ready) == 0 {
		from = &w.later
	}
	if len(*from) == 0 || w.tries == maxTries {
		return target{}, false
	}
	t, *from = (*from)[0], (*from)[1:]
	w.tries++
	return t, true
}

// left says whether next has a further target. It may have to ask the DNS for that.
func (w *walk) left(ctx context.Context) bool {
	if len(w.later) == 0 {
		w.fill(ctx)
	}
	return w.tries < maxTries && len(w.ready)+len(w.later) > 0
}

// fill looks up groups until one has a target that is to be tried now.
func (w *walk) fill(ctx context.Context) {
	for len(w.ready) == 0 && len(w.groups) > 0 && ctx.Err() == nil {
		w.lookUp(ctx)
	}
}

// lookUp finds the targets of the next group. If this server is one of them, this group and those after it are out (RFC
// 5321 §5.1).
func (w *walk) lookUp(ctx context.Context) {
	targets, self := w.targets(ctx, w.route, w.groups[0])
	w.groups = w.groups[1:]
	if self {
		targets, w.groups = nil, nil
	}
	if self && w.route.configured {
		w.because(w.misrouted("a host of the route to %s is this server", w.route.nextHop))
	}
	for _, t := range targets {
		w.found = true
		if t.late = w.relay.memory.hasFailed(t.addr); t.late {
			w.later = append(w.later, t)
			continue
		}
		w.ready = append(w.ready, t)
	}
	switch {
	case w.found || w.why.Code != 0: // better hosts exist, or may exist: what comes of them decides
	case self:
		w.refuse(ours(loopsBack.WithText("mail for %s would come back to this server, which does not take its mail", w.route.nextHop)))
	case len(w.groups) == 0:
		w.refuse(ours(noAddress.WithText("no host that takes mail for %s has an address", w.route.nextHop)))
	}
}
