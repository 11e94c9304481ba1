package breaker

import (
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	s    *State
	next traffic.Handler
}

// With bounds attempts before next. Nil policy: they are counted all the same, since the next policy may have limits.
func With(p *Policy, s *State) traffic.Wrap {
	if p == nil {
		p = &Policy{}
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, s, next} }
}

func (h *handler) Serve(c *traffic.Call) error {
	if !h.p.Take(h.s, Of(c)) {
		v := decision.Verdict{Ref: &h.p.Ref, Outcome: decision.Deny, Reason: decision.Limited}
		c.Trail.Took("breaker", v, "")
		return c.Reply(503, v)
	}
	c.AtEnd(h)
	return h.next.Serve(c)
}

// End gives back what the attempt took. It is registered once, and run once: by Rewind or by the call's end.
func (h *handler) End(c *traffic.Call, _, _ time.Time) { h.s.Give(Of(c)) }
