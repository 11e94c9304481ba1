package observe_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

var (
	me  = traffic.Peer{ID: identity.Of("td", "ns", "me"), Workload: "ns/me-1", Addr: netip.MustParseAddrPort("10.0.0.1:4000")}
	you = &traffic.Endpoint{ID: identity.Of("td", "ns", "you"), Workload: "ns/you-1", Addr: netip.MustParseAddrPort("10.0.0.2:80"),
		Tunnel: netip.MustParseAddrPort("10.0.0.2:15008")}
)

func refTo(d decision.Dialect, kind, rule string) decision.Ref {
	return decision.Ref{Dialect: d, Kind: kind, Namespace: "default", Name: "x", Rule: rule}
}

// made sends a call through handlers, as an engine does, and returns its record.
func made(by observe.Reporter, proto traffic.Proto, answer func(*traffic.Call) error, change func(*traffic.Call), wraps ...traffic.Wrap) observe.Record {
	h := &traffictest.Host{Answer: answer}
	c := h.Call()
	h.Begin(c, &traffic.Conn{Source: me, Secure: by == observe.Destination, Original: you.Addr})
	c.Proto, c.Target = proto, traffic.Target{Service: "you.ns.svc.cluster.local", Port: 80, Subset: "v1"}
	if change != nil {
		change(c)
	}
	c.To = you
	_ = traffic.Chain(traffic.Forward{}, wraps...).Serve(c)
	c.Finish(h.Time)
	return observe.Of(c, by, traffictest.Epoch, traffictest.Epoch.Add(time.Second), traffictest.Epoch.Add(2*time.Second))
}

