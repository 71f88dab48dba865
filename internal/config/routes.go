package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// checkRoutes looks for what only several keys of a route, or several routes, make wrong.
func (l *loader) checkRoutes() {
	domains, names := map[string]int{}, map[string]int{}
	for i, r := range l.config.Routes {
		l.checkRouteDomains(i, domains)
		if name := r.Name(); name != "" {
			if first, twice := names[name]; twice {
				l.wrong(l.routeLine(i, "via"), "route.via", fmt.Sprintf("the way by %s is there already, in line %d", name, first),
					"name all its domains in one [[route]]")
			}
			names[name] = l.routeLine(i, "via")
		}
		l.checkRouteLogin(i)
	}
}

// routeLine is where a key of a route stands, or the route if the key is absent.
func (l *loader) routeLine(i int, key string) int {
	if line, ok := l.lines[rowKey(routeTable, i, key)]; ok {
		return line
	}
	return l.routes[i]
}

func (l *loader) checkRouteDomains(i int, first map[string]int) {
	line := l.routeLine(i, "domains")
	if len(l.config.Routes[i].Domains) == 0 && !l.torn && !l.hasAt("route.domains", line) {
		l.wrong(line, "route.domains", "the route is for nobody", `write domains = ["example.test"], or ["*"] for all others`)
	}
	for _, d := range l.config.Routes[i].Domains {
		if at, twice := first[d]; twice {
			l.wrong(line, "route.domains", fmt.Sprintf("%s has a route already, in line %d", d, at), "keep one of the two")
			continue
		}
		first[d] = line
	}
}

// checkRouteLogin: a password goes to nobody but who it is for.
func (l *loader) checkRouteLogin(i int) {
	r := l.config.Routes[i]
	switch {
	case r.User == "" && r.PasswordFile != "":
		l.wrong(l.routeLine(i, "password_file"), "route.password_file", "there is no user that it belongs to", "write user as well, or remove it")
	case r.User != "" && r.PasswordFile == "":
		l.wrong(l.routeLine(i, "user"), "route.user", "it has no password", "write password_file as well: a file whose first line is the password")
	case r.User != "" && len(r.Via) == 0:
		l.wrong(l.routeLine(i, "user"), "route.user", "a login needs a host that it is for", `write via = ["smtp.example.test:587"]`)
	case r.User != "" && r.TLS == RouteTLSOpportunistic:
		l.wrong(l.routeLine(i, "tls"), "route.tls", "the password would be sent to whoever answers", `write tls = "required", or "implicit" for port 465`)
	case r.TLS == RouteTLSImplicit && len(r.Via) == 0:
		l.wrong(l.routeLine(i, "tls"), "route.tls", "MX hosts do not take mail so", `write via = ["smtp.example.test:465"], or tls = "required"`)
	case r.CA != "" && r.TLS == RouteTLSOpportunistic:
		l.wrong(l.routeLine(i, "ca"), "route.ca", "opportunistic TLS looks at no certificate", `write tls = "required" as well, or remove it`)
	}
}

// checkRouteFiles reads what the routes name.
func (l *loader) checkRouteFiles() {
	for i, r := range l.config.Routes {
		if r.PasswordFile != "" {
			if _, err := read(r.PasswordFile); err != nil {
				l.wrong(l.routeLine(i, "password_file"), "route.password_file", fmt.Sprintf("%s cannot be read: %v", r.PasswordFile, err),
					"name a file that has the password in its first line")
			}
		}
		if r.CA != "" {
			l.checkAuthorities(l.routeLine(i, "ca"), r.CA)
		}
	}
}

func (l *loader) checkAuthorities(line int, file string) {
	content, err := read(file)
	switch {
	case err != nil:
		l.wrong(line, "route.ca", fmt.Sprintf("%s cannot be read: %v", file, err), "name a PEM file, or remove it for the system's authorities")
	case !strings.Contains(string(content), "-----BEGIN "+certificate+"-----"):
		l.wrong(line, "route.ca", file+" holds no certificate in PEM form", "name a PEM file, or remove it for the system's authorities")
	}
}

// pattern reads the domains that a route is for.
func pattern(s string) (string, *mistake) {
	if s == "*" {
		return s, nil
	}
	below, wild := strings.CutPrefix(s, "*.")
	name, m := domainName(below)
	if m != nil {
		return "", wrong(fmt.Sprintf("%q is not a domain name", s), `write "example.test", "*.example.test" or "*"`)
	}
	if wild {
		name = "*." + name
	}
	return name, nil
}

// hop reads host:port.
func hop(s string) (Hop, *mistake) {
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 && !ap.Addr().IsUnspecified() {
		return Hop{Addr: ap.Addr().Unmap(), Port: ap.Port()}, nil
	}
	host, given, ok := cutLast(s, ':')
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return Hop{}, wrong(fmt.Sprintf("%q has no port", s), fmt.Sprintf("write %q", netip.AddrPortFrom(addr, 25)))
	}
	if !ok {
		return Hop{}, wrong(fmt.Sprintf("%q has no port", s), fmt.Sprintf("write %q, or with 587 if one has to log in", s+":25"))
	}
	port, err := strconv.ParseUint(given, 10, 16)
	if err != nil || port == 0 {
		return Hop{}, wrong(fmt.Sprintf("%q is not a port: a number from 1 to 65535 is", given), fmt.Sprintf("write %q", host+":25"))
	}
	name, m := domainName(host)
	if m != nil {
		return Hop{}, wrong(fmt.Sprintf("%q is not a host", host), `write its name or address, like "smtp.example.test:25"`)
	}
	return Hop{Host: name, Port: uint16(port)}, nil
}

// oneOf reads one of some words.
func oneOf(words ...string) func(string) (string, *mistake) {
	return func(s string) (string, *mistake) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		fix := "write one of " + strings.Join(words, ", ")
		if near := nearest(s, words); near != "" {
			fix = fmt.Sprintf("write %q", near)
		}
		return "", wrong(fmt.Sprintf("%q is not known here", s), fix)
	}
}
