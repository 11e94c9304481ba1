package breaker

import (
	"sync"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func TestTake(t *testing.T) {
	h1, tcp, h2, again := Held{true, true, false}, Held{true, false, false}, Held{false, true, false}, Held{false, true, true}
	for _, x := range []struct {
		name  string
		p     Policy
		takes []Held
		want  []bool
	}{
		{"no limit", Policy{}, []Held{h1, tcp, h2, again}, []bool{true, true, true, true}},
		{"connections", Policy{MaxConnections: 1}, []Held{h1, tcp, h2, h2}, []bool{true, false, true, true}},
		{"connections and those that wait", Policy{MaxConnections: 1, MaxPending: 1}, []Held{h1, tcp, h1}, []bool{true, true, false}},
		{"pending counts only beside connections", Policy{MaxPending: 1}, []Held{h1, h1, h1}, []bool{true, true, true}},
		{"requests of any version", Policy{MaxRequests: 2}, []Held{h1, h2, h2, tcp}, []bool{true, true, false, true}},
		{"retries", Policy{MaxRetries: 1}, []Held{h2, again, again, h2}, []bool{true, true, false, true}},
	} {
		var s State
		var taken []Held
		for i, h := range x.takes {
			before := counts(&s)
			ok := x.p.Take(&s, h)
			if ok != x.want[i] || !ok && counts(&s) != before {
				t.Errorf("%s, %d: %v, and counts %+v", x.name, i, ok, counts(&s))
			}
			if ok {
				taken = append(taken, h)
			}
		}
		for _, h := range taken {
			s.Give(h)
		}
		if counts(&s) != (held{}) {
			t.Errorf("%s: %+v is left over", x.name, counts(&s))
		}
	}
}

func TestOf(t *testing.T) {
	for _, x := range []struct {
		proto    traffic.Proto
		upstream *traffic.Upstream
		attempts uint8
		want     Held
	}{
		{traffic.TCP, nil, 0, Held{true, false, false}},
		{traffic.HTTP1, &traffic.Upstream{}, 1, Held{true, true, false}},
		{traffic.HTTP1, &traffic.Upstream{Proto: traffic.HTTP2}, 1, Held{false, true, false}},
		{traffic.HTTP1, &traffic.Upstream{Connect: traffic.Connect{Upgrade: true}}, 1, Held{false, true, false}},
		{traffic.HTTP2, nil, 2, Held{false, true, true}},
		{traffic.GRPC, nil, 1, Held{false, true, false}},
	} {
		if got := Of(&traffic.Call{Attrs: traffic.Attrs{Proto: x.proto}, Upstream: x.upstream, Attempts: x.attempts}); got != x.want {
			t.Errorf("%v: %+v, want %+v", x.proto, got, x.want)
		}
	}
}

// TestReleasedOnce: an attempt gives back what it took when it is made again, or at the end of the call, never both.
func TestReleasedOnce(t *testing.T) {
	var s State
	p := &Policy{Ref: decision.Ref{Kind: "Test"}, MaxRequests: 1}
	h := &traffictest.Host{}
	c, next := h.Call(), traffic.Chain(traffic.Forward{}, With(p, &s))
	m := c.Mark()
	c.Attempts = 1
	_ = next.Serve(c)
	if c.Rewind(m, h.Time); counts(&s) != (held{}) {
		t.Fatalf("after the first attempt: %+v", counts(&s))
	}
	c.Attempts = 2
	_ = next.Serve(c)
	if want := (held{1, 1, 1}); c.Response.Status != 200 || counts(&s) != want {
		t.Fatalf("in the second attempt: %d %+v", c.Response.Status, counts(&s))
	}
	over := h.Call()
	if _ = next.Serve(over); over.Response.Status != 503 || traffictest.Last(over).Reason != decision.Limited || traffictest.Last(over).Ref != &p.Ref {
		t.Errorf("over the limit: %d %v", over.Response.Status, over.Verdicts())
	}
	over.Finish(h.Time)
	c.Finish(h.Time)
	c.Finish(h.Time)
	if counts(&s) != (held{}) {
		t.Errorf("at the end: %+v", counts(&s))
	}
}

// TestPolicyChangesInFlight: a call begun without limits counts for the limits that come.
func TestPolicyChangesInFlight(t *testing.T) {
	var s State
	h := &traffictest.Host{}
	before, during := h.Call(), h.Call()
	_ = traffic.Chain(traffic.Forward{}, With(nil, &s)).Serve(before)
	limited := traffic.Chain(traffic.Forward{}, With(&Policy{MaxRequests: 1}, &s))
	if _ = limited.Serve(during); during.Response.Status != 503 {
		t.Errorf("got %d", during.Response.Status)
	}
	before.Finish(h.Time)
	if after := h.Call(); limited.Serve(after) != nil || after.Response.Status != 200 {
		t.Errorf("got %d", after.Response.Status)
	}
}

// TestNeverOverTheLimit under contention.
func TestNeverOverTheLimit(t *testing.T) {
	var s State
	var wg sync.WaitGroup
	p := &Policy{MaxRequests: 3}
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				if p.Take(&s, Held{Request: true}) {
					if n := counts(&s).requests; n == 0 || n > 3+8 { // those that are about to be refused count for a moment
						t.Errorf("%d in flight", n)
					}
					s.Give(Held{Request: true})
				}
			}
		})
	}
	if wg.Wait(); counts(&s) != (held{}) {
		t.Errorf("%+v is left over", counts(&s))
	}
}

func BenchmarkBreaker(b *testing.B) {
	var s State
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	next := traffic.Chain(traffic.Forward{}, With(&Policy{MaxConnections: 10, MaxRequests: 10, MaxRetries: 10}, &s))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		_ = next.Serve(c)
		c.Finish(h.Time)
	}
}

func TestRetry(t *testing.T) {
	var s State
	p := &Policy{MaxRetries: 1}
	if !p.Retry(&s, false) || !(*Policy)(nil).Retry(&s, false) || !(&Policy{}).Retry(&s, true) {
		t.Error("there is room")
	}
	p.Take(&s, Held{Retry: true})
	if p.Retry(&s, false) || !p.Retry(&s, true) {
		t.Error("the one place is held: there is room for the call that holds it alone")
	}
}

type held struct{ connections, requests, retries uint32 }

func counts(s *State) held { return held{s.connections.Load(), s.requests.Load(), s.retries.Load()} }
