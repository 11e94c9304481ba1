package redirect

import (
	"cmp"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With answers calls before they reach next; nil policy: nothing.
func With(p *Policy) traffic.Wrap {
	if p == nil {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

// Serve: a connection has no URL and goes on. gRPC knows no redirects, and is given the status as it stands.
func (h *handler) Serve(c *traffic.Call) error {
	if c.Proto == traffic.TCP {
		return h.next.Serve(c)
	}
	v := decision.Verdict{Ref: &h.p.Ref, Reason: decision.Matched}
	to := h.p.Location(&c.Attrs)
	c.Trail.Took("redirect", v, to)
	c.Because(v)
	c.Response.Header.Set("location", to)
	c.Response.Status, c.Response.Local = cmp.Or(h.p.Status, 302), true
	return nil
}
