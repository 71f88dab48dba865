package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waybill/internal/dns"
)

// Resolver tells what the world sees of the domain.
type Resolver interface {
	MX(ctx context.Context, domain string) ([]dns.MX, []dns.Answer, error)
	Addrs(ctx context.Context, host string) ([]netip.Addr, []dns.Answer, error)
	Reverse(ctx context.Context, addr netip.Addr) ([]string, []dns.Answer, error)
}

// Verdict says how a check went.
type Verdict string

const (
	Good    Verdict = "good"
	Bad     Verdict = "to do"
	Unknown Verdict = "not checked"
)

// Check is something that must be so for mail to flow.
type Check struct {
	What    string  `json:"what"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
}

// checkTime bounds all questions together.
const checkTime = 15 * time.Second

func checks(ctx context.Context, o Options, r Resolver) []Check {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return []Check{
		checkAddress(ctx, o, r), checkMX(ctx, o, r), checkReverse(ctx, o, r), checkPorts(),
		{"port 25 from the world", Unknown, "only somebody outside can see whether a firewall or your provider lets it in; ask them to connect to " + o.Hostname + " on port 25"},
		{"port 25 to the world", Unknown, "many providers close it until they are asked; if the queue fills with \"no connection in time\", it is closed: use a [[route]]"},
		{"the certificate", Bad, "it is self-signed: other servers take that, mail clients ask; get one for " + o.Hostname + " and name it in [tls]"},
	}
}

// failed is the verdict where the DNS did not give what was asked for.
func failed(what string, err error) Check {
	if errors.Is(err, dns.ErrNotFound) {
		return Check{what, Bad, "there is none yet; publish the records"}
	}
	return Check{what, Unknown, "the DNS could not be asked: " + err.Error()}
}

func checkAddress(ctx context.Context, o Options, r Resolver) Check {
	what := "the address of " + o.Hostname
	addrs, _, err := r.Addrs(ctx, o.Hostname)
	switch {
	case err != nil:
		return failed(what, err)
	case o.Addr.IsValid() && !slices.Contains(addrs, o.Addr):
		return Check{what, Bad, fmt.Sprintf("it is %v, and this machine has %s", addrs, o.Addr)}
	case !o.Addr.IsValid():
		return Check{what, Unknown, fmt.Sprintf("it is %v; this machine has no public address to compare it with", addrs)}
	}
	return Check{what, Good, o.Addr.String()}
}

func checkMX(ctx context.Context, o Options, r Resolver) Check {
	what := "the MX record of " + o.Domain
	records, _, err := r.MX(ctx, o.Domain)
	if err != nil {
		return failed(what, err)
	}
	var hosts []string
	for _, mx := range records {
		host := strings.TrimSuffix(mx.Host, ".")
		hosts = append(hosts, host)
		if strings.EqualFold(host, o.Hostname) {
			return Check{what, Good, o.Hostname}
		}
	}
	return Check{what, Bad, "it names " + strings.Join(hosts, ", ")}
}

func checkReverse(ctx context.Context, o Options, r Resolver) Check {
	what := "the reverse name"
	if !o.Addr.IsValid() {
		return Check{what, Unknown, "this machine has no public address to ask for"}
	}
	names, _, err := r.Reverse(ctx, o.Addr)
	if err != nil {
		return failed(what+" of "+o.Addr.String(), err)
	}
	for _, name := range names {
		if strings.EqualFold(strings.TrimSuffix(name, "."), o.Hostname) {
			return Check{what, Good, o.Hostname}
		}
	}
	return Check{what, Bad, fmt.Sprintf("%s is called %s, and must be %s", o.Addr, strings.Join(names, ", "), o.Hostname)}
}

// checkPorts looks whether the ports are free, and may be used by whoever runs this.
func checkPorts() Check {
	const what = "the ports"
	var taken []string
	for _, port := range []string{"25", "587", "465", "110", "995"} {
		l, err := net.Listen("tcp4", "0.0.0.0:"+port)
		if err != nil {
			taken = append(taken, port)
			continue
		}
		l.Close()
	}
	if len(taken) == 0 {
		return Check{what, Good, "25, 587, 465, 110 and 995 are free"}
	}
	return Check{what, Bad, strings.Join(taken, ", ") + " cannot be opened: another server has them (ss -lntp shows which), or you may not use ports below 1024, which the unit of systemd may"}
}
