package lab

import (
	"net/netip"
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

// sockets lists everything that the lab listens on.
func sockets() (tcp, udp []netip.AddrPort) {
	for _, a := range authorities {
		udp = append(udp, a.host.port(dnsPort))
	}
	for _, r := range resolvers {
		udp = append(udp, r.port(dnsPort))
	}
	tcp = append(tcp, udp...) // DNS over TCP too
	for _, h := range []host{senderMail, receiverMail} {
		for _, p := range protocols {
			tcp = append(tcp, h.port(p.port))
		}
	}
	return tcp, udp
}
