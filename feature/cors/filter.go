package cors

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With answers preflight requests, and says in answers to others whether scripts may have them. Nil policy: nothing.
func With(p *Policy) traffic.Wrap {
	if p == nil {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

// Serve: connections have no origin, and neither have most calls.
func (h *handler) Serve(c *traffic.Call) error {
	if c.Proto == traffic.TCP {
		return h.next.Serve(c)
	}
	origin, allowed := h.p.Origin(&c.Attrs)
	v := decision.Verdict{Ref: &h.p.Ref, Reason: decision.Matched}
	switch asks := Preflight(&c.Attrs); {
	case origin == "":
		return h.next.Serve(c)
	case asks && (allowed || !h.p.Forward):
		return h.preflight(c, origin, allowed, v)
	case !allowed: // the browser keeps the answer from the script, since nothing in it allows it to have it
		if c.Trail != nil {
			c.Trail.Took("cors", v, "not for scripts of "+origin)
		}
		err := h.next.Serve(c)
		if !h.p.Forward {
			withhold(&c.Response.Header)
		}
		return err
	}
	if c.Trail != nil {
		c.Trail.Took("cors", v, "for scripts of "+origin)
	}
	err := h.next.Serve(c)
	h.p.share(&c.Response.Header, origin)
	return err
}

func (h *handler) preflight(c *traffic.Call, origin string, allowed bool, v decision.Verdict) error {
	note := "scripts of " + origin + " may not call"
	if allowed {
		note = "scripts of " + origin + " may call"
		h.p.share(&c.Response.Header, origin)
		h.p.answer(&c.Response.Header, &c.Attrs)
	}
	c.Trail.Took("cors", v, note)
	c.Because(v)
	c.Response.Status, c.Response.Local = 200, true
	return nil
}
