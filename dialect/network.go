package dialect

import (
	"errors"
	"net/netip"
)

var errNoNetwork = errors.New("neither an address nor a CIDR block")

// ClusterNetworks is where clients of a cluster are, as Linkerd's chart has it (clusterNetworks), and on one machine.
var ClusterNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fd00::/8"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// Network reads a block of addresses, as 10.0.0.0/8, or a single one. It refuses an IPv4 address in IPv6 clothes and one with a
// zone: no caller's address is ever equal to these, so that an exception of that form would let pass whom it names.
func Network(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if a, e := netip.ParseAddr(text); err != nil && e == nil && a.Zone() == "" {
		p, err = a.Prefix(a.BitLen())
	}
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errNoNetwork
	}
	return p.Masked(), nil
}
