package setup

import (
	"net"
	"net/netip"
)

// Record is a DNS record to publish.
type Record struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// records are those that a mail domain needs. Where the address is not known, the value says so.
func records(o Options) []Record {
	typ, addr := "A", "(this server's address)"
	if o.Addr.IsValid() {
		addr = o.Addr.String()
		if o.Addr.Is6() {
			typ = "AAAA"
		}
	}
	host, domain := o.Hostname+".", o.Domain+"."
	return []Record{
		{host, typ, addr, "where the server is"},
		{domain, "MX", "10 " + host, "that it takes the domain's mail"},
		{"(the address' reverse name)", "PTR", host, "that the address is this server's: its owner, your provider, sets it; many servers refuse mail without it"},
		{domain, "TXT", `"v=spf1 mx -all"`, "that mail of the domain comes from this server only (SPF)"},
		{host, "TXT", `"v=spf1 a -all"`, "the same for the server's own reports"},
		{"_dmarc." + domain, "TXT", `"v=DMARC1; p=none; rua=mailto:` + o.Account.String() + `"`, "who hears of forged mail (DMARC)"},
		{"_submissions._tcp." + domain, "SRV", "0 1 465 " + host, "where mail clients send (RFC 8314)"},
		{"_submission._tcp." + domain, "SRV", "10 1 587 " + host, "the same with STARTTLS (RFC 6186)"},
		{"_pop3s._tcp." + domain, "SRV", "0 1 995 " + host, "where they get mail (RFC 6186)"},
		{"_imap._tcp." + domain, "SRV", "0 0 0 .", "that IMAP is not offered"},
		{"_imaps._tcp." + domain, "SRV", "0 0 0 .", "the same"},
	}
}

// publicAddr is the first address of this machine that the world can reach; invalid if it has none, as behind NAT.
func publicAddr() netip.Addr {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}
	}
	var six netip.Addr
	for _, i := range interfaces {
		prefix, err := netip.ParsePrefix(i.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() || prefix.Addr().IsPrivate() {
			continue
		}
		if prefix.Addr().Is4() {
			return prefix.Addr()
		}
		if !six.IsValid() {
			six = prefix.Addr()
		}
	}
	return six
}
