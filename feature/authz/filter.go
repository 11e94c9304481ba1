package authz

import (
	"errors"
	"strings"
	"sync"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

type inbound struct {
	engines []Engine
	next    traffic.Handler
}

// With judges calls into a workload: every engine that judges the port has to let a call pass. No engines: no cost.
func With(engines []Engine) traffic.Wrap {
	if len(engines) == 0 {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &inbound{engines, next} }
}

func (h *inbound) Serve(c *traffic.Call) error {
	if ambiguous(&c.Attrs) {
		return refuse(c)
	}
	v, ok := judge(h.engines, c, &c.Attrs, nil)
	switch {
	case ok:
		return h.next.Serve(c)
	case v.Reason == decision.Unauthenticated:
		c.Response.Err = errUnclear
		return c.Reply(503, v)
	}
	return c.Reply(403, v)
}

var errUnclear = errors.New("a policy asks for the pod that has the caller's address, and nobody can say which that is: the control plane does not answer, or several have it")

type connections struct{ next traffic.Handler }

// WithoutDatagrams refuses what comes over UDP. It is for rules that do not tell it from TCP: those of an older control plane, and those that
// a gateway's proxy has until it hears of its first listener for UDP from whoever makes its rules.
func WithoutDatagrams(next traffic.Handler) traffic.Handler { return &connections{next} }

func (h *connections) Serve(c *traffic.Call) error {
	if !c.Datagrams {
		return h.next.Serve(c)
	}
	v := decision.Verdict{Outcome: decision.Deny, Reason: decision.NoRuleAllows}
	c.Trail.Took("authz", v, "the rules that the proxy has do not tell UDP from TCP")
	return c.Reply(403, v)
}

// ambiguous says whether an application may read a call in another way than rules do: some take a method in lower case for the one in
// capitals, and some end a path at a null byte. Istio refuses both where it normalizes paths. What else has two ways of writing was
// made one before (traffic.NormalPath).
func ambiguous(a *traffic.Attrs) bool {
	return a.Proto != traffic.TCP && (strings.ContainsFunc(a.Method, func(r rune) bool { return r >= 'a' && r <= 'z' }) || strings.Contains(a.Path, "%00"))
}

func refuse(c *traffic.Call) error {
	v := decision.Verdict{Outcome: decision.Deny, Reason: decision.Malformed}
	c.Trail.Took("authz", v, "a method in lower case or a null byte, which applications read in different ways")
	return c.Reply(400, v)
}

type egress struct {
	engines []Engine
	next    traffic.Handler
}

// WithEgress judges calls out of a workload, once balance has chosen the endpoint: such rules speak of the address and port
// where the call arrives, not of the service that stands for it.
func WithEgress(engines []Engine) traffic.Wrap {
	if len(engines) == 0 {
		return nil
	}
	return func(next traffic.Handler) traffic.Handler { return &egress{engines, next} }
}

func (h *egress) Serve(c *traffic.Call) error {
	if c.To == nil { // nothing that could be judged
		return c.Reply(403, decision.Verdict{Outcome: decision.Deny, Reason: decision.NoEndpoint})
	}
	if ambiguous(&c.Attrs) {
		return refuse(c)
	}
	x := arrivals.Get().(*arrival)
	x.fill(c)
	v, ok := judge(h.engines, c, &x.attrs, &x.peer)
	*x = arrival{}
	arrivals.Put(x)
	if !ok {
		return c.Reply(403, v)
	}
	return h.next.Serve(c)
}

// arrival is a call as it looks where it arrives. Pooled: matchers may call a regular expression, so the compiler can't leave
// it on the stack (200 bytes a call).
type arrival struct {
	attrs traffic.Attrs
	conn  traffic.Conn
	peer  traffic.Peer
}

var arrivals = sync.Pool{New: func() any { return new(arrival) }}

func (x *arrival) fill(c *traffic.Call) {
	x.attrs, x.conn = c.Attrs, *c.Conn
	x.attrs.Conn, x.conn.Original = &x.conn, c.To.Addr
	x.peer = traffic.Peer{Addr: c.To.Addr, ID: c.To.ID, Workload: c.To.Workload, Labels: c.To.Labels}
}

// judge notes what lets the call pass, engine by engine; false: v denies it.
func judge(engines []Engine, c *traffic.Call, a *traffic.Attrs, peer *traffic.Peer) (v decision.Verdict, ok bool) {
	for i := range engines {
		e := &engines[i]
		if !e.On(a.Port()) {
			continue
		}
		v = e.Judge(a, peer)
		if v.Outcome == decision.Deny && a.Source.Unclear() && e.ByAddress() {
			v.Reason = decision.Unauthenticated
		}
		c.Trail.Took("authz", v, e.Dialect.String())
		if v.Outcome == decision.Deny {
			return v, false
		}
		if v.Reason == decision.Matched {
			c.Because(v)
		}
	}
	return v, true
}
