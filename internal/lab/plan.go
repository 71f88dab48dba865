package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// The cast of the scenario with the addresses that the zones name.
var (
	rootDNS      = host{"ns.root", "root DNS server", "127.0.0.101"}
	comDNS       = host{"ns.com", "TLD DNS server", "127.0.0.102"}
	reverseDNS   = host{"ns.in-addr.arpa", "reverse DNS server", "127.0.0.103"}
	senderDNS    = host{"ns.sendingemail.com", "DNS server of sendingemail.com", "127.0.0.111"}
	senderNames  = host{"resolver.sendingemail.com", "resolver of the sender's side", "127.0.0.112"}
	senderMail   = host{"mail.sendingemail.com", "mail server", "127.0.0.113"}
	senderClient = host{"sender.sendingemail.com", "sender's client", "127.0.0.24"}
	receiverDNS  = host{"ns.receivingemail.com", "DNS server of receivingemail.com", "127.0.0.121"}
	receiverName = host{"resolver.receivingemail.com", "resolver of the receiver's side", "127.0.0.122"}
	receiverMail = host{"mail.receivingemail.com", "mail server", "127.0.0.123"}
	recvClient   = host{"receiver.receivingemail.com", "receiver's client", "127.0.0.25"}
	terminal     = host{"terminal.sendingemail.com", "your terminal", "127.0.0.1"}
	stranger     = host{"stranger.example.net", "a stranger", "127.0.0.66"}
)

// host is one computer of the lab.
type host struct{ name, role, addr string }

func (h host) ip() netip.Addr { return netip.MustParseAddr(h.addr) }

func (h host) port(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.ip(), port) }

// authority is a DNS server with the zones that it holds.
type authority struct {
	host  host
	zones []string // origins; the file is zones/<origin>.zone
}

var authorities = []authority{
	{rootDNS, []string{"."}},
	{comDNS, []string{"com.", "nomail.com."}},
	{reverseDNS, []string{"in-addr.arpa."}},
	{senderDNS, []string{"sendingemail.com."}},
	{receiverDNS, []string{"receivingemail.com."}},
}

var resolvers = []host{senderNames, receiverName}

// protocols are the listeners of each mail server, by their keys in [listen].
var protocols = []struct {
	name string
	port uint16
}{
	{"smtp", 25}, {"submission", 587}, {"submissions", 465}, {"pop3", 110}, {"pop3s", 995},
}

const dnsPort = 53

// MaxNodes is how many nodes the receiving side can have.
const MaxNodes = 9

// receivers are the mail servers of the receiving side: the one of the scenario, or so many nodes of one store.
func receivers(nodes int) []host {
	if nodes == 0 {
		return []host{receiverMail}
	}
	var hosts []host
	for n := 1; n <= nodes; n++ {
		hosts = append(hosts, host{fmt.Sprintf("mx%d.receivingemail.com", n), receiverMail.role, fmt.Sprintf("127.0.0.13%d", n)})
	}
	return hosts
}

// records are what a zone says of the receiving side's mail servers. All take mail, with equal preference; with nodes the name
// that people type into their mail clients leads to each of them too.
func records(origin string, receivers []host) string {
	var b strings.Builder
	for _, h := range receivers {
		switch name, _, _ := strings.Cut(h.name, "."); origin {
		case "receivingemail.com.":
			fmt.Fprintf(&b, "@ MX 10 %s\n%s A %s\n", name, name, h.addr)
			if h != receiverMail {
				fmt.Fprintf(&b, "%s A %s\n", strings.TrimSuffix(receiverMail.name, "."+origin[:len(origin)-1]), h.addr)
			}
		case "in-addr.arpa.":
			a := h.ip().As4()
			fmt.Fprintf(&b, "%d.%d.%d.%d PTR %s.\n", a[3], a[2], a[1], a[0], h.name)
		}
	}
	return b.String()
}

// sockets lists everything that the lab listens on, with these mail servers on the receiving side.
func sockets(receivers []host) (tcp, udp []netip.AddrPort) {
	for _, a := range authorities {
		udp = append(udp, a.host.port(dnsPort))
	}
	for _, r := range resolvers {
		udp = append(udp, r.port(dnsPort))
	}
	tcp = append(tcp, udp...) // DNS over TCP too
	for _, h := range append([]host{senderMail}, receivers...) {
		for _, p := range protocols {
			tcp = append(tcp, h.port(p.port))
		}
	}
	return tcp, udp
}
