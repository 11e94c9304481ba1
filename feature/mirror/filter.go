package mirror

import (
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// maxBody is what is kept of a request to copy it; as much as retries keep, since they share it.
const maxBody = 64 << 10

type handler struct {
	copies []copier
	next   traffic.Handler
}

// copier makes one policy's copies.
type copier struct {
	p  *Policy
	to traffic.Handler
}

// With mirrors calls to the handlers to, one for each policy. No policies: nothing.
func With(policies []Policy, to []traffic.Handler) traffic.Wrap {
	if len(policies) == 0 {
		return nil
	}
	h := handler{}
	for i := range policies {
		h.copies = append(h.copies, copier{&policies[i], to[i]})
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{h.copies, next} }
}

func (h *handler) Serve(c *traffic.Call) error {
	for i := range h.copies {
		m := &h.copies[i]
		if !m.p.Wants(&c.Attrs, i) {
			continue
		}
		if c.Trail != nil {
			c.Trail.Took("mirror", decision.Verdict{Ref: &m.p.Ref, Reason: decision.Matched}, m.p.Target.String())
		}
		c.Keep(maxBody)
		c.AtEnd(m)
	}
	return h.next.Serve(c)
}

// End copies the call, whose body is complete now. One whose body was longer than what is kept is not copied, and says so.
func (m *copier) End(c *traffic.Call, _, now time.Time) {
	f, ok := c.Fork(now)
	if !ok {
		c.Because(decision.Verdict{Ref: &m.p.Ref, Reason: decision.Limited})
		return
	}
	f.Authority, f.Target = m.p.authority(f.Authority), m.p.Target
	c.Host.Detach(f, m.to)
}
