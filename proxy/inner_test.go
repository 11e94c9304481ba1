package proxy

import (
	"io"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

func TestSniff(t *testing.T) {
	for _, x := range []struct {
		in    string
		proto traffic.Proto
		ok    bool
	}{
		{"GET / HTTP/1.1", traffic.HTTP1, true},
		{"OPTIONS * HTTP/1.1", traffic.HTTP1, true},
		{"GET http://x/ HTTP/1.1", traffic.HTTP1, true},
		{"CONNECT x:1", traffic.HTTP1, true},
		{"", traffic.TCP, false},
		{"GE", traffic.TCP, false},
		{"GET ", traffic.TCP, false},
		{"P", traffic.TCP, false},
		{"PR", traffic.TCP, false},
		{http2.Preface[:10], traffic.HTTP2, false},
		{http2.Preface, traffic.HTTP2, true},
		{http2.Preface + "x", traffic.HTTP2, true},
		{"PRI x", traffic.TCP, true},
		{"\x16\x03\x01", traffic.TCP, true},              // TLS (RFC 8446 section 5.1)
		{"*1\r\n$4\r\nPING\r\n", traffic.TCP, true},      // Redis
		{"GET key\r\n", traffic.TCP, true},               // Redis, inline
		{"EHLO mail.example.org\r\n", traffic.TCP, true}, // SMTP
		{"get / HTTP/1.1", traffic.TCP, true},            // "The method token is case-sensitive" (RFC 9110 section 9.1)
		{"GETX", traffic.TCP, true},
	} {
		if proto, ok := sniff([]byte(x.in)); ok != x.ok || ok && proto != x.proto {
			t.Errorf("%q: %v %v", x.in, proto, ok)
		}
	}
}

// FuzzSniff: what is decided of the first bytes stays so with more, and is decided before the buffer is full.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", http2.Preface, "\x16\x03", "PROPFIND /", "NOTIFY *"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		was, decided := traffic.TCP, false
		for n := range len(b) + 1 {
			proto, ok := sniff(b[:n])
			if decided && (!ok || proto != was) {
				t.Fatalf("%q: %v at first, then %v", b[:n], was, proto)
			}
			if was, decided = proto, ok; !ok && n > firstBytes/2 {
				t.Fatalf("%q: undecided after %d bytes", b, n)
			}
		}
	})
}

func TestGate(t *testing.T) {
	for _, x := range []struct {
		name   string
		do     func(g *gate) string
		want   string
		undone bool
	}{
		{"HTTP is held back", func(g *gate) string { return passed(g, "GET ", nil) + passed(g, "/ HTTP/1.1", nil) }, "[][!]", true},
		{"TCP passes whole, once it is clear", func(g *gate) string { return passed(g, "GE", nil) + passed(g, "X", nil) + passed(g, "GET / ", nil) }, "[][GEX][GET / ]", false},
		{"the callee was first", func(g *gate) string { g.calleeSpoke(); return passed(g, "GET / ", nil) }, "[GET / ]", false},
		{"the callee was first, after a part", func(g *gate) string { p := passed(g, "GE", nil); g.calleeSpoke(); return p + passed(g, "T / ", nil) }, "[][GET / ]", false},
		{"an end makes it clear", func(g *gate) string { return passed(g, "GE", io.EOF) + passed(g, "", io.EOF) }, "[GE][!]", false},
	} {
		g := &gate{}
		if got := x.do(g); got != x.want || g.undone != x.undone {
			t.Errorf("%s: %s, undone %v", x.name, got, g.undone)
		}
		if g.undone && (g.calleeSpoke() || string(g.read) != "GET / HTTP/1.1") {
			t.Errorf("%s: %q is held", x.name, g.read)
		}
	}
}

func passed(g *gate, s string, end error) string {
	b, err := g.pass([]byte(s), end)
	if err != nil {
		return "[!]"
	}
	return "[" + string(b) + "]"
}

func TestHeadersThatAreStripped(t *testing.T) {
	all := []string{"x-request-id", "x-forwarded-for", "x-forwarded-client-cert", "x-envoy-retry-on", "l5d-dst-override", "weft-port", "traceparent", "forwarded", "x", "w"}
	for name, x := range map[string]struct {
		strip func(*traffic.Header)
		left  string
	}{
		"application": {chain.FromApp, "x-request-id x-forwarded-for traceparent forwarded x w"},
		"peer":        {chain.FromPeer, "x-request-id x-forwarded-for traceparent forwarded x w"},
		"outside":     {chain.FromOutside, "x-request-id traceparent x w"},
	} {
		var h traffic.Header
		for _, n := range all {
			h.Receive(n, "1")
			h.Receive(n, "2")
		}
		x.strip(&h)
		var left []string
		for n := range h.All {
			if len(left) == 0 || left[len(left)-1] != n {
				left = append(left, n)
			}
		}
		if got := strings.Join(left, " "); got != x.left {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestIdentify(t *testing.T) {
	var h traffic.Header
	identify(&h)
	first, _ := h.Get("x-request-id")
	identify(&h)
	if second, _ := h.Get("x-request-id"); second != first || len(first) != 36 || first[14] != '4' || first[8] != '-' {
		t.Errorf("%q, then %q", first, second)
	}
}

func TestServiceNameOfAPeer(t *testing.T) {
	for in, want := range map[string]string{"a.b-c.svc": "a.b-c.svc", "": "", "A": "", "a b": "", "a\"": "", strings.Repeat("a", 300): ""} {
		if got := serviceName(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// TestVerdicts: each way in which a head never comes has a status, a reason, and a rule if one is to blame.
func TestVerdicts(t *testing.T) {
	rule := &decision.Ref{Kind: "VirtualService", Namespace: "default", Name: "slow"}
	for _, x := range []struct {
		err    error
		status int
		why    decision.Reason
		ref    *decision.Ref
	}{
		{traffic.ErrDeadline, 504, decision.TimedOut, rule},
		{traffic.ErrWrongPeer, 502, decision.WrongPeer, nil},
		{traffic.ErrNoIdentity, 503, decision.NoIdentity, nil},
		{traffic.ErrConnect, 503, decision.ConnectFailed, nil},
		{traffic.ErrRefused, 503, decision.ConnectFailed, nil},
		{traffic.ErrReset, 503, decision.ResetByPeer, nil},
		{traffic.ErrCanceled, 499, decision.Default, nil},
		{errUnavailable, 503, decision.NoService, nil},
	} {
		c := &traffic.Call{Deadline: traffic.Deadline{Ref: rule}}
		if status, v := verdict(c, x.err); status != x.status || v.Reason != x.why || v.Ref != x.ref {
			t.Errorf("%v: %d %v", x.err, status, v)
		}
	}
}

func TestHostsOfAName(t *testing.T) {
	p := &Proxy{opts: Options{Workload: "shop/web-1"}}
	for in, want := range map[string]string{
		"a": "a.shop.svc.cluster.local", "a.b": "a.b.svc.cluster.local", "a.b.svc": "a.b.svc.cluster.local",
		"a.b.svc.cluster.local": "a.b.svc.cluster.local", "x.a.b.svc.cluster.local": "", "www.example.org": "", "": "",
	} {
		if got := strings.Join(p.hosts(in), " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