func TestOutcomes(t *testing.T) {
	vs := refTo(decision.Istio, "VirtualService", "http[0]")
	denies := authz.Engine{Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{{Ref: refTo(decision.Istio, "AuthorizationPolicy", "rules[0]")}}}}}
	closed := refTo(decision.Linkerd, "Server", "")
	class := &classify.Policy{Classes: []classify.Class{{Ref: refTo(decision.Linkerd, "ServiceProfile", "routes[0].responseClasses[0]"),
		Match: classify.Condition{Status: &classify.Statuses{Min: 404, Max: 404}}},
		{Ref: refTo(decision.Linkerd, "ServiceProfile", "routes[0].responseClasses[1]"), Match: classify.Condition{Status: &classify.Statuses{Min: 500, Max: 500}}, Success: true}}}
	again := func(n int) traffic.Wrap {
		return retry.With(&retry.Policy{Ref: vs.At("http[0].retries"), Attempts: n, ServerErr: true, Reset: true}, nil, &retry.Ledger{}, nil)
	}
	lost := traffictest.Err(traffic.ErrReset)
	for _, x := range []struct {
		name     string
		r        observe.Record
		failed   bool
		denied   bool
		attempts uint8
		reason   decision.Reason
		why      string
	}{
		{"an answer", made(observe.Source, traffic.HTTP1, nil, nil), false, false, 0, decision.Default, "mesh default"},
		{"denied", made(observe.Destination, traffic.HTTP1, nil, nil, authz.With([]authz.Engine{denies})), false, true, 0, decision.Matched,
			"AuthorizationPolicy default/x rules[0] (istio)"},
		{"denied because nothing allows it", made(observe.Destination, traffic.GRPC, nil, nil, authz.With([]authz.Engine{{Closed: &closed}})), false, true, 0,
			decision.NoRuleAllows, "no rule allows: Server default/x (linkerd)"},
		{"in the clear", made(observe.Destination, traffic.TCP, nil, func(c *traffic.Call) { c.Conn.Secure = false },
			mtls.With(&mtls.Policy{Ref: refTo(decision.Istio, "PeerAuthentication", ""), Mode: mtls.Strict})), false, true, 0, decision.Unauthenticated,
			"unauthenticated: PeerAuthentication default/x (istio)"},
		{"retried, and answered then", made(observe.Source, traffic.HTTP1, traffictest.Script(lost, lost, traffictest.Status(200)), nil, again(2)), false, false, 3,
			decision.Default, "retried: VirtualService default/x http[0].retries (istio)"},
		{"retried in vain", made(observe.Source, traffic.HTTP1, traffictest.Status(503), nil, again(1)), true, false, 2, decision.Default,
			"retried: VirtualService default/x http[0].retries (istio)"},
		{"a denial of an attempt is past", made(observe.Source, traffic.HTTP1, nil, func(c *traffic.Call) {
			c.Because(decision.Verdict{Ref: &closed, Outcome: decision.Deny, Reason: decision.NoRuleAllows})
			c.Because(decision.Verdict{Ref: &vs, Reason: decision.Retried})
		}), false, false, 0, decision.Default, "retried: VirtualService default/x http[0] (istio)"},
		{"faulted", made(observe.Source, traffic.HTTP1, nil, nil, fault.With(&fault.Policy{Ref: vs.At("http[0].fault"), Status: 555, AbortShare: fault.All})), true, false,
			0, decision.Injected, "injected: VirtualService default/x http[0].fault (istio)"},
		{"delayed", made(observe.Source, traffic.HTTP1, nil, nil, fault.With(&fault.Policy{Ref: vs.At("http[0].fault"), Delay: time.Second, DelayShare: fault.All})), false,
			false, 0, decision.Default, "injected: VirtualService default/x http[0].fault (istio)"},
		{"timed out", made(observe.Source, traffic.HTTP1, func(c *traffic.Call) error {
			c.Response.Err = traffic.ErrDeadline
			return c.Reply(504, decision.Verdict{Ref: &vs, Outcome: decision.Deny, Reason: decision.TimedOut})
		}, nil), true, false, 0, decision.TimedOut, "timed out: VirtualService default/x http[0] (istio) (deadline passed)"},
		{"redirected", made(observe.Source, traffic.HTTP1, nil, nil, redirect.With(&redirect.Policy{Ref: vs})), false, false, 0, decision.Matched,
			"VirtualService default/x http[0] (istio)"},
		{"failed by the application", made(observe.Destination, traffic.HTTP1, traffictest.Status(503), nil), true, false, 0, decision.Default, "status 503"},
		{"which the route is not to blame for", made(observe.Source, traffic.HTTP1, traffictest.Status(503), func(c *traffic.Call) {
			c.Because(decision.Verdict{Ref: &vs, Reason: decision.Matched})
		}), true, false, 0, decision.Default, "status 503"},
		{"failed by a gRPC status", made(observe.Source, traffic.GRPC, func(c *traffic.Call) error {
			c.Response.Status = 200
			c.Response.Trailer.Receive("grpc-status", "14")
			return nil
		}, nil), true, false, 0, decision.Default, "gRPC status 14"},
		{"failed by a class", made(observe.Source, traffic.HTTP1, traffictest.Status(404), nil, classify.With(class)), true, false, 0, decision.Default,
			"status 404, a failure by ServiceProfile default/x routes[0].responseClasses[0] (linkerd)"},
		{"no failure by a class", made(observe.Source, traffic.HTTP1, traffictest.Status(500), nil, classify.With(class)), false, false, 0, decision.Default, "mesh default"},
		{"broken off", made(observe.Source, traffic.TCP, func(c *traffic.Call) error {
			c.Response.Status, c.Response.Err = 200, traffic.ErrReset
			return nil
		}, func(c *traffic.Call) { c.Because(decision.Verdict{Ref: &vs, Reason: decision.Matched}) }), true, false, 0, decision.Matched, "reset before the response"},
		{"left by its caller", made(observe.Source, traffic.HTTP1, traffictest.Err(traffic.ErrCanceled), nil), false, false, 0, decision.Default,
			"mesh default (the caller went away)"},
		{"cut by a policy that came meanwhile", made(observe.Destination, traffic.TCP, func(c *traffic.Call) error {
			c.Response.Status, c.Response.Err = 200, errors.New("cut")
			c.Because(decision.Verdict{Ref: &closed, Outcome: decision.Deny, Reason: decision.NoRuleAllows})
			return nil
		}, nil), true, true, 0, decision.NoRuleAllows, "no rule allows: Server default/x (linkerd) (cut)"},
		{"denied by the callee's proxy", made(observe.Source, traffic.HTTP1, remote("matched; AuthorizationPolicy default/x rules[0] (istio)"), nil), false, true, 0,
			decision.Matched, "AuthorizationPolicy default/x rules[0] (istio)"},
		{"denied by the callee's proxy without a rule", made(observe.Source, traffic.HTTP1, remote("unauthenticated"), nil), false, true, 0, decision.Unauthenticated,
			"unauthenticated: mesh default"},
		{"answered by the callee's proxy", made(observe.Source, traffic.HTTP1, remote("timed out; X"), nil), false, false, 0, decision.TimedOut, "timed out: X"},
		{"what no proxy would say", made(observe.Source, traffic.HTTP1, remote("<script>"), nil), false, false, 0, decision.Default, "mesh default"},
		{"what an application says", made(observe.Destination, traffic.HTTP1, remote("matched; X"), nil), false, false, 0, decision.Default, "mesh default"},
		{"what a server outside of the mesh says", made(observe.Source, traffic.HTTP1, func(c *traffic.Call) error {
			c.Upstream = &traffic.Upstream{Secure: traffic.Secure{Mode: traffic.Simple}}
			return remote("matched; X")(c)
		}, nil), false, false, 0, decision.Default, "mesh default"},
	} {
		r := &x.r
		if r.Failed != x.failed || r.Denied() != x.denied || r.Attempts != x.attempts || r.Reason() != x.reason || r.Why() != x.why {
			t.Errorf("%s: failed %v, denied %v, %d attempts, %v, because %q", x.name, r.Failed, r.Denied(), r.Attempts, r.Reason(), r.Why())
		}
		if r.Head != time.Second || r.Took != 2*time.Second || r.From != (observe.Party{ID: me.ID, Workload: me.Workload, Addr: me.Addr}) ||
			r.Service != "you.ns.svc.cluster.local" || r.Port != 80 || r.Subset != "v1" {
			t.Errorf("%s: %+v", x.name, *r)
		}
	}
}

