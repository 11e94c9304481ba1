package chain

import (
	"strconv"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// WithoutH2C turns a request to change to HTTP/2 into one that does not ask: RFC 9113 section 3.1 has done away with it, and what is
// said after such a change no policy would see.
func WithoutH2C(c *traffic.Call) {
	if c.Upgrade == "h2c" && c.Method != "CONNECT" {
		c.Upgrade, c.Body = "", nil
	}
}

// Within is the way of a call, or, of one that may be forwarded no further, an answer: "Each intermediary that receives a TRACE or
// OPTIONS request containing a Max-Forwards header field MUST check and update its value" (RFC 9110 section 7.6.2).
func Within(c *traffic.Call, way traffic.Handler) traffic.Handler {
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
