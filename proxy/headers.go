package proxy

import (
	"net/netip"
	"strconv"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// Headers that proxies tell each other by, under the protocol "weft/1". They never reach an application, and are taken from
// nobody else.
const (
	portHeader    = "weft-port"    // of the application that is called
	protoHeader   = "weft-proto"   // what it is to be spoken to in: http/1.1, http/2, grpc, tcp
	serviceHeader = "weft-service" // the host that was called, for the callee's records
	methodHeader  = "weft-method"  // of a request that asks for another protocol, if it is no GET: an extended CONNECT hides it
	tryHeader     = "weft-try"     // of a connection whose protocol is not known yet: nothing may come of it
	statusHeader  = "weft-status"  // of a response: what the application really answered
)

// withoutH2C turns a request to change to HTTP/2 into one that does not ask: RFC 9113 section 3.1 has done away with it, and what is
// said after such a change no policy would see.
func withoutH2C(c *traffic.Call) {
	if c.Upgrade == "h2c" && c.Method != "CONNECT" {
		c.Upgrade, c.Body = "", nil
	}
}

// within is the way of a call, or, of one that may be forwarded no further, an answer: "Each intermediary that receives a TRACE or
// OPTIONS request containing a Max-Forwards header field MUST check and update its value" (RFC 9110 section 7.6.2).
func within(c *traffic.Call, way traffic.Handler) traffic.Handler {
	if c.Method != "OPTIONS" && c.Method != "TRACE" {
		return way
	}
	v, _ := c.Header.Get("max-forwards")
	switch n, ok := http1.ParseLength(v); {
	case !ok:
		return way
	case n == 0:
		return lastHop{}
	default:
		c.Header.Set("max-forwards", strconv.FormatInt(n-1, 10))
		return way
	}
}

// lastHop answers in its own name. It has nothing to say of what it can do, and does not show a TRACE what hops before it have added.
type lastHop struct{}

func (lastHop) Serve(c *traffic.Call) error {
	status := 200
	if c.Method == "TRACE" {
		status = 501
	}
	return c.Reply(status, decision.Verdict{})
}

// take removes a header and returns its value.
func take(h *traffic.Header, name string) string {
	v, ok := h.Get(name)
	if ok {
		h.Del(name)
	}
	return v
}

var protoNames = map[string]traffic.Proto{
	traffic.HTTP1.String(): traffic.HTTP1, traffic.HTTP2.String(): traffic.HTTP2, traffic.GRPC.String(): traffic.GRPC, traffic.TCP.String(): traffic.TCP,
}

// portText is a port in digits, in memory of the header's.
func portText(h *traffic.Header, port uint16) string {
	var b [5]byte
	return h.LendBytes(strconv.AppendUint(b[:0], uint64(port), 10))
}

// addrText is an address in memory of the header's; empty: there is none.
func addrText(h *traffic.Header, a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	var b [48]byte
	return h.LendBytes(a.AppendTo(b[:0]))
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}