func remote(says string) func(*traffic.Call) error {
	return func(c *traffic.Call) error {
		c.Response.Status = 403
		c.Response.Header.Receive("weft-error", says)
		return nil
	}
}

// TestClass: the class that judged is named, also where it calls an answer a success.
func TestClass(t *testing.T) {
	p := &classify.Policy{Classes: []classify.Class{{Match: classify.Condition{Status: &classify.Statuses{Min: 404, Max: 404}}},
		{Match: classify.Condition{Status: &classify.Statuses{Min: 500, Max: 500}}, Success: true}}}
	for status, want := range map[int]*decision.Ref{404: &p.Classes[0].Ref, 500: &p.Classes[1].Ref, 503: nil} {
		if r := made(observe.Destination, traffic.HTTP1, traffictest.Status(status), nil, classify.With(p)); r.Class != want || r.Failed == (status == 500) {
			t.Errorf("%d: failed %v by %v, want %v", status, r.Failed, r.Class, want)
		}
	}
}

// TestSides: what is secure at the source is the way to the endpoint, at the destination the way from the caller.
func TestSides(t *testing.T) {
	up := func(m traffic.Security) func(*traffic.Call) error {
		return func(c *traffic.Call) error {
			c.Upstream = &traffic.Upstream{Secure: traffic.Secure{Mode: m}}
			c.Response.Status = 200
			return nil
		}
	}
	plain := func(c *traffic.Call) { c.Conn.Secure = false }
	for _, x := range []struct {
		name   string
		r      observe.Record
		secure bool
	}{
		{"source", made(observe.Source, traffic.HTTP1, nil, nil), true},
		{"source, mutual", made(observe.Source, traffic.HTTP1, up(traffic.Mutual), nil), true},
		{"source, in the clear because a policy says so", made(observe.Source, traffic.HTTP1, up(traffic.Clear), nil), false},
		{"source, TLS to a server that is none of the mesh's", made(observe.Source, traffic.HTTP1, up(traffic.Simple), nil), false},
		{"destination", made(observe.Destination, traffic.HTTP1, nil, nil), true},
		{"destination, in the clear", made(observe.Destination, traffic.HTTP1, nil, plain), false},
	} {
		if x.r.Secure != x.secure || x.r.To != (observe.Party{ID: you.ID, Workload: you.Workload, Addr: you.Addr}) {
			t.Errorf("%s: %+v", x.name, x.r)
		}
	}
	nobody := observe.Of((&traffictest.Host{}).Call(), observe.Source, traffictest.Epoch, time.Time{}, traffictest.Epoch)
	if nobody.Secure || nobody.To != (observe.Party{}) || nobody.Head != 0 || nobody.Status != 0 {
		t.Errorf("a call that went nowhere: %+v", nobody)
	}
	port := made(observe.Destination, traffic.TCP, nil, func(c *traffic.Call) { c.Target = traffic.Target{Service: "you.ns.svc.cluster.local", Subset: "v1"} })
	if port.Port != 80 {
		t.Errorf("the workload's port is %d", port.Port)
	}
}

