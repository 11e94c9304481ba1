package headers

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With edits the request before next, and the response after it. Nil policy: nothing.
func With(p *Policy) traffic.Wrap {
	if p == nil {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

// Serve edits every response, also one that a later handler made, or that the engine will make in place of one that never came.
func (h *handler) Serve(c *traffic.Call) error {
	if c.Proto == traffic.TCP {
		return h.next.Serve(c)
	}
	if host, ok := h.p.Request.Host(); ok {
		c.Authority = host
	}
	h.p.Request.apply(&c.Header)
	c.Trail.Took("headers", decision.Verdict{Ref: &h.p.Ref, Reason: decision.Matched}, "")
	err := h.next.Serve(c)
	h.p.Response.apply(&c.Response.Header)
	return err
}

func (e *Edit) apply(h *traffic.Header) {
	for _, n := range e.Remove {
		h.Del(n)
	}
	for i := range e.Set {
		if f := &e.Set[i]; !pseudo(f.Name) {
			h.Set(f.Name, f.Value)
		}
	}
	for i := range e.Add {
		if f := &e.Add[i]; !pseudo(f.Name) {
			h.Add(f.Name, f.Value)
		}
	}
}
