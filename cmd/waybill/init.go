package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"waybill/internal/dns"
	"waybill/internal/setup"
)

// initCommand sets up a server for a domain.
type initCommand struct {
	Domain   string `arg:"" placeholder:"DOMAIN" help:"Whose mail the server is to take."`
	Dir      string `default:"." placeholder:"DIR" help:"Where the configuration and the unit for systemd are written; no file is written over another."`
	Data     string `placeholder:"DIR" help:"Where the store is to be. Default: data in --dir."`
	Hostname string `placeholder:"NAME" help:"The server's name. Default: mail.DOMAIN."`
	Account  string `placeholder:"ADDR" help:"The first account. Default: postmaster@DOMAIN."`
	Address  string `placeholder:"IP" help:"The address by which the world reaches the server. Default: the first public one of this machine."`
	User     string `default:"waybill" help:"As whom the unit of systemd runs the server."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
}

func (c *initCommand) Run(ctx context.Context, std streams) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := refuseForeign(o.Data); err != nil { // it has accounts already: waybill account add
		return err
	}
	servers, err := dns.SystemServers()
	if err != nil {
		return err
	}
	resolver := dns.NewClient(dns.ClientOptions{Servers: servers, Dial: (&net.Dialer{}).DialContext})
	if !c.JSON {
		fmt.Fprintln(std.err, "setting up; then the DNS is asked what the world sees so far, which takes 15 seconds at most")
	}
	r, err := setup.Run(ctx, o, resolver, logger(std, false))
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(r)
	}
	return c.print(std, r)
}

func (c *initCommand) options() (o setup.Options, err error) {
	if o.Domain, err = domainArg(c.Domain); err != nil {
		return o, err
	}
	if o.Hostname, err = domainArg(c.Hostname); err != nil {
		return o, err
	}
	if c.Account != "" {
		if o.Account, err = parseAddress("--account", c.Account); err != nil {
			return o, err
		}
		if o.Account.Domain != o.Domain {
			return o, usageErrorf("--account %s is not in %s", o.Account, o.Domain)
		}
	}
	if c.Address != "" {
		if o.Addr, err = netip.ParseAddr(c.Address); err != nil {
			return o, usageErrorf("--address %q is no IP address", c.Address)
		}
	}
	if o.Dir, err = filepath.Abs(c.Dir); err != nil {
		return o, err
	}
	if c.Data == "" {
		c.Data = filepath.Join(o.Dir, "data")
	}
	if o.Data, err = filepath.Abs(c.Data); err != nil {
		return o, err
	}
	o.User = c.User
	o.Program, err = os.Executable()
	return o, err
}

func (c *initCommand) print(std streams, r setup.Result) error {
	out := std.out
	fmt.Fprintf(out, "The mail server %s is set up.\n\n", r.Hostname)
	fmt.Fprintf(out, "  configuration  %s\n  data           %s\n  systemd        %s\n", r.Config, r.Data, r.Unit)
	fmt.Fprintf(out, "\nThe first account, which gets the mail for postmaster too. The password is shown this once:\n\n  login     %s\n  password  %s\n", r.Account, r.Password)
	fmt.Fprint(out, "\nSettings of a mail client; the login is the whole address:\n\n")
	for _, s := range r.Settings {
		fmt.Fprintf(out, "  %-28s  %s  port %d  %s\n", s.Purpose, s.Server, s.Port, s.Security)
	}
	fmt.Fprint(out, "\nDNS records to publish, and what each of them says:\n\n")
	for _, x := range r.Records {
		fmt.Fprintf(out, "  %s  %s  %s\n      %s\n", x.Name, x.Type, x.Value, x.Why)
	}
	fmt.Fprint(out, "\nWhat was checked:\n\n")
	for _, x := range r.Checks {
		fmt.Fprintf(out, "  %-11s  %s: %s\n", x.Verdict, x.What, x.Detail)
	}
	_, err := fmt.Fprintf(out, `
Next:
  waybill serve --config %[1]s            runs it here; or with systemd:
  useradd --system --home-dir %[2]s --shell /usr/sbin/nologin %[4]s; chown -R %[4]s: %[2]s; systemctl enable --now %[3]s
  waybill account add you@%[5]s --config %[1]s
  waybill route %[6]s friend@elsewhere.example --config %[1]s
`, r.Config, r.Data, r.Unit, c.User, r.Account.Domain, r.Account)
	return err
}
