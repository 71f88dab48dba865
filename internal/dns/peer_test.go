package dns

import (
	"bufio"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

// dig asks a server with BIND's client, and returns its output.
func dig(t *testing.T, addr string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("dig")
	if err != nil {
		t.Skip("dig is not installed (Debian: bind9-dnsutils)")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-r", "@" + host, "-p", port, "+tries=1", "+time=20"}, args...)
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func contains(t *testing.T, out string, words ...string) {
	t.Helper()
	out = strings.Join(strings.Fields(out), " ")
	for _, want := range words {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestAuthorityAnswersDig(t *testing.T) {
	t.Parallel()
	s := run(t, "127.0.0.1", NewAuthority(mustZone(t, "test.", soaLine+`
@     60 MX 10 mail
mail  60 A 192.0.2.1
big   60 TXT `+strings.Repeat("\""+strings.Repeat("x", 200)+"\" ", 20)+`
sub   60 NS ns.sub
ns.sub 60 A 192.0.2.2
; SERVFAIL broken
`)))
	contains(t, dig(t, s.addr, "+norecurse", "test", "MX"), "status: NOERROR", "flags: qr aa;", "test. 60 IN MX 10 mail.test.", "mail.test. 60 IN A 192.0.2.1")
	contains(t, dig(t, s.addr, "gone.test", "A"), "status: NXDOMAIN", "test. 300 IN SOA")
	contains(t, dig(t, s.addr, "x.sub.test", "A"), "sub.test. 60 IN NS ns.sub.test.", "ns.sub.test. 60 IN A 192.0.2.2", "AUTHORITY: 1, ADDITIONAL: 2")
	contains(t, dig(t, s.addr, "broken.test", "A"), "status: SERVFAIL")
	contains(t, dig(t, s.addr, "elsewhere", "A"), "status: REFUSED")
	contains(t, dig(t, s.addr, "+tcp", "test", "MX"), "test. 60 IN MX 10 mail.test.")
	contains(t, dig(t, s.addr, "+noedns", "test", "MX"), "test. 60 IN MX 10 mail.test.")
	contains(t, dig(t, s.addr, "big.test", "TXT"), "Truncated, retrying in TCP mode", "(TCP)")
}

func TestRecursorAnswersDig(t *testing.T) {
	t.Parallel()
	_, _, s := newInternet(t)
	contains(t, dig(t, s.addr, "www.example.com", "A"), "status: NOERROR", "flags: qr rd ra;",
		"www.example.com. 30 IN CNAME mail.example.com.", "A 127.0.0.113")
	contains(t, dig(t, s.addr, "gone.example.com", "A"), "status: NXDOMAIN", "IN SOA")
	contains(t, dig(t, s.addr, "broken.example.com", "A"), "status: SERVFAIL")
	contains(t, dig(t, s.addr, "big.example.com", "TXT"), "Truncated, retrying in TCP mode", "status: NOERROR")
}

func TestClientAsksPeer(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/peer.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddrPort("127.0.0.1:" + strings.TrimSpace(port))
	c := NewClient(ClientOptions{Servers: []netip.AddrPort{server}})
	for _, host := range []string{"host.test", "tcp.test"} {
		addrs, answers, err := c.Addrs(t.Context(), host)
		if err != nil || len(addrs) != 1 || addrs[0].String() != "192.0.2.7" || answers[0].TTL != 300 || answers[1].Code != CodeNoData {
			t.Errorf("%s: %v, %+v, %v", host, addrs, answers, err)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
