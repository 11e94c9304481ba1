package timeout

import (
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type request struct {
	p    *Policy
	next traffic.Handler
}

// With bounds the whole call; it stands outside of retries. Nil or no bound: nothing.
func With(p *Policy) traffic.Wrap {
	if p == nil || p.Limit == 0 {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &request{p, next} }
}

// Serve: a gRPC call that its caller bounds more tightly keeps that bound.
func (h *request) Serve(c *traffic.Call) error {
	limit(c, h.p.Limit, &h.p.Ref, "request within ")
	if c.Proto == traffic.GRPC {
		if v, ok := c.Header.Get("grpc-timeout"); ok {
			if d, ok := ParseGRPC(v); ok {
				c.Limit(d, nil)
			}
		}
	}
	return h.next.Serve(c)
}

type attempt struct {
	p    *Policy
	next traffic.Handler
}

// Attempt bounds each attempt; it stands inside of retries, which undo its bound. Nil or no bound: nothing.
func Attempt(p *Policy) traffic.Wrap {
	if p == nil || p.Limit == 0 {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &attempt{p, next} }
}

func (h *attempt) Serve(c *traffic.Call) error {
	limit(c, h.p.Limit, &h.p.Ref, "attempt within ")
	return h.next.Serve(c)
}

func limit(c *traffic.Call, d time.Duration, ref *decision.Ref, note string) {
	if c.Trail != nil {
		c.Trail.Took("timeout", decision.Verdict{Ref: ref, Reason: decision.Matched}, note+d.String())
	}
	c.Limit(d, ref)
}
