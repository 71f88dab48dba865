package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// StoreURL says where a store is that is no part of Data, with the password for it. As text, in JSON too, it is without.
type StoreURL string

// ParseStoreURL reads the URL of a store that is not in a file. The error quotes nothing of it.
func ParseStoreURL(s string) (StoreURL, error) {
	if _, m := storeURL(s); m != nil {
		return "", fmt.Errorf("%s; %s", m.problem, m.fix)
	}
	return StoreURL(s), nil
}

// String returns the URL without password and parameters, for people.
func (u StoreURL) String() string {
	if u == "" {
		return ""
	}
	parts, m := splitStoreURL(string(u))
	if m != nil {
		return storeScheme + "://…"
	}
	return parts.shown()
}

// Place is String with what else tells one store from another in the same database.
func (u StoreURL) Place() string {
	parts, m := splitStoreURL(string(u))
	path := parts.parameters.Get("search_path")
	if m != nil || path == "" {
		return u.String()
	}
	separator := "?"
	if strings.Contains(u.String(), "?") {
		separator = "&"
	}
	return u.String() + separator + "search_path=" + path
}

// MarshalText is String, for what writes a configuration.
func (u StoreURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

const (
	storeScheme = "postgres"
	storeFix    = `write postgres://user:password@host:5432/database, or "" for the embedded store`
)

// storeURL checks a URL. No mistake quotes any of it: whatever is wrong with it may be the password.
func storeURL(s string) (string, *mistake) {
	parts, m := splitStoreURL(s)
	if m != nil {
		return "", m
	}
	return s, parts.checkParameters()
}

// storeParts is a URL of a store taken apart.
type storeParts struct {
	user       string
	hosts      []string // with their ports, wherever in the URL they stand; none: sockets says where
	sockets    string   // directories of sockets, and their ports, as parameters
	several    bool     // more than one host or socket
	database   string
	parameters url.Values
}

func (p storeParts) shown() string {
	s := storeScheme + "://"
	if p.user != "" {
		s += url.PathEscape(p.user) + "@"
	}
	s += strings.Join(p.hosts, ",") + "/" + url.PathEscape(p.database)
	if len(p.hosts) == 0 {
		s += "?" + p.sockets
	}
	return s
}

// place finds out where the server is from what stands before the database and from the parameters. A port behind the database counts for
// all hosts, or there is one for each.
func (p *storeParts) place() *mistake {
	host, port := p.parameters.Get("host"), p.parameters.Get("port")
	names := p.hosts
	switch {
	case len(p.hosts) > 0 && p.parameters.Has("host"):
		return wrong("the URL names a host before the database and another one behind it", "keep one of the two")
	case len(p.hosts) == 0 && host == "":
		return wrong("the URL names no host", "write one before the database, or the directory of the server's socket behind it, as in "+
			"postgres://waybill@/waybill?host=/var/run/postgresql")
	case len(p.hosts) == 0:
		if names = strings.Split(host, ","); slices.ContainsFunc(names, func(s string) bool { return !isHostOrSocket(s) }) {
			return wrong("the URL's host is neither a name nor a directory", "write host=/var/run/postgresql, or the name before the database")
		}
	}
	p.several = len(names) > 1
	var ports []string
	if p.parameters.Has("port") {
		if ports = strings.Split(port, ","); len(ports) != 1 && len(ports) != len(names) || !allPorts(ports) {
			return wrong("the URL's port is none", "write a number from 1 to 65535, or as many as there are hosts, with commas between them")
		}
	}
	if strings.HasPrefix(host, "/") || strings.Contains(host, ",/") {
		if p.sockets = "host=" + host; ports != nil {
			p.sockets += "&port=" + port
		}
		return nil
	}
	p.hosts = nil
	for i, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil && addr.Is6() {
			name = "[" + name + "]"
		}
		if ports != nil {
			if _, _, err := net.SplitHostPort(name); err == nil {
				return wrong("the URL has a port at a host and another one behind the database", "keep one of the two")
			}
			name += ":" + ports[min(i, len(ports)-1)]
		}
		p.hosts = append(p.hosts, name)
	}
	return nil
}

func allPorts(ports []string) bool {
	return !slices.ContainsFunc(ports, func(s string) bool { return !isPort(s) })
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// splitStoreURL takes a URL apart as libpq does: postgres://[user[:password]@][host[:port],…]/database[?parameters].
func splitStoreURL(s string) (p storeParts, m *mistake) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok:
		return p, wrong("this is no URL of a store", storeFix)
	case scheme != storeScheme && scheme != "postgresql":
		return p, wrong("the only store besides the embedded one is PostgreSQL", storeFix)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return p, wrong("the URL has a space or a control character in it", "remove it, or write a space of the password as %20")
	case strings.Contains(s, "#"):
		return p, wrong("the URL has a # in it", "write that of a password as %23")
	}
	before, query, _ := strings.Cut(rest, "?")
	authority, name, _ := strings.Cut(before, "/")
	if strings.Contains(name, "@") || strings.Contains(query, "@") || strings.Count(authority, "@") > 1 { // some of it is of the password
		return p, wrong("the URL has an @ where none can be", "in the password write / as %2F, ? as %3F and @ as %40; elsewhere write @ as %40, too")
	}
	if p.hosts, p.user, m = splitAuthority(authority); m != nil {
		return p, m
	}
	var err error
	if p.database, err = url.PathUnescape(name); err != nil {
		return p, badEscape()
	}
	if p.database == "" || strings.Contains(name, "/") {
		return p, wrong("the URL names no database", "write one at the end of the host, as in postgres://user:password@host:5432/waybill")
	}
	if p.parameters, err = url.ParseQuery(query); err != nil {
		return p, badEscape()
	}
	return p, p.place()
}

