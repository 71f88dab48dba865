package setup

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/config"
	"waybill/internal/dns/dnstest"
	"waybill/internal/mail"
	"waybill/internal/node"
)

const zone = `$ORIGIN test.
a MX 10 mail.a
mail.a A 192.0.2.25
b MX 10 mx.elsewhere
mail.b A 192.0.2.99
; SERVFAIL mail.c.test.
; SERVFAIL c.test.
`

const reverse = `$ORIGIN 2.0.192.in-addr.arpa.
25 PTR mail.a.test.
26 PTR host.provider.test.
`

func TestRun(t *testing.T) {
	t.Parallel()
	resolver := dnstest.Start(t, zone, reverse).Client
	dir := t.TempDir()
	o := Options{Domain: "a.test", Dir: filepath.Join(dir, "etc"), Data: filepath.Join(dir, "data"), Addr: netip.MustParseAddr("192.0.2.25"),
		Account: mail.Address{Local: "me", Domain: "a.test"}, Program: "/usr/local/bin/waybill", User: "waybill"}
	logger := slog.New(slog.DiscardHandler)
	r, err := Run(t.Context(), o, resolver, logger)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "mail.a.test" || c.Data != o.Data || len(c.Listen.SMTP) == 0 || c.Domains[0].Postmaster != "me@a.test" || len(c.Relay.Trusted) > 0 {
		t.Errorf("%+v", c)
	}
	offline, err := node.OpenOffline(c, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer offline.Close()
	if accounts, err := offline.Accounts(t.Context(), ""); err != nil || len(accounts) != 1 || accounts[0].Address.String() != "me@a.test" {
		t.Errorf("%+v, %v", accounts, err)
	}
	var unsaid []string
	for _, x := range r.Checks[:3] {
		unsaid = append(unsaid, string(x.Verdict))
	}
	if got := strings.Join(unsaid, ", "); got != "good, good, good" {
		t.Errorf("checks: %+v", r.Checks)
	}
	unit, err := os.ReadFile(r.Unit)
	if err != nil || !strings.Contains(string(unit), "ExecStart=/usr/local/bin/waybill serve --config "+r.Config) || !strings.Contains(string(unit), "ReadWritePaths="+o.Data) {
		t.Errorf("%s %v", unit, err)
	}
	for _, file := range []string{r.Config, r.Unit} {
		text, _ := os.ReadFile(file)
		if strings.Contains(string(text), r.Password) {
			t.Errorf("%s has the password", file)
		}
	}
	if _, err := Run(t.Context(), o, resolver, logger); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := config.Load(r.Config); err != nil {
		t.Errorf("and then: %v", err)
	}
}

// A setup that fails removes what it wrote, and nothing else.
func TestRunRemovesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	resolver := dnstest.Start(t, zone, reverse).Client
	for _, theirs := range []string{"", "[Service]\nExecStart=/their/own\n"} {
		dir := t.TempDir()
		o := Options{Domain: "a.test", Dir: dir, Data: filepath.Join(dir, "file", "data"), Program: "/usr/local/bin/waybill", User: "waybill"}
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil { // where the data cannot be
			t.Fatal(err)
		}
		unit := filepath.Join(dir, unitFile)
		if theirs != "" {
			if err := os.WriteFile(unit, []byte(theirs), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := Run(t.Context(), o, resolver, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("set up: %+v", r)
		}
		if got, _ := os.ReadFile(unit); string(got) != theirs {
			t.Errorf("the unit is %q, was %q", got, theirs)
		}
		if _, err := os.Lstat(filepath.Join(dir, configFile)); err == nil {
			t.Error("the configuration is left")
		}
	}
}

// Each check says what is wrong, and what could not be found out is not called good.
func TestChecks(t *testing.T) {
	t.Parallel()
	resolver := dnstest.Start(t, zone, reverse).Client
	for domain, want := range map[string]string{
		"b.test": "to do it is [192.0.2.99], and this machine has 192.0.2.26|to do it names mx.elsewhere.test|to do 192.0.2.26 is called host.provider.test, and must be mail.b.test",
		"c.test": "not checked *|not checked *|to do *",
	} {
		o := Options{Domain: domain, Addr: netip.MustParseAddr("192.0.2.26")}.withDefaults()
		got := checks(t.Context(), o, resolver)
		for i, pattern := range strings.Split(want, "|") {
			text := fmt.Sprintf("%s %s", got[i].Verdict, got[i].Detail)
			if prefix, any := strings.CutSuffix(pattern, "*"); text != pattern && !(any && strings.HasPrefix(text, prefix)) {
				t.Errorf("%s: %q, want %q", domain, text, pattern)
			}
		}
	}
}

func TestPasswordsAreDrawn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		p := newPassword()
		if len(p) != 24 || strings.ContainsAny(p, "il1o0") || seen[p] {
			t.Fatalf("%q", p)
		}
		seen[p] = true
	}
}
