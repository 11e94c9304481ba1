// Package hbone holds the codecs of HBONE: an HTTP/2 CONNECT over mutual TLS whose :authority is where the caller wanted to
// go, and whose baggage and forwarded fields say who it is (as Istio's ztunnel and waypoints speak it). The fields are hints
// of the peer: identity comes from its certificate. Pure and append-style; standard library only.
package hbone

import (
	"net/netip"
	"strconv"
	"strings"
)

// Port is where HBONE is spoken.
const Port = 15008

// Authority is the destination of a tunnel: an address, or a name that the receiver is to resolve.
type Authority struct {
	Addr netip.AddrPort // valid if the host is an address
	Host string         // else its name, in lower case
	Port uint16
}

// ParseAuthority reads an :authority; the port is required, and is not 0 (RFC 9113 section 8.5).
func ParseAuthority(s string) (Authority, bool) {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 {
		return Authority{}, false
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 || s[i+1] == '+' {
		return Authority{}, false
	}
	a := Authority{Port: uint16(port)}
	host := s[:i]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return Authority{}, false
		}
		ip, err := netip.ParseAddr(inner)
		if err != nil || !ip.Is6() {
			return Authority{}, false
		}
		a.Addr = netip.AddrPortFrom(ip.Unmap(), a.Port)
		return a, true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		a.Addr = netip.AddrPortFrom(ip, a.Port)
		return a, true
	}
	if !validHost(host) {
		return Authority{}, false
	}
	a.Host = strings.ToLower(host)
	return a, true
}

// validHost takes names as DNS has them; one that ends in digits would be a malformed address.
func validHost(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !(c >= 'a' && c <= 'z' || s[i] >= '0' && s[i] <= '9' || s[i] == '-' || s[i] == '_' || s[i] == '.' && i > 0 && s[i-1] != '.') {
			return false
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return last == "" && s != "" || strings.Trim(last, "0123456789") != ""
}

// Append writes the authority.
func (a Authority) Append(b []byte) []byte {
	if a.Addr.IsValid() {
		return a.Addr.AppendTo(b)
	}
	b = append(append(b, a.Host...), ':')
	return strconv.AppendUint(b, uint64(a.Port), 10)
}
