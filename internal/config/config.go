// Package config is the configuration of a node: one struct, loaded from a TOML file, checked as a whole.
// It is a value that is handed down, never a global.
package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Config is a node's configuration. The reference in docs/ is generated from these comments.
type Config struct {
	// Hostname is the name in greetings, Received and Authentication-Results. Required.
	Hostname string
	// Data is the directory of the embedded store, the control socket and self-made certificates. Required.
	Data string
	// Store is "" for the embedded store in Data, or where the database is.
	Store StoreURL
	// Bodies is where large bodies lie; the zero value is the store.
	Bodies Bodies

	Listen     Listen
	TLS        TLS
	Proxy      Proxy
	Relay      Relay
	Auth       Auth
	Submission Submission
	Resolver   Resolver
	Queue      Queue
	Limits     Limits
	Domains    []Domain
	Routes     []Route
}

// Listen has the listeners: lists of address:port; empty means off.
type Listen struct {
	SMTP        []netip.AddrPort // MTA to MTA, STARTTLS
	Submission  []netip.AddrPort // clients, STARTTLS, AUTH required
	Submissions []netip.AddrPort // clients, TLS from the first byte, AUTH required
	POP3        []netip.AddrPort // STLS
	POP3S       []netip.AddrPort // TLS from the first byte
	DNS         []netip.AddrPort // not built yet
	HTTP        []netip.AddrPort // metrics and health
}

// TLS has the certificate; both empty: self-signed, made once in Data.
type TLS struct {
	Cert string // file, PEM
	Key  string // file, PEM
}

// Proxy names the proxies that may say, by PROXY protocol v2, for whom they connect.
type Proxy struct {
	From []netip.Prefix // networks of the proxies; default none
}

// Relay says who may relay without AUTH, and from where we deliver.
type Relay struct {
	Trusted []netip.Prefix // networks that may relay without AUTH; default none
	Source  []netip.Addr   // outbound addresses; default: those of the smtp listeners unless wildcard
}

// Auth governs logins.
type Auth struct {
	CleartextFrom []netip.Prefix // networks that may log in without TLS (SMTP, POP3); default none
	BanAfter      int            // failed logins within 15 minutes that ban an address; default 10; 0: never
	BanTime       time.Duration  // how long; default 15m
}

// Submission governs what clients may hand in.
type Submission struct {
	NormaliseLineEnds bool // a bare CR or LF in a message becomes CR LF; default: the message is refused
}

// Resolver says whom to ask for names.
type Resolver struct {
	Servers []netip.AddrPort // default: those of resolv.conf
}

// Queue is the schedule of retries.
type Queue struct {
	Retry       []time.Duration // delays between attempts, then the last one again until Expire
	Expire      time.Duration   // age at which a message is given up
	Connections int             // attempts at one next hop at the same time
	Rate        float64         // messages a second to one next hop; 0: as many as it takes
}

// Limits bound what others can make us do.
type Limits struct {
	MessageSize    int64   // octets
	Recipients     int     // of one message
	MinFree        int64   // octets free on the disk of Data; below it mail is refused with 452
	HeaderSize     int64   // octets of a message's header
	Received       int     // number of Received fields from which on a message is in a loop
	MailboxSize    int64   // octets of all mail of an account that has no quota of its own; 0: any
	RatePerAddress float64 // messages a second from one stranger's address; 0: off
	RatePerAccount float64 // messages a second from one account; 0: off

	Sessions           int           // of SMTP, and of POP3, at the same time
	SessionsPerAddress int           // of one IPv4 address or IPv6 /64
	Errors             int           // of one session, before it is closed
	CommandTimeout     time.Duration // for a command
	DataTimeout        time.Duration // for the next octets of a message
	MinRate            int64         // octets a second of a message
	CommitTime         time.Duration // of a commit to the store; beyond it new mail is refused with 451
}

// Domain is a domain whose mail we take.
type Domain struct {
	Name       string // A-labels, lower case
	Postmaster string // an address; default: the domain's first account
	NoSCRAM    bool   // its accounts get no SCRAM keys, and those that they have are not used
}

// Route says how mail for some domains leaves, where that is not by their MX records and the rules for everybody.
type Route struct {
	Domains      []string // A-labels, lower case; "*.example.test": below it; "*": all others
	Via          []Hop    // hosts that take the mail, tried in this order; empty: the domain's MX hosts
	TLS          string   // RouteTLS…
	CA           string   // file, PEM: who may have signed the hosts' certificates; "": the system's authorities
	User         string   // login at the hosts; "": none
	PasswordFile string
	Connections  int     // at the same time; 0: that of Queue
	Rate         float64 // messages a second; 0: that of Queue
}

// Values of Route.TLS.
const (
	RouteTLSOpportunistic = "opportunistic" // if offered, whatever the certificate says
	RouteTLSRequired      = "required"      // STARTTLS, with a certificate that is valid for the host
	RouteTLSImplicit      = "implicit"      // TLS from the first byte, with such a certificate
)

// Hop is a host that takes mail.
type Hop struct {
	Host string     // A-labels, lower case; "" if Addr is valid
	Addr netip.Addr // of a host that is named by its address
	Port uint16
}

// String is the hop as it is written: "mail.example.test:25".
func (h Hop) String() string {
	host := h.Host
	if h.Addr.IsValid() {
		host = h.Addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(h.Port)))
}

// Name names the route where its hosts are given, as a next hop; "" where MX records are followed.
func (r Route) Name() string {
	var hops []string
	for _, h := range r.Via {
		hops = append(hops, h.String())
	}
	return strings.Join(hops, ", ")
}
