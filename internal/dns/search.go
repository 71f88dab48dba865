package dns

import (
	"context"
	"errors"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxExchanges is how many servers are asked, in all, for one question of a client.
	maxExchanges = 40
	// maxSteps bounds the evidence of one question.
	maxSteps = 100
	// maxDepth is how deep the search for a server's address may lead to the search for another's.
	maxDepth = 4
)

var (
	errBudget = errors.New("more servers would have to be asked than one question may cost")
	errDepth  = errors.New("the addresses of name servers depend on one another")
)

// search is the work on one client's question. One goroutine owns it, until it is done and read by many.
type search struct {
	r      *Recursor
	budget int      // exchanges left
	steps  []Answer // the evidence
	result outcome
}

// resolve finds the answer to q, following aliases. depth counts the searches that wait for this one.
func (s *search) resolve(ctx context.Context, q question, depth int) outcome {
	var aliases []dns.RR
	seen := map[string]bool{}
	for {
		seen[q.name] = true
		part := s.find(ctx, q, depth)
		if part.code != codeAlias {
			part.rrs = append(aliases, part.rrs...)
			if part.err != nil {
				part.rrs = aliases
			}
			return part
		}
		aliases = append(aliases, part.rrs...)
		q.name = canonical(part.rrs[len(part.rrs)-1].(*dns.CNAME).Target)
		switch {
		case len(aliases) > maxAliases:
			return outcome{entry{code: CodeLoop, rrs: aliases}, errAliases}
		case seen[q.name]:
			return outcome{entry{code: CodeLoop, rrs: aliases}, errLoop}
		}
	}
}

// find answers q for its own name: from the cache, or by asking. An alias has codeAlias.
func (s *search) find(ctx context.Context, q question, depth int) outcome {
	at := time.Now()
	for _, key := range []question{q, {q.name, dns.TypeCNAME}} {
		e, ok := s.r.answers.get(key, at)
		if !ok || key != q && e.code != CodeNoError {
			continue
		}
		s.note(q, Answer{
			Code: e.code, Records: records(e.rrs), TTL: e.ttl, Server: e.server, Cached: true, At: at, Took: time.Since(at),
		})
		if e.code != CodeNoError && !definite(e.code) {
			return outcome{e, &failure{e.code, errors.New("failed a moment ago")}}
		}
		if key != q {
			e.code = codeAlias
		}
		return outcome{e, nil}
	}
	o := s.descend(ctx, q, depth)
	if o.err != nil && ctx.Err() == nil && !errors.Is(o.err, errBudget) && !errors.Is(o.err, errDepth) {
		// Those two are about the way that led here, not about q.
		s.r.answers.put(q, entry{code: o.code, server: o.server, ttl: failureTTL, stored: time.Now()})
	}
	return o
}

// descend follows referrals from the closest known zone above q's name down to its own.
func (s *search) descend(ctx context.Context, q question, depth int) outcome {
	d := s.closest(q)
	for {
		rep, err := s.askZone(ctx, d, q, depth)
		switch {
		case err != nil:
			// Its parent may know better by now.
			s.r.delegations.drop(question{d.zone, dns.TypeNS})
			return outcome{entry{code: codeOfError(err), server: rep.server}, err}
		case rep.code == CodeReferral:
			d = rep.next // strictly below the last one: at most as many as the name has labels
			s.r.delegations.put(question{d.zone, dns.TypeNS}, newEntry(CodeNoError, d.rrs, nil, rep.server, time.Now()))
			continue
		}
		return outcome{s.keep(q, rep), nil}
	}
}

// keep caches what a server said: aliases and records by their own names, and the absence of q by its.
func (s *search) keep(q question, rep verdict) entry {
	now := time.Now()
	for _, alias := range rep.found.aliases {
		key := question{canonical(alias.Header().Name), dns.TypeCNAME}
		s.r.answers.put(key, newEntry(CodeNoError, []dns.RR{alias}, nil, rep.server, now))
	}
	switch rep.code {
	case codeAlias:
		return newEntry(codeAlias, rep.found.aliases, nil, rep.server, now)
	case CodeNoError:
		end := question{rep.found.last, q.qtype}
		s.r.answers.put(end, newEntry(CodeNoError, rep.found.rrset, nil, rep.server, now))
		return newEntry(CodeNoError, rep.found.all(), nil, rep.server, now)
	}
	e := newEntry(rep.code, nil, rep.soa, rep.server, now)
	s.r.answers.put(q, e)
	return e
}

// askZone asks the servers of a zone, those whose addresses are known first, until one gives a usable reply.
func (s *search) askZone(ctx context.Context, d delegation, q question, depth int) (verdict, error) {
	err := error(&failure{CodeLame, errors.New("no server of the zone has an address")})
	var rep verdict
	for range 2 { // UDP messages get lost: those that did not answer are asked once more
		var silent []string
		for _, server := range s.r.health.sorted(d.servers, time.Now()) {
			rep, err = s.askServer(ctx, d.zone, server, q)
			if err == nil || s.spent(ctx, err) {
				return rep, err
			}
			if codeOfError(err) == CodeTimeout {
				silent = append(silent, server)
			}
		}
		if d.servers = silent; len(silent) == 0 {
			break
		}
	}
	for _, host := range d.hosts {
		servers, failed := s.locate(ctx, host, depth)
		if failed != nil {
			err = failed
		}
		for _, server := range s.r.health.sorted(servers, time.Now()) {
			if rep, err = s.askServer(ctx, d.zone, server, q); err == nil || s.spent(ctx, err) {
				return rep, err
			}
		}
		if s.spent(ctx, err) {
			return rep, err
		}
	}
	return rep, err
}

// spent says whether there is no point in asking anybody else.
func (s *search) spent(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errBudget)
}

// askServer asks one server of a zone, and notes what came of it.
func (s *search) askServer(ctx context.Context, zone, server string, q question) (verdict, error) {
	if s.budget == 0 {
		return verdict{server: server}, &failure{CodeLimit, errBudget}
	}
	s.budget--
	at := time.Now()
	m, err := s.r.exchange.ask(ctx, server, q, false)
	var v verdict
	if err == nil {
		s.r.health.answered(server)
		v, err = judge(m, q, zone)
	}
	v.server = server
	step := Answer{Server: server, At: at, Took: time.Since(at)}
	if err != nil {
		step.Code = codeOfError(err)
		if step.Code == CodeTimeout && ctx.Err() == nil || step.Code == CodeUnreachable {
			s.r.health.failed(server, time.Now())
		}
	} else {
		v.describe(&step)
	}
	s.note(q, step)
	return v, err
}

// note adds a step to the evidence.
func (s *search) note(q question, step Answer) {
	if len(s.steps) < maxSteps {
		step.Name, step.Type = shortName(q.name), typeName(q.qtype)
		s.steps = append(s.steps, step)
	}
}
