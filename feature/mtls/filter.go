package mtls

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With refuses what a strict port gets in the clear.
func With(p *Policy) traffic.Wrap {
	if p == nil {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

func (h *handler) Serve(c *traffic.Call) error {
	if v := h.p.Judge(c.Port(), c.Secure); v.Outcome == decision.Deny {
		c.Trail.Took("mtls", v, "")
		return c.Reply(403, v)
	}
	return h.next.Serve(c)
}
