package chain

import (
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/traffic"
)

// What happens to headers from hop to hop. The proxy does it, and explain does it too, since policies read them.
//
// What the mesh adds is taken from those only who may say it:
//
//   - an application may pass on x-forwarded-* and x-request-id, as a gateway's backend does, but not what proxies tell each other
//     or what they would obey (x-envoy-*, l5d-*, weft-*), nor who called it (x-forwarded-client-cert);
//   - another proxy, known by its certificate, may say x-forwarded-*: it has added the caller's address itself;
//   - whoever comes from outside may say nothing of it;
//   - but a proxy in front of the mesh that is trusted, by its address, may say x-forwarded-* and x-real-ip.

// FromApp strips what an application may not say.
func FromApp(h *traffic.Header) { Strip(h, internalHeader) }

// FromPeer strips what another proxy may not say.
func FromPeer(h *traffic.Header) { Strip(h, internalHeader) }

// FromOutside strips what a caller from outside may not say.
func FromOutside(h *traffic.Header) { Strip(h, forwardedHeader) }

// FromTrusted strips what a trusted proxy in front of the mesh may not say, and what it may have been told by others: of
// x-forwarded-for stays the client that the last of the trusted proxies in a row has seen, and those proxies. Forwarded (RFC 7239)
// goes, since weft does not read it.
func FromTrusted(h *traffic.Header, trusted func(netip.Addr) bool) {
	Strip(h, func(name string) bool { return internalHeader(name) || name == "forwarded" })
	v, ok := h.Joined("x-forwarded-for")
	if !ok {
		return
	}
	switch kept := believed(v, trusted); kept {
	case v:
	case "":
		h.Del("x-forwarded-for")
	default:
		h.Set("x-forwarded-for", kept)
	}
}

// believed is the end of a list of addresses: its last ones that are trusted, and the one before them.
func believed(list string, trusted func(netip.Addr) bool) string {
	at := len(list) // the list is believed from here on
	for at > 0 {
		i := strings.LastIndexByte(list[:max(at-1, 0)], ',') + 1
		a, ok := parseAddr(strings.Trim(list[i:at], " ,\t"))
		if !ok {
			break
		}
		if at = i; !trusted(a) {
			break
		}
	}
	return strings.TrimLeft(list[at:], " \t")
}

// parseAddr reads an address, which some write with a port.
func parseAddr(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap(), true
	}
	a, err := netip.ParseAddrPort(s)
	return a.Addr().Unmap(), err == nil
}

func internalHeader(name string) bool {
	switch name[0] {
	case 'w':
		return strings.HasPrefix(name, "weft-")
	case 'l':
		return strings.HasPrefix(name, "l5d-")
	case 'x':
		return strings.HasPrefix(name, "x-envoy-") || name == "x-forwarded-client-cert"
	}
	return false
}

func forwardedHeader(name string) bool {
	return internalHeader(name) || strings.HasPrefix(name, "x-forwarded-") || name == "forwarded" || name == "x-real-ip"
}

// Strip deletes the headers that which names. It looks first: most calls have nothing to delete.
func Strip(h *traffic.Header, which func(string) bool) {
	for {
		found := ""
		for name := range h.All {
			if name != "" && which(name) {
				found = name
				break
			}
		}
		if found == "" {
			return
		}
		h.Del(found)
	}
}

// Forwarded adds an address to x-forwarded-for, and says which scheme the call came by.
func Forwarded(h *traffic.Header, addr, scheme string) {
	if v, ok := h.Joined("x-forwarded-for"); ok {
		h.Set("x-forwarded-for", v+", "+addr)
	} else if addr != "" {
		h.Add("x-forwarded-for", addr)
	}
	if _, ok := h.Get("x-forwarded-proto"); !ok {
		h.Add("x-forwarded-proto", scheme)
	}
}
