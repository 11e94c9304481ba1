package proxy

import (
	"strconv"

	"github.com/weft-mesh/weft/traffic"
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

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}
