package dns

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// SystemServers returns the name servers of resolv.conf(5).
func SystemServers() ([]netip.AddrPort, error) {
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("find the system's name servers: %w; name some yourself", err)
	}
	defer f.Close()
	var servers []netip.AddrPort
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, 53))
		}
	}
	if len(servers) == 0 { // the manual page: then the one on this machine
		servers = append(servers, netip.MustParseAddrPort("127.0.0.1:53"))
	}
	return servers, nil
}
