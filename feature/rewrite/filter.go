package rewrite

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With rewrites before next; p is compiled. Nil policy: nothing.
func With(p *Policy) traffic.Wrap {
	if p == nil {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

// Serve leaves a call without a path as it is: a connection, CONNECT, and OPTIONS of the whole server ("*").
func (h *handler) Serve(c *traffic.Call) error {
	if c.Proto == traffic.TCP {
		return h.next.Serve(c)
	}
	if len(c.Path) > 0 && c.Path[0] == '/' {
		c.Path = h.p.NewPath(c.Path)
	}
	if h.p.Authority != "" {
		c.Authority = h.p.Authority
	}
	if c.Trail != nil {
		c.Trail.Took("rewrite", decision.Verdict{Ref: &h.p.Ref, Reason: decision.Matched}, c.Authority+c.Path)
	}
	return h.next.Serve(c)
}
