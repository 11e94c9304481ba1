package fault

import (
	"fmt"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	p    *Policy
	next traffic.Handler
}

// With disturbs calls before next. Nil policy: nothing.
func With(p *Policy) traffic.Wrap {
	if p == nil {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, next} }
}

func (h *handler) Serve(c *traffic.Call) error {
	delay, abort := h.p.Decide(&c.Attrs)
	v := decision.Verdict{Ref: &h.p.Ref, Reason: decision.Injected}
	if delay {
		c.Because(v)
		if c.Trail != nil {
			c.Trail.Took("fault", v, "delay of "+h.p.Delay.String())
		}
		if err := c.Host.Sleep(c, h.p.Delay); err != nil {
			return c.Fail(err)
		}
		c.Now = c.Host.Now()
	}
	h.explain(c, abort)
	if !abort {
		return h.next.Serve(c)
	}
	v.Outcome = decision.Deny
	return h.abort(c, v)
}

// abort answers each kind of call in its own words.
func (h *handler) abort(c *traffic.Call, v decision.Verdict) error {
	switch {
	case h.p.GRPC == nil:
		return c.Reply(h.p.Status, v)
	case c.Proto == traffic.GRPC:
		return c.ReplyGRPC(*h.p.GRPC, v)
	}
	return c.Reply(traffic.HTTPStatus(*h.p.GRPC), v)
}

// explain lists the ways too where the call goes on: it might have been aborted.
func (h *handler) explain(c *traffic.Call, abort bool) {
	if c.Trail == nil || h.p.AbortShare == 0 {
		return
	}
	step := decision.Step{Side: c.Trail.Side, Stage: "fault", Verdict: decision.Verdict{Ref: &h.p.Ref, Reason: decision.Injected},
		Took: abort, Note: fmt.Sprintf("abort %g %% of calls", float64(h.p.AbortShare)/(All/100)), Options: h.p.Ways()}
	if abort {
		step.Verdict.Outcome = decision.Deny
	}
	c.Trail.Steps = append(c.Trail.Steps, step)
}
