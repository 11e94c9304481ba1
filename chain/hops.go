package chain

import (
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
//   - whoever comes from outside may say nothing of it.

// FromApp strips what an application may not say.
func FromApp(h *traffic.Header) { Strip(h, internalHeader) }

// FromPeer strips what another proxy may not say.
func FromPeer(h *traffic.Header) { Strip(h, internalHeader) }

// FromOutside strips what a caller from outside may not say.
func FromOutside(h *traffic.Header) { Strip(h, forwardedHeader) }

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
