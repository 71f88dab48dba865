package node

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/scram"
	"waybill/internal/smtp"
)

// loginNode runs a node with the account alice@example.test, password "sécret", and returns the address of its listener.
func loginNode(t *testing.T, listen config.Listen) (address string) {
	t.Helper()
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", t.TempDir()
	c.Listen = listen
	c.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	c.Domains = []config.Domain{{Name: "example.test"}}
	n, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.AddAccount(t.Context(), mail.Address{Local: "alice", Domain: "example.test"}, "sécret"); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Shutdown(t.Context()) })
	return n.Listeners()[0].Addr.String()
}

// somewhere is any free port.
func somewhere() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")} }

// TestClientLogsInBySCRAM: our client at our server, with TLS 1.3, which binds the login to the connection, and with 1.2.
func TestClientLogsInBySCRAM(t *testing.T) {
	t.Parallel()
	server := loginNode(t, config.Listen{Submissions: somewhere()})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, password := range []string{"sécret", "secret"} {
			nc, err := tls.Dial("tcp", server, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			c := smtp.NewClient(nc, smtp.ClientOptions{Hello: "client.test"})
			if err := errors.Join(c.Greet(t.Context()), c.Hello(t.Context())); err != nil {
				t.Fatal(err)
			}
			err = c.Auth(t.Context(), "Alice@Example.test", password)
			if right := password == "sécret"; right != (err == nil) {
				t.Errorf("%s, %q: %v", tls.VersionName(version), password, err)
			}
			var said []string
			for _, l := range c.Transcript().Lines() {
				if strings.HasPrefix(l.Text, "AUTH") || strings.HasPrefix(l.Text, "334 ") && l.Text != "334 ***" && l.Text != "334 " {
					said = append(said, l.Text)
				}
			}
			if len(said) != 1 || said[0] != "AUTH "+scram.SHA256Plus {
				t.Errorf("%s: the transcript has %q", tls.VersionName(version), said)
			}
			c.Close()
		}
	}
}

// TestGsaslLogsIn: an independent client, with the login bound to the connection and without, and one that lies.
func TestGsaslLogsIn(t *testing.T) {
	t.Parallel()
	gsasl, err := exec.LookPath("gsasl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("gsasl is not installed, and CI is set")
		}
		t.Skip("gsasl is not installed")
	}
	server := loginNode(t, config.Listen{Submission: somewhere()})
	for _, c := range []struct {
		name, password string
		options        []string
		good           bool
	}{
		{"SCRAM-SHA-256-PLUS", "sécret", nil, true},
		{"SCRAM-SHA-256", "sécret", []string{"--no-cb"}, true},
		{"PLAIN", "sécret", nil, true},
		{"LOGIN", "sécret", nil, true},
		{"SCRAM-SHA-256-PLUS", "wrong", nil, false},
		{"SCRAM-SHA-256", "wrong", []string{"--no-cb"}, false},
	} {
		args := append([]string{"--smtp", "--connect=" + server, "--x509-ca-file=", "-m", c.name, "-a", "alice@example.test", "-z", "", "-p", c.password}, c.options...)
		out, err := exec.CommandContext(t.Context(), gsasl, args...).CombinedOutput()
		if good := err == nil && strings.Contains(string(out), "235 2.7.0"); good != c.good {
			t.Errorf("%s, %s: %v\n%s", c.name, c.password, err, out)
		}
	}
}