// TestSecrets: no query, no password, no header that may hold one.
func TestSecrets(t *testing.T) {
	r := made(observe.Source, traffic.HTTP1, nil, func(c *traffic.Call) {
		c.Path, c.Query, c.Authority = "/a", "token=secret", "user:secret@shop:80"
		for _, h := range []string{"authorization", "cookie", "x-api-key"} {
			c.Header.Receive(h, "secret")
		}
		c.Header.Receive("x-request-id", "42")
	})
	if r.Path != "/a" || r.Authority != "shop:80" || r.RequestID != "42" {
		t.Errorf("%+v", r)
	}
}

// TestGRPC: a status of gRPC's is in the head of an answer without a body, else in the trailers; other protocols have none.
func TestGRPC(t *testing.T) {
	head := func(c *traffic.Call) error { c.Response.Header.Receive("grpc-status", "7"); return nil }
	trailer := func(c *traffic.Call) error { c.Response.Trailer.Receive("grpc-status", "0"); return nil }
	for _, x := range []struct {
		proto  traffic.Proto
		answer func(*traffic.Call) error
		want   string
	}{{traffic.GRPC, head, "7"}, {traffic.GRPC, trailer, "0"}, {traffic.GRPC, nil, ""}, {traffic.HTTP1, head, ""}} {
		if r := made(observe.Source, x.proto, x.answer, nil); r.GRPC != x.want {
			t.Errorf("%v: %q, want %q", x.proto, r.GRPC, x.want)
		}
	}
}

// TestClock: "Took" and "Head" are never negative, though a reader's clock may be behind another's.
func TestClock(t *testing.T) {
	at := traffictest.Epoch
	r := observe.Of((&traffictest.Host{}).Call(), observe.Source, at, at.Add(-1), at.Add(-1))
	if r.Took != 0 || r.Head != 0 {
		t.Errorf("%v %v", r.Took, r.Head)
	}
}

// TestClone: a record lends; its clone owns.
func TestClone(t *testing.T) {
	b := []byte("lent")
	s := unsafe.String(&b[0], len(b))
	r := observe.Record{From: observe.Party{Workload: s}, To: observe.Party{Workload: s}, Service: s, Subset: s, Method: s, Authority: s, Path: s, RequestID: s, GRPC: s,
		Remote: s, Verdicts: []decision.Verdict{{Reason: decision.Matched}}}
	c := r.Clone()
	copy(b, "gone")
	r.Verdicts[0].Reason = decision.TimedOut
	for _, x := range []string{c.From.Workload, c.To.Workload, c.Service, c.Subset, c.Method, c.Authority, c.Path, c.RequestID, c.GRPC, c.Remote} {
		if x != "lent" {
			t.Errorf("a string is still lent: %q", x)
		}
	}
	if c.Verdicts[0].Reason != decision.Matched {
		t.Error("the verdicts are still lent")
	}
}

type counter int

func (c *counter) Take(*observe.Record) { *c++ }

func TestSinks(t *testing.T) {
	var a, b counter
	observe.Sinks{&a, &b}.Take(&observe.Record{})
	if a != 1 || b != 1 {
		t.Error(a, b)
	}
}

func TestWords(t *testing.T) {
	if got := observe.Source.String() + " " + observe.Destination.String(); got != "source destination" {
		t.Error(got)
	}
	long := made(observe.Source, traffic.HTTP1, remote("matched; "+strings.Repeat("x", 10_000)), nil)
	if len(long.Why()) > 600 {
		t.Errorf("%d bytes of a callee's words", len(long.Why()))
	}
}

// TestNoAllocation: a record is made of every call.
func TestNoAllocation(t *testing.T) {
	h := &traffictest.Host{}
	c := h.Call()
	h.Begin(c, &traffic.Conn{Source: me})
	c.To, c.Response.Status = you, 200
	c.Because(decision.Verdict{Ref: &decision.Ref{}, Reason: decision.Matched})
	var r observe.Record
	if n := testing.AllocsPerRun(100, func() {
		r = observe.Of(c, observe.Source, traffictest.Epoch, traffictest.Epoch, traffictest.Epoch)
		_ = r.Denied() || r.Reason() != 0
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOf(b *testing.B) {
	h := &traffictest.Host{}
	c := h.Call()
	h.Begin(c, &traffic.Conn{Source: me})
	c.To, c.Response.Status = you, 200
	var r observe.Record
	b.ReportAllocs()
	for b.Loop() {
		r = observe.Of(c, observe.Source, traffictest.Epoch, traffictest.Epoch, traffictest.Epoch)
	}
	_ = r
}
