package classify

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With has p judge the answers of the calls that pass here.
func With(p *Policy) traffic.Wrap {
	if p == nil || len(p.Classes) == 0 {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

func (h *handler) Serve(c *traffic.Call) error {
	c.Judge = h.p
	c.Trail.Took("classify", decision.Verdict{Ref: &h.p.Ref, Reason: decision.Matched}, "")
	return h.next.Serve(c)
}
