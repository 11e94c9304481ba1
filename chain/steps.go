package chain

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// The steps that belong to no feature: they find the next one.

// byHead tells calls with a head from those without.
type byHead struct{ heads, plain traffic.Handler }

func (h *byHead) Serve(c *traffic.Call) error {
	if c.Proto == traffic.TCP {
		return h.plain.Serve(c)
	}
	return h.heads.Serve(c)
}

// profile picks the table of the profile's rule that a call is of.
type profile struct {
	rules *route.Rules
	next  []traffic.Handler
	rest  traffic.Handler
}

func (p *profile) Serve(c *traffic.Call) error {
	i, v := p.rules.Find(&c.Attrs)
	if i < 0 {
		return p.rest.Serve(c)
	}
	c.Trail.Took("profile", v, "")
	return p.next[i].Serve(c)
}

// direct sends calls that no rule speaks of to the port that they called.
type direct struct {
	target traffic.Target
	next   traffic.Handler
}

func (d *direct) Serve(c *traffic.Call) error {
	c.Target = d.target
	return d.next.Serve(c)
}

// lazy finds a target's pool when a call is made: it may be another service's, which has its own configuration.
type lazy struct {
	ref    *decision.Ref
	to     traffic.Target
	find   Finder
	origin *traffic.Secure // of a gateway's calls; nil: as the pool has it
}

func (l *lazy) Serve(c *traffic.Call) error {
	if o := l.origin; o != nil && o.Mode == traffic.Barred {
		v := decision.Verdict{Ref: &o.Ref, Outcome: decision.Deny, Reason: decision.NoBackend}
		c.Trail.Took("tls", v, o.Why)
		return c.Reply(503, v)
	}
	c.Origin = l.origin
	h, why := l.find(l.to)
	if h == nil {
		v := decision.Verdict{Ref: l.ref, Outcome: decision.Deny, Reason: decision.NoBackend}
		c.Trail.Took("backend", v, why)
		return c.Reply(503, v)
	}
	return h.Serve(c)
}

// Upstream is how to connect to endpoints by a policy.
func Upstream(o *mesh.Outbound, proto traffic.Proto) *traffic.Upstream {
	u := &traffic.Upstream{Proto: proto}
	if o.Connect != nil {
		u.Connect = *o.Connect
	}
	if o.Secure != nil {
		u.Secure = *o.Secure
	}
	return u
}

// toUpstream says how to connect to a pool's endpoints.
func toUpstream(o *mesh.Outbound, proto traffic.Proto) traffic.Wrap {
	u := Upstream(o, proto)
	return func(next traffic.Handler) traffic.Handler { return &upstream{u, next} }
}

type upstream struct {
	u    *traffic.Upstream
	next traffic.Handler
}

func (h *upstream) Serve(c *traffic.Call) error {
	c.Upstream, c.Attempts = h.u, max(c.Attempts, 1) // where nothing is tried again, nobody has counted
	h.explain(c)
	return h.next.Serve(c)
}

// explain notes what policies say of connections; where none speaks there is nothing to note.
func (h *upstream) explain(c *traffic.Call) {
	t := c.Trail
	if t == nil {
		return
	}
	s, n := c.Secures(), &h.u.Connect
	if s.Ref != (decision.Ref{}) {
		how := [...]string{traffic.Mutual: "mutual TLS with endpoints that have a proxy", traffic.Clear: "in the clear", traffic.Simple: "TLS to " + s.SNI,
			traffic.Required: "mutual TLS alone", traffic.Barred: "not at all"}
		t.Took("tls", decision.Verdict{Ref: &s.Ref, Reason: decision.Matched}, how[s.Mode])
	}
	if n.Ref != (decision.Ref{}) && n.Timeout > 0 {
		t.Took("connect", decision.Verdict{Ref: &n.Ref, Reason: decision.Matched}, "within "+n.Timeout.String())
	}
}
