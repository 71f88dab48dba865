// Package routing says which way mail for other domains leaves: by the MX records of its domain, or as a [[route]] of the
// configuration tells. Both the queue, which groups recipients by their next hop, and the relay ask it.
package routing

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"waybill/internal/config"
)

// Route is a way that was configured.
type Route struct {
	config.Route
	Roots    *x509.CertPool // who may have signed the hosts' certificates; nil: the system's authorities
	Password string
}

// Table is the ways. It is safe for concurrent use.
type Table struct {
	ways atomic.Pointer[ways]
}

// ways is one state of the table.
type ways struct {
	byDomain map[string]*Route // by pattern
	byName   map[string]*Route // those with hosts
}

// New returns a table that has the routes.
func New(routes []config.Route) (*Table, error) {
	t := &Table{}
	return t, t.Set(routes)
}

// Set replaces the routes, after it has read the files that they name; with an error all stays as it was.
func (t *Table) Set(routes []config.Route) error {
	w := &ways{byDomain: map[string]*Route{}, byName: map[string]*Route{}}
	for _, c := range routes {
		r, err := read(c)
		if err != nil {
			return err
		}
		for _, pattern := range c.Domains {
			w.byDomain[pattern] = r
		}
		if name := c.Name(); name != "" {
			w.byName[name] = r
		}
	}
	t.ways.Store(w)
	return nil
}

func read(c config.Route) (*Route, error) {
	r := &Route{Route: c}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("route of %s: %w", strings.Join(c.Domains, ", "), err)
		}
		r.Roots = x509.NewCertPool()
		if !r.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("route of %s: %s holds no certificate that can be used", strings.Join(c.Domains, ", "), c.CA)
		}
	}
	if c.PasswordFile != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("route of %s: %w", strings.Join(c.Domains, ", "), err)
		}
		password, _, _ = bytes.Cut(password, []byte("\n"))
		r.Password = strings.TrimSuffix(string(password), "\r")
	}
	return r, nil
}

// NextHop returns the next hop of a domain or address literal, and the rule that decided: the domain itself, whose MX
// hosts take its mail, or the hosts of a route.
func (t *Table) NextHop(domain string) (nextHop, rule string) {
	r, pattern := t.ways.Load().find(domain)
	switch {
	case r != nil && r.Name() != "":
		return r.Name(), fmt.Sprintf("the configuration has a [[route]] for %q", pattern)
	case strings.HasPrefix(domain, "["):
		return domain, "an address literal is its own next hop"
	}
	return domain, domain + " is not a local domain"
}

// Of returns the route that belongs to a next hop, which NextHop returned; nil if none does.
func (t *Table) Of(nextHop string) *Route {
	w := t.ways.Load()
	if r := w.byName[nextHop]; r != nil {
		return r
	}
	r, _ := w.find(nextHop)
	return r
}

// find returns the route with the longest pattern that fits.
func (w *ways) find(domain string) (r *Route, pattern string) {
	if r := w.byDomain[domain]; r != nil {
		return r, domain
	}
	for above := domain; len(w.byDomain) > 0; {
		_, rest, ok := strings.Cut(above, ".")
		if !ok || domain[0] == '[' {
			break
		}
		if r := w.byDomain["*."+rest]; r != nil {
			return r, "*." + rest
		}
		above = rest
	}
	return w.byDomain["*"], "*"
}
