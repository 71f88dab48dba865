// Package setup makes a mail server for a domain from nothing: a configuration, a key and a certificate, the first account,
// and what else there is to do: the DNS records to publish, the settings of a mail client, and what could not be checked.
package setup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/node"
)

// Options is what is to be set up.
type Options struct {
	Domain   string       // A-labels, lower case
	Hostname string       // of the server; default: mail.Domain
	Account  mail.Address // the first one; it gets the mail for postmaster too
	Dir      string       // for the files; absolute
	Data     string       // for the store; default: data below Dir
	Addr     netip.Addr   // by which the world reaches the server; default: the first public one of this machine
	Program  string       // waybill itself, for the unit of systemd; absolute
	User     string       // as whom the unit runs it
}

// Result is what was set up, and what is left to do.
type Result struct {
	Config   string       `json:"config"`
	Unit     string       `json:"unit"`
	Data     string       `json:"data"`
	Hostname string       `json:"hostname"`
	Account  mail.Address `json:"account"`
	Password string       `json:"password"` // shown once: nothing keeps it
	Settings []Setting    `json:"settings"` // of a mail client
	Records  []Record     `json:"records"`  // to publish
	Checks   []Check      `json:"checks"`
}

// Setting is a server in a mail client's settings.
type Setting struct {
	Purpose  string `json:"purpose"`
	Server   string `json:"server"`
	Port     int    `json:"port"`
	Security string `json:"security"`
}

// Files below Options.Dir.
const (
	configFile = "waybill.toml"
	unitFile   = "waybill.service"
)

// ErrExists is returned where there is a configuration already.
var ErrExists = errors.New("there is a configuration already")

// Run sets a server up. It writes nothing but the files of Result, and none over another. The resolver is asked what the
// world sees of the domain so far.
func Run(ctx context.Context, o Options, resolver Resolver, logger *slog.Logger) (r Result, err error) {
	o = o.withDefaults()
	r = Result{
		Config: filepath.Join(o.Dir, configFile), Unit: filepath.Join(o.Dir, unitFile), Data: o.Data, Hostname: o.Hostname,
		Account: o.Account, Password: newPassword(), Settings: settings(o.Hostname), Records: records(o),
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return r, fmt.Errorf("make the directory: %w", err)
	}
	created, err := writeFiles(o, r)
	if err == nil {
		err = addAccount(ctx, r, logger)
	}
	if err != nil {
		for _, name := range created {
			err = errors.Join(err, os.Remove(name))
		}
		return r, err
	}
	r.Checks = checks(ctx, o, resolver)
	return r, nil
}

func (o Options) withDefaults() Options {
	if o.Hostname == "" {
		o.Hostname = "mail." + o.Domain
	}
	if o.Data == "" {
		o.Data = filepath.Join(o.Dir, "data")
	}
	if o.Account.IsNull() {
		o.Account = mail.Address{Local: "postmaster", Domain: o.Domain}
	}
	if !o.Addr.IsValid() {
		o.Addr = publicAddr()
	}
	return o
}

// writeFiles writes the configuration and the unit, and returns which of them it made. A unit that is there stays as it is.
func writeFiles(o Options, r Result) (created []string, err error) {
	if err := create(r.Config, configText(o), 0o644); err != nil {
		return nil, err
	}
	created = append(created, r.Config)
	switch err := create(r.Unit, unitText(o, r.Config), 0o644); {
	case errors.Is(err, ErrExists):
		return created, nil
	case err != nil:
		return created, err
	}
	return append(created, r.Unit), nil
}

// create writes a new file, or none.
func create(name, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w; remove it, or choose another --dir", name, ErrExists)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// addAccount makes the store with the first account, and the certificate.
func addAccount(ctx context.Context, r Result, logger *slog.Logger) error {
	c, err := config.Load(r.Config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := node.MakeCertificate(c); err != nil {
		return err
	}
	offline, err := node.OpenOffline(c, logger)
	if err != nil {
		return err
	}
	return errors.Join(offline.AddAccount(ctx, r.Account, r.Password), offline.Close())
}

// newPassword draws five groups of four letters and digits that cannot be mistaken for one another: some 98 bits.
func newPassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	var b strings.Builder
	for i := range 20 {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[draw(len(letters))])
	}
	return b.String()
}

// draw returns a number below n, each as likely as the others.
func draw(n int) int {
	limit := 256 - 256%n
	for {
		var b [1]byte
		rand.Read(b[:]) // never fails, since Go 1.24
		if int(b[0]) < limit {
			return int(b[0]) % n
		}
	}
}

func settings(hostname string) []Setting {
	return []Setting{
		{"send mail (SMTP)", hostname, 465, "TLS"},
		{"send mail (SMTP), otherwise", hostname, 587, "STARTTLS"},
		{"get mail (POP3)", hostname, 995, "TLS"},
		{"get mail (POP3), otherwise", hostname, 110, "STARTTLS"},
	}
}
