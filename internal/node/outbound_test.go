package node

import (
	"net/netip"
	"testing"

	"waybill/internal/config"
)

// nodeListening is a node of which only the addresses matter.
func nodeListening(smtp []string, source ...string) *core {
	var n core
	for _, s := range smtp {
		n.config.Listen.SMTP = append(n.config.Listen.SMTP, netip.MustParseAddrPort(s))
	}
	for _, s := range source {
		n.config.Relay = config.Relay{Source: append(n.config.Relay.Source, netip.MustParseAddr(s))}
	}
	return &n
}

func TestSource(t *testing.T) {
	both := []string{"127.0.0.1:25", "203.0.113.5:25", "[2001:db8::5]:25"}
	for _, test := range []struct {
		node         *core
		target, want string
	}{
		{nodeListening(both), "198.51.100.1:25", "203.0.113.5"},
		{nodeListening(both), "[2001:db8::9]:25", "2001:db8::5"},
		{nodeListening(both), "127.0.0.53:53", "127.0.0.1"},
		{nodeListening([]string{"203.0.113.5:25"}), "127.0.0.53:53", "invalid IP"},
		{nodeListening([]string{"0.0.0.0:25"}), "198.51.100.1:25", "invalid IP"},
		{nodeListening([]string{"0.0.0.0:25"}, "203.0.113.7"), "198.51.100.1:25", "203.0.113.7"},
		{nodeListening([]string{"127.0.0.113:25"}), "127.0.0.123:25", "127.0.0.113"},
	} {
		if got := test.node.source(test.target).String(); got != test.want {
			t.Errorf("to %s from %v: %s, want %s", test.target, test.node.sources(), got, test.want)
		}
	}
}

func TestIsSelf(t *testing.T) {
	for _, test := range []struct {
		listen, addr string
		want         bool
	}{
		{"0.0.0.0:25", "127.0.0.1", true},
		{"0.0.0.0:25", "0.0.0.0", true},
		{"0.0.0.0:25", "198.51.100.1", false},
		{"127.0.0.113:25", "127.0.0.113", true},
		{"127.0.0.113:25", "127.0.0.123", false},
		{"127.0.0.113:2525", "127.0.0.113", false},
	} {
		if got := nodeListening([]string{test.listen}).isSelf(netip.AddrPortFrom(netip.MustParseAddr(test.addr), 25)); got != test.want {
			t.Errorf("listening on %s: isSelf(%s) = %v", test.listen, test.addr, got)
		}
	}
}
