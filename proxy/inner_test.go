package proxy

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/traffic"
)

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
		{held.ErrUnavailable, 503, decision.NoService, nil},
	} {
		c := &traffic.Call{Deadline: traffic.Deadline{Ref: rule}}
		if status, v := verdict(c, x.err); status != x.status || v.Reason != x.why || v.Ref != x.ref {
			t.Errorf("%v: %d %v", x.err, status, v)
		}
	}
}

// TestEndsOnce: a proxy that has left its listeners to another, and has nothing left, can still be told to drain.
func TestEndsOnce(t *testing.T) {
	p := &Proxy{}
	p.sessions.begin(p)
	p.sessions.finish(leaving)
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if p.sessions.finish(leaving); p.sessions.at() != ending {
		t.Error("the end went back")
	}
}

// TestNobodyRestsWhileAllEnds: a connection that would idle just as the proxy begins to drain is closed.
func TestNobodyRestsWhileAllEnds(t *testing.T) {
	poller, err := sys.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := &Proxy{opts: Options{Clock: time.Now}, poller: poller}
	p.sessions.begin(p)
	x := &slot{Conn: nc, of: &p.sessions}
	x.rests(time.Hour, func() {})
	p.sessions.finish(ending)
	if x.park() {
		t.Error("it rests, and nobody will wake it")
	}
}
