package routing

import (
	"os"
	"path/filepath"
	"testing"

	"waybill/internal/config"
)

func via(host string) []config.Hop { return []config.Hop{{Host: host, Port: 25}} }

// The longest pattern that fits decides, and what a route without hosts says goes with the domain itself.
func TestNextHop(t *testing.T) {
	t.Parallel()
	table, err := New([]config.Route{
		{Domains: []string{"*"}, Via: via("smart.test")},
		{Domains: []string{"*.b.test"}, Via: via("below.test")},
		{Domains: []string{"*.c.b.test", "b.test"}, Rate: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"a.test": "smart.test:25", "b.test": "b.test", "x.b.test": "below.test:25", "x.c.b.test": "x.c.b.test",
		"c.b.test": "below.test:25", "test": "smart.test:25", "[192.0.2.1]": "smart.test:25",
	} {
		hop, rule := table.NextHop(domain)
		if hop != want || rule == "" {
			t.Errorf("%s: %q by %q, want %q", domain, hop, rule, want)
		}
		if r := table.Of(hop); r == nil || r.Name() != "" && r.Name() != hop || r.Name() == "" && r.Rate != 3 {
			t.Errorf("the route of %s: %+v", hop, r)
		}
	}
}

func TestNoRoutes(t *testing.T) {
	t.Parallel()
	table, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"a.test", "[192.0.2.1]"} {
		if hop, _ := table.NextHop(domain); hop != domain || table.Of(hop) != nil {
			t.Errorf("%s: %s", domain, hop)
		}
	}
}

// A table that cannot be read leaves the one before in force.
func TestSetKeepsWhatWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("pa ss\r\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := New([]config.Route{{Domains: []string{"*"}, Via: via("smart.test"), User: "me", PasswordFile: secret}})
	if err != nil || table.Of("smart.test:25").Password != "pa ss" {
		t.Fatal(err, table.Of("smart.test:25"))
	}
	for _, bad := range []config.Route{{PasswordFile: filepath.Join(dir, "no")}, {CA: filepath.Join(dir, "no")}, {CA: secret}} {
		if table.Set([]config.Route{bad}) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if hop, _ := table.NextHop("a.test"); hop != "smart.test:25" {
		t.Error(hop)
	}
}
