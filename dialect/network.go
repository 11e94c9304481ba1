package dialect

import (
	"errors"
	"net/netip"
)

var errNoNetwork = errors.New("neither an address nor a CIDR block")

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