func badEscape() *mistake {
	return wrong("the URL has a % that begins no character", "write a % of the password as %25")
}

// splitAuthority reads what stands before the database.
func splitAuthority(s string) (hosts []string, user string, m *mistake) {
	login, list, ok := strings.Cut(s, "@")
	if !ok {
		login, list = "", s
	}
	user, password, _ := strings.Cut(login, ":")
	for _, text := range []*string{&user, &password} {
		plain, err := url.PathUnescape(*text)
		if err != nil {
			return nil, "", badEscape()
		}
		*text = plain
	}
	if ok && user == "" {
		return nil, "", wrong("the URL names no user before the @", "write postgres://user:password@host:5432/database")
	}
	if list == "" {
		return nil, user, nil
	}
	for host := range strings.SplitSeq(list, ",") {
		if !isHostPort(host) {
			return nil, "", wrong("the URL has a host or port that is none", "write host:port, with a number from 1 to 65535, an IPv6 address in brackets, "+
				"several with commas between them; in the password write / as %2F, ? as %3F and @ as %40")
		}
		hosts = append(hosts, host)
	}
	return hosts, user, nil
}

// isHostPort says whether s is a name or address with a port or without one.
func isHostPort(s string) bool {
	host, port := s, "5432"
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	} else if inner, ok := strings.CutPrefix(s, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if !isPort(port) {
		return false
	}
	if strings.HasPrefix(s, "[") {
		_, err := netip.ParseAddr(host)
		return err == nil && strings.Contains(s, "]")
	}
	return isHostname(strings.ToLower(host))
}

// choices are the values that some parameters may have.
var choices = map[string][]string{
	"sslmode":              {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"target_session_attrs": {"any", "read-write", "primary", "prefer-standby", "read-only", "standby"},
}

// storeParameters are those that are known. Others are settings of the server's sessions.
var storeParameters = []string{
	"sslmode", "sslcert", "sslkey", "sslrootcert", "sslpassword", "sslnegotiation", "target_session_attrs", "connect_timeout", "host", "port",
	"passfile", "application_name", "search_path", "options", "channel_binding",
}

// checkParameters looks at what is behind the database.
func (p storeParts) checkParameters() *mistake {
	for name, values := range p.parameters {
		if len(values) > 1 {
			return wrong("the URL sets a parameter twice", "keep one of the two")
		}
		if m := checkParameter(name, values[0]); m != nil {
			return m
		}
	}
	if attrs := p.parameters.Get("target_session_attrs"); slices.Contains([]string{"prefer-standby", "read-only", "standby"}, attrs) {
		return wrong("the URL asks for a server that takes no writes", "write target_session_attrs=read-write")
	} else if attrs == "any" && p.several {
		return wrong("the URL names several hosts and would take any of them, also one that lags behind", "write target_session_attrs=read-write, or leave it out")
	}
	return nil
}

func checkParameter(name, value string) *mistake {
	if allowed := choices[name]; allowed != nil && !slices.Contains(allowed, value) {
		return wrong("the URL's "+name+" has a value that there is not", "write one of "+strings.Join(allowed, ", "))
	}
	switch known := slices.Contains(storeParameters, name); {
	case name == "connect_timeout" && !isDigits(value):
		return wrong("the URL's connect_timeout is no number of seconds", "write digits only, as in connect_timeout=5")
	case known:
		return nil
	case !isSetting(name) || strings.HasPrefix(name, "pool_") || slices.Contains([]string{"user", "password", "dbname", "service", "servicefile"}, name):
		return wrong("the URL has a parameter that there is not", "there are "+strings.Join(storeParameters, ", ")+
			", and settings of the server; a & in the password is written %26")
	}
	if near := nearest(name, storeParameters); near != "" && distance(name, near) <= 2 {
		return wrong("the URL has a parameter that there is not", "did you mean "+near+"?")
	}
	return nil
}

// isHostOrSocket says whether s is a name or address, which may have no port there, or the directory of a socket.
func isHostOrSocket(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || path.IsAbs(s) || isHostname(strings.ToLower(s))
}

func isDigits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}

// isSetting says whether a server could have a setting of that name.
func isSetting(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_.") == ""
}
