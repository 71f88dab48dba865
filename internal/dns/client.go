package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// ClientOptions are what a Client needs to know. Zero values mean the defaults.
type ClientOptions struct {
	Servers   []netip.AddrPort // recursive servers, asked in this order; see SystemServers
	Dial      Dial             // default: the system's
	CacheSize int              // entries; default 10,000
	Timeout   time.Duration    // for one server's answer; default 4 s
	Attempts  int              // how often the list of servers is gone through; default 2
	Logger    *slog.Logger     // debug messages; default: none
}

// Client is a stub resolver (RFC 1034 §5.3.1): it has recursive servers do the work, and caches their answers, that
// there is none too, for as long as their TTLs allow. It is safe for concurrent use; callers with the same question
// share the answer.
type Client struct {
	servers  []string
	attempts int
	exchange exchanger
	cache    *cache
	flights  flights[outcome]
	health   health
	logger   *slog.Logger
}

const (
	defaultCacheSize     = 10_000
	defaultClientTimeout = 4 * time.Second
	defaultAttempts      = 2
)

// NewClient returns a Client; it asks nobody yet.
func NewClient(o ClientOptions) *Client {
	c := &Client{
		attempts: positive(o.Attempts, defaultAttempts),
		exchange: newExchanger(o.Dial, positive(o.Timeout, defaultClientTimeout)),
		cache:    newCache(positive(o.CacheSize, defaultCacheSize)),
		logger:   o.Logger,
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	for _, server := range o.Servers {
		c.servers = append(c.servers, server.String())
	}
	return c
}

// positive returns n, or fallback if n is not positive.
func positive[N int | time.Duration](n, fallback N) N {
	if n > 0 {
		return n
	}
	return fallback
}

// serverPort is where servers listen (RFC 1035 §4.2).
const serverPort = 53

// outcome is what a question came to: an entry, its code NOERROR or definite, or an error.
type outcome struct {
	entry
	err error
}

// Lookup asks for the records of a type ("MX") of a name (A-labels; the final dot may be left out), following
// aliases. The Answer is valid evidence whatever the error is: ErrNotFound for "there is none", otherwise temporary.
func (c *Client) Lookup(ctx context.Context, name, typ string) (Answer, error) {
	answer, _, err := c.lookup(ctx, name, typ)
	return answer, err
}

// lookup is Lookup that also returns the records, without the aliases before them.
func (c *Client) lookup(ctx context.Context, name, typ string) (Answer, []dns.RR, error) {
	at := time.Now()
	q, err := newQuestion(name, typ)
	if err != nil {
		code := CodeBadName
		if errors.Is(err, errBadType) {
			code = CodeServFail // a programmer's mistake is no fact about the name
		}
		q.name = dns.Fqdn(name)
		return Answer{Name: name, Type: typ, Code: code, At: at}, nil, &lookupError{q, code, err}
	}
	result, ok := outcome{}, false
	if result.entry, ok = c.cache.get(q, at); !ok {
		result, err = c.flights.do(ctx, q, c.limit(), func(ctx context.Context) outcome { return c.resolve(ctx, q) })
		if err != nil {
			result = outcome{entry{code: CodeTimeout}, err}
		}
	}
	answer := Answer{
		Name: shortName(q.name), Type: typeName(q.qtype), Code: result.code, Records: records(result.rrs),
		TTL: result.ttl, Server: result.server, Cached: ok, Took: time.Since(at), At: at,
	}
	if answer.Code != CodeNoError {
		err := &lookupError{q, answer.Code, result.err}
		c.logger.Debug("lookup", "name", answer.Name, "type", answer.Type, "error", err)
		return answer, nil, err
	}
	return answer, final(result.rrs, q.qtype), nil
}

// final returns the records of qtype: those after the aliases.
func final(rrs []dns.RR, qtype uint16) []dns.RR {
	for i, rr := range rrs {
		if rr.Header().Rrtype == qtype {
			return rrs[i:]
		}
	}
	return nil
}

// limit is how long a question that nobody waits for alone may take.
func (c *Client) limit() time.Duration {
	tries := c.attempts * max(1, len(c.servers))
	return time.Duration(tries) * 2 * c.exchange.timeout // UDP, then TCP
}

// resolve asks for q, and on for the name that its aliases lead to where the server left that to us.
func (c *Client) resolve(ctx context.Context, q question) outcome {
	var aliases []dns.RR
	seen := map[string]bool{}
	at, now := q, time.Now()
	for {
		part := c.ask(ctx, at)
		rrs := append(aliases[:len(aliases):len(aliases)], part.found.all()...)
		seen[at.name] = true
		switch {
		case part.err != nil:
			return outcome{entry{code: codeOfError(part.err), rrs: aliases, server: part.server}, part.err}
		case part.code != codeAlias:
			e := newEntry(part.code, rrs, part.soa, part.server, now)
			c.cache.put(q, e)
			return outcome{e, nil}
		case len(rrs) >= maxAliases:
			return outcome{entry{code: CodeLoop, rrs: rrs, server: part.server}, errAliases}
		case seen[part.found.last]:
			return outcome{entry{code: CodeLoop, rrs: rrs, server: part.server}, errLoop}
		}
		aliases, at.name = rrs, part.found.last
	}
}

// reply is what a server said to a question.
type reply struct {
	code   string // NOERROR, NXDOMAIN, NODATA, codeAlias
	found  chain
	soa    *dns.SOA
	server string
	err    error // instead of all the others but server
}

// codeAlias says that the question is answered by aliases, whose end is still to be asked for.
const codeAlias = "CNAME"

// ask goes through the servers until one gives a usable reply. A server that cannot say never makes a name missing.
func (c *Client) ask(ctx context.Context, q question) reply {
	if len(c.servers) == 0 {
		return reply{err: &failure{CodeUnreachable, errors.New("no server to ask")}}
	}
	var last reply
	var errs []error
	for range c.attempts {
		for _, server := range c.health.sorted(c.servers, time.Now()) {
			last = c.askServer(ctx, server, q)
			if last.err == nil {
				return last
			}
			errs = append(errs, fmt.Errorf("%s: %w", server, last.err))
			if ctx.Err() != nil {
				break
			}
		}
	}
	last.err = errors.Join(errs[max(0, len(errs)-maxErrors):]...)
	return last
}

// maxErrors bounds the error of a question that many servers failed to answer.
const maxErrors = 4

func (c *Client) askServer(ctx context.Context, server string, q question) reply {
	m, err := c.exchange.ask(ctx, server, q, true)
	if err == nil {
		c.health.answered(server)
		r := read(m, q)
		r.server = server
		return r
	}
	if code := codeOfError(err); code == CodeTimeout && ctx.Err() == nil || code == CodeUnreachable {
		c.health.failed(server, time.Now())
	}
	return reply{server: server, err: err}
}

// read interprets a recursive server's reply to q.
func read(m *dns.Msg, q question) reply {
	found, err := chase(m.Answer, q, ".")
	if err != nil {
		return reply{err: err}
	}
	r := reply{found: found, soa: authoritySOA(m.Ns, found.last, ".")}
	switch {
	case len(found.rrset) > 0:
		r.code = CodeNoError
	case m.Rcode == dns.RcodeNameError:
		r.code = CodeNXDomain
	case r.soa != nil:
		r.code = CodeNoData
	case len(found.aliases) > 0:
		r.code = codeAlias
	case hasType(m.Ns, dns.TypeNS) || !m.RecursionAvailable && !m.Authoritative:
		r.err = &failure{CodeLame, errors.New("it neither knows the name nor looks it up")}
	default:
		r.code = CodeNoData // RFC 2308 §2.2, type 3
	}
	return r
}
