package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/dns"
	"waybill/internal/mua"
	"waybill/internal/trail"
)

// serverFlags are what send and fetch have in common: which server, as whom, how protected.
type serverFlags struct {
	Server        string   `placeholder:"HOST[:PORT]" help:"The server. The port's default follows --tls. Default: those that the DNS names for the domain of --user (RFC 6186), one after the other."`
	Provider      []string `placeholder:"DOMAIN" help:"The DNS may name servers in this domain too, although it is not that of --user; repeatable."`
	User          string   `placeholder:"ADDR" help:"Login: the full address. The password is asked for on a terminal, or taken from the environment (WAYBILL_PASSWORD)."`
	PasswordStdin bool     `help:"Read the password from the first line of standard input."`
	PasswordFile  string   `type:"existingfile" placeholder:"FILE" help:"Read the password from a file."`
	TLS           string   `enum:"auto,starttls,tls,none" default:"auto" help:"auto: STARTTLS or STLS if offered, TLS from the first byte on its port; starttls: required; tls: from the first byte; none."`
	Insecure      bool     `help:"Do not check the server's certificate (self-signed ones)."`
	Resolver      []string `placeholder:"ADDR:PORT" help:"Name servers to ask; default: those of the system."`
	Verbose       bool     `short:"v" help:"Show the dialogue."`
}

// passwordVariable is in the environment. A flag with the password would show it to everybody who lists processes.
const passwordVariable = "WAYBILL_PASSWORD"

// password gets it, once; stdin is then at the second line.
func (f *serverFlags) password(std streams) (string, error) {
	if f.User == "" {
		if f.PasswordFile != "" || f.PasswordStdin {
			return "", usageErrorf("a password is for a login: give --user too")
		}
		return "", nil
	}
	if strings.ContainsFunc(f.User, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", usageErrorf("--user has a control character")
	}
	if f.PasswordFile != "" && f.PasswordStdin {
		return "", usageErrorf("give either --password-file or --password-stdin")
	}
	password, err := f.readPassword(std)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return checkPassword(password)
}

func (f *serverFlags) readPassword(std streams) (string, error) {
	if f.PasswordFile != "" {
		file, err := os.Open(f.PasswordFile)
		if err != nil {
			return "", err
		}
		defer file.Close()
		b, err := io.ReadAll(io.LimitReader(file, directory.MaxPassword+3))
		return dropLineEnd(string(b)), err
	}
	if f.PasswordStdin {
		return firstLine(std.in)
	}
	if password, ok := os.LookupEnv(passwordVariable); ok {
		return password, nil
	}
	if in, ok := std.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return ask(std, in, "Password of "+f.User+": ")
	}
	return "", usageErrorf("--user needs a password: --password-file, --password-stdin, %s, or a terminal to ask on", passwordVariable)
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

// explainClient says what to do about the usual troubles of a client.
func explainClient(err error) error {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &hostname):
		return fmt.Errorf("the server's certificate is not trusted: %w; --insecure goes on without checking it", err)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	}
	return err
}

func showLookups(w io.Writer, e trail.Event) {
	for _, d := range e.DNS {
		fmt.Fprintln(w, visible(fmt.Sprintf("DNS %s %s: %s %s", d.Name, d.Type, d.Code, strings.Join(d.Answers, "; "))))
	}
}
