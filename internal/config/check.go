package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// maxSocketPath bounds the path of the control socket, in octets: the system's own bound is little above it.
const maxSocketPath = 100

// check looks for what only several keys together, or a missing one, make wrong.
func (l *loader) check(doc document) {
	c := &l.config
	l.required("hostname", c.Hostname, `write hostname = "mail.example.test" above the first table`)
	l.required("data", c.Data, `write data = "/var/lib/waybill" above the first table`)
	if socket := filepath.Join(c.Data, "control.sock"); c.Data != "" && len(socket) > maxSocketPath {
		l.wrong(l.lines["data"], "data", fmt.Sprintf("the path of the control socket, %s, has %d octets, and the system takes at most %d", socket, len(socket), maxSocketPath),
			"choose a directory with a shorter path")
	}
	for given, missing := range map[string]string{"tls.cert": "tls.key", "tls.key": "tls.cert"} {
		if l.isSet(doc, given) && !l.isSet(doc, missing) {
			l.wrong(l.lines[given], given, missing+" is missing", "give both, or neither for a self-signed certificate")
		}
	}
	if line, ok := l.lines["queue.retry"]; ok && len(c.Queue.Retry) == 0 && !l.has("queue.retry") {
		l.wrong(line, "queue.retry", "the list is empty", `write when to try again, like ["1m", "5m", "15m", "1h"]`)
	}
	l.checkDomains()
	l.checkRoutes()
	l.checkListeners(doc)
}

// required tells of a key above the first table that is absent or empty.
func (l *loader) required(key, value, fix string) {
	at, ok := l.lines[key]
	switch {
	case ok && value == "" && !l.has(key):
		l.wrong(at, key, "it is empty", fix)
	case !ok && !l.torn: // else it may stand on a line that could not be read
		l.wrong(1, key, "it is missing", fix)
	}
}

// has says whether there is a mistake at that key already.
func (l *loader) has(key string) bool {
	for _, e := range l.errors {
		if e.Key == key {
			return true
		}
	}
	return false
}

// isSet says whether the key has a value that is not "".
func (l *loader) isSet(doc document, key string) bool {
	if _, ok := l.lines[key]; !ok {
		return false
	}
	return l.has(key) || key == "tls.cert" && l.config.TLS.Cert != "" || key == "tls.key" && l.config.TLS.Key != ""
}

func (l *loader) checkDomains() {
	first := map[string]int{}
	for i, d := range l.config.Domains {
		place := rowKey(domainTable, i, "name")
		if _, ok := l.lines[place]; !ok && l.torn {
			continue
		} else if !ok {
			l.wrong(l.domains[i], "domain.name", "the domain has no name", `write name = "example.test" below [[domain]]`)
			continue
		}
		if d.Name == "" {
			if !l.hasAt("domain.name", l.lines[place]) {
				l.wrong(l.lines[place], "domain.name", "it is empty", `write the domain, like "example.test"`)
			}
			continue
		}
		if line, twice := first[d.Name]; twice {
			l.wrong(l.lines[place], "domain.name", fmt.Sprintf("%s is there already, in line %d", d.Name, line), "remove one of the two")
			continue
		}
		first[d.Name] = l.lines[place]
	}
	for i, d := range l.config.Domains {
		_, domain, _ := cutLast(d.Postmaster, '@')
		if _, local := first[domain]; d.Postmaster != "" && !local {
			l.wrong(l.lines[rowKey(domainTable, i, "postmaster")], "domain.postmaster", domain+" is no domain of this file", "write an address in one of its [[domain]] tables")
		}
	}
}

func (l *loader) hasAt(key string, line int) bool {
	for _, e := range l.errors {
		if e.Key == key && e.Line == line {
			return true
		}
	}
	return false
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// checkListeners looks for two listeners on one port. Port 0, for tests, is another one each time.
func (l *loader) checkListeners(doc document) {
	type place struct {
		addr netip.AddrPort
		key  string
		line int
	}
	var taken []place
	for _, a := range doc.assignments {
		if !strings.HasPrefix(a.key, "listen.") {
			continue
		}
		for _, item := range a.value.items {
			addr, m := addrPort(item.text, 0)
			if m != nil || addr.Port() == 0 {
				continue
			}
			for _, t := range taken {
				if overlap(t.addr, addr) {
					l.wrong(item.line, a.key, fmt.Sprintf("%s is taken already by %s of %s in line %d", addr, t.addr, t.key, t.line), "give each listener its own address and port")
					break
				}
			}
			taken = append(taken, place{addr, a.key, item.line})
		}
	}
}

// checkListens looks for a listener: a server that nobody can reach is no server.
func (l *loader) checkListens(doc document) {
	at, missing := 0, !l.torn && !l.meant("["+listenTable+"]")
	for _, t := range doc.tables {
		if t.name == listenTable {
			at = t.line
		}
	}
	for _, a := range doc.assignments {
		if name, _, _ := cutLast(a.key, '.'); a.key != listenTable && name != listenTable {
			continue
		}
		if at == 0 {
			at = a.line
		}
		missing = missing && len(a.value.items)+len(a.value.keys) == 0 && !l.has(a.key) // what is wrong with it is told
	}
	if missing {
		l.wrong(cmp.Or(at, l.end), "listen", "nothing would listen", `write smtp = ["0.0.0.0:25"] below [listen], or another listener`)
	}
}

const listenTable = "listen"

// meant says whether a mistake's remedy names that table: something was meant for it.
func (l *loader) meant(table string) bool {
	return slices.ContainsFunc(l.errors, func(e Error) bool {
		return strings.HasPrefix(e.Fix, "did you mean ") && strings.Contains(e.Fix, table) || strings.HasSuffix(e.Fix, " belongs below "+table)
	})
}

// overlap says whether two sockets cannot be open at once: the same, or one is the wildcard of the other's family.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Is4() == b.Addr().Is4() &&
		(a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}
