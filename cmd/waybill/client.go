package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/dns"
	"waybill/internal/mua"
	"waybill/internal/trail"
)

// serverFlags are what send and fetch have in common: which server, as whom, how protected.
type serverFlags struct {
	Server        string   `placeholder:"HOST[:PORT]" help:"The server. The port's default follows --tls. Default: the one that the DNS names for the domain of --user (RFC 6186)."`
	User          string   `placeholder:"ADDR" help:"Login: the full address."`
	PasswordStdin bool     `help:"Read the password from the first line of standard input."`
	PasswordFile  string   `type:"existingfile" placeholder:"FILE" help:"Read the password from a file."`
	TLS           string   `enum:"auto,starttls,tls,none" default:"auto" help:"auto: STARTTLS or STLS if offered; starttls: required; tls: from the first byte; none."`
	Insecure      bool     `help:"Do not check the server's certificate (self-signed ones)."`
	Resolver      []string `placeholder:"ADDR:PORT" help:"Name servers to ask; default: those of the system."`
	Verbose       bool     `short:"v" help:"Show the dialogue."`
}

// defaultPorts by protection.
type defaultPorts struct{ plain, implicit uint16 }

func (f *serverFlags) server(ports defaultPorts) (mua.Server, error) {
	s := mua.Server{Host: f.Server, Port: ports.plain, Security: mua.Security(f.TLS)}
	if s.Security == mua.Implicit {
		s.Port = ports.implicit
	}
	if _, err := netip.ParseAddr(f.Server); err == nil {
		return s, nil
	}
	host, port, err := net.SplitHostPort(f.Server)
	if err != nil {
		return s, nil // no port
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return s, fmt.Errorf("--server %s: %q is not a port", f.Server, port)
	}
	s.Host, s.Port = host, uint16(number)
	return s, nil
}

// password reads it, once; stdin is then at the second line.
func (f *serverFlags) password(std streams) (string, error) {
	switch {
	case f.User == "":
		return "", nil
	case f.PasswordFile != "":
		b, err := os.ReadFile(f.PasswordFile)
		if err != nil {
			return "", err
		}
		return checkPassword(dropLineEnd(string(b)))
	case f.PasswordStdin:
		line, err := firstLine(std.in)
		if err != nil {
			return "", err
		}
		return checkPassword(line)
	}
	return "", errors.New("--user needs --password-stdin or --password-file")
}

// client builds the mail client; with -v it prints what is said, as it is said.
func (f *serverFlags) client(std streams) (*mua.Client, error) {
	name, err := os.Hostname()
	if err != nil || !strings.Contains(name, ".") {
		name = "localhost.localdomain"
	}
	servers, err := f.nameServers()
	if err != nil {
		return nil, err
	}
	dial := (&net.Dialer{}).DialContext
	c := &mua.Client{
		Name: name, Dial: dial,
		Resolver: dns.NewClient(dns.ClientOptions{Servers: servers, Dial: dial}),
		Roots:    &tls.Config{InsecureSkipVerify: f.Insecure},
	}
	if f.Verbose {
		c.Observe = func(e trail.Event) { showLookups(std.err, e) }
		c.Live = func(l dialogue.Line) { fmt.Fprintf(std.err, "%s: %s\n", l.Side, l.Text) }
	}
	return c, nil
}

// service is one that the DNS may name a server of.
type service struct {
	name     string // "_pop3s._tcp"
	security mua.Security
}

// discover finds the user's server by DNS, the most secure one that is named.
func (f *serverFlags) discover(ctx context.Context, client *mua.Client, services []service) (mua.Server, error) {
	user, err := parseAddress("--user", f.User)
	if err != nil {
		return mua.Server{}, err
	}
	var names []string
	for _, s := range services {
		server, err := client.Discover(ctx, s.name, user.Domain, s.security)
		if err == nil {
			return server, nil
		}
		if !errors.Is(err, dns.ErrNotFound) {
			return server, err
		}
		names = append(names, s.name+"."+user.Domain)
	}
	return mua.Server{}, fmt.Errorf("the DNS names no server (there is no SRV record %s); name it with --server", strings.Join(names, " or "))
}

func (f *serverFlags) nameServers() ([]netip.AddrPort, error) {
	if len(f.Resolver) == 0 {
		return dns.SystemServers()
	}
	var servers []netip.AddrPort
	for _, s := range f.Resolver {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("--resolver %s: write address:port, as 127.0.0.1:53", s)
		}
		servers = append(servers, ap)
	}
	return servers, nil
}

// explainClient says what to do about the usual troubles of a client.
func explainClient(err error) error {
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown), errors.As(err, &hostname):
		return fmt.Errorf("the server's certificate is not trusted: %w; --insecure goes on without checking it", err)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	}
	return err
}

func showLookups(w io.Writer, e trail.Event) {
	for _, d := range e.DNS {
		fmt.Fprintf(w, "DNS %s %s: %s %s\n", d.Name, d.Type, d.Code, strings.Join(d.Answers, "; "))
	}
}
