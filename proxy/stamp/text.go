package stamp

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/traffic"
)

// Port is a port in digits, in memory of the header's.
func Port(h *traffic.Header, port uint16) string {
	var b [5]byte
	return h.LendBytes(strconv.AppendUint(b[:0], uint64(port), 10))
}

// Addr is an address in memory of the header's; empty: there is none.
func Addr(h *traffic.Header, a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	var b [48]byte
	return h.LendBytes(a.AppendTo(b[:0]))
}

// Host is a host that another proxy says was called. It is only shown; what could not be a name is left out.
func Host(s string) string {
	if len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}) {
		return ""
	}
	return s
}
