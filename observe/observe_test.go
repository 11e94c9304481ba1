package observe

import (
	"errors"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func TestOf(t *testing.T) {
	h := &traffictest.Host{}
	start := traffictest.Epoch
	me, you := identity.Of("td", "ns", "me"), identity.Of("td", "ns", "you")
	rule := &decision.Ref{Kind: "Rule", Name: "r"}
	for _, x := range []struct {
		name string
		by   Reporter
		call func(*traffic.Call)
		ok   func(r *Record) bool
	}{
		{"an answer", Source, func(c *traffic.Call) { c.Response.Status = 200 }, func(r *Record) bool {
			return r.Status == 200 && r.Secure && !r.Failed && r.Head == time.Second && r.Took == 2*time.Second && r.To.ID == you && r.From.ID == me && !r.Denied()
		}},
		{"in the clear, because a policy says so", Source, func(c *traffic.Call) {
			c.Response.Status, c.Upstream = 200, &traffic.Upstream{Secure: traffic.Secure{Mode: traffic.Clear}}
		}, func(r *Record) bool { return !r.Secure }},
		{"a denial decides, whatever matched later", Destination, func(c *traffic.Call) {
			c.Because(decision.Verdict{Reason: decision.Matched})
			_ = c.Reply(403, decision.Verdict{Ref: rule, Outcome: decision.Deny, Reason: decision.NoRuleAllows})
			c.Because(decision.Verdict{Reason: decision.Matched})
		}, func(r *Record) bool {
			return r.Denied() && r.Deciding.Ref == rule && !r.Failed && r.Why() == "no rule allows: "+rule.String()
		}},
		{"a failure of the mesh is no denial", Source, func(c *traffic.Call) {
			c.Response.Err = errors.New("no way")
			_ = c.Reply(503, decision.Verdict{Outcome: decision.Deny, Reason: decision.ConnectFailed})
		}, func(r *Record) bool { return !r.Denied() && r.Failed && r.Why() == "connect failed: mesh default (no way)" }},
		{"gRPC", Destination, func(c *traffic.Call) {
			c.Proto, c.Response.Status = traffic.GRPC, 200
			c.Response.Trailer.Receive("grpc-status", "14")
		}, func(r *Record) bool { return r.GRPC == "14" && r.Failed && r.Secure }},
	} {
		c := h.Call()
		h.Begin(c, &traffic.Conn{Source: traffic.Peer{ID: me}, Secure: x.by == Destination})
		c.To = &traffic.Endpoint{ID: you}
		x.call(c)
		r := Of(c, x.by, start, start.Add(time.Second), start.Add(2*time.Second))
		if r.Reporter != x.by || !x.ok(&r) {
			t.Errorf("%s: %+v", x.name, r)
		}
	}
}
