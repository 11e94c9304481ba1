package balance_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

var start = time.Unix(1_800_000_000, 0)

func endpoints(n int) (eps []traffic.Endpoint) {
	for i := range n {
		eps = append(eps, traffic.Endpoint{Addr: netip.MustParseAddrPort(fmt.Sprintf("127.64.0.%d:80", i+1))})
	}
	return eps
}

// host answers by address: what its function says, after a time.
type host struct {
	now    time.Time
	answer func(addr string) (status int, took time.Duration)
}

func (h *host) Now() time.Time                           { return h.now }
func (h *host) Sleep(*traffic.Call, time.Duration) error { return nil }
func (h *host) Detach(*traffic.Call, traffic.Handler)    {}
func (h *host) Forward(c *traffic.Call) error {
	status, took := h.answer(c.To.Addr.Addr().String())
	h.now = h.now.Add(took)
	if status == 0 {
		return c.Fail(traffic.ErrConnect)
	}
	c.Response.Status = status
	return nil
}

// send makes n calls, one after another, and counts them by address.
func send(t *testing.T, s *balance.Set, h *host, n int, change func(int, *traffic.Call)) map[string]int {
	t.Helper()
	got := map[string]int{}
	chain := traffic.Chain(traffic.Forward{}, balance.With(s))
	c := &traffic.Call{}
	for i := range n {
		c.Begin(h, &traffic.Conn{})
		c.Proto, c.Now, c.Draw = traffic.HTTP1, h.now, uint64(i)*0x9e3779b97f4a7c15
		if change != nil {
			change(i, c)
		}
		_ = chain.Serve(c)
		if c.To != nil {
			got[c.To.Addr.Addr().String()]++
		}
		c.Finish(h.now)
	}
	return got
}

func fine(string) (int, time.Duration) { return 200, time.Millisecond }

func set(p *balance.Policy, o *outlier.Policy, n int) *balance.Set {
	s := balance.NewSet()
	s.Update(p, o, endpoints(n), start)
	return s
}

// TestEven: among equals, every algorithm but the hash spreads calls evenly (within 5 standard deviations).
func TestEven(t *testing.T) {
	for _, a := range []balance.Algorithm{balance.LeastRequest, balance.RoundRobin, balance.Random} {
		const n, eps = 9000, 3
		for addr, got := range send(t, set(&balance.Policy{Algorithm: a}, nil, eps), &host{start, fine}, n, nil) {
			if sd := math.Sqrt(n * (1. / eps) * (1 - 1./eps)); math.Abs(float64(got)-n/eps) > 5*sd {
				t.Errorf("%v: %s got %d of %d", a, addr, got, n)
			}
		}
	}
}

func TestPeakEWMAAvoidsTheSlow(t *testing.T) {
	h := &host{start, func(addr string) (int, time.Duration) {
		if addr == "127.64.0.1" {
			return 200, 200 * time.Millisecond
		}
		return 200, 5 * time.Millisecond
	}}
	got := send(t, set(nil, nil, 3), h, 1000, nil)
	if got["127.64.0.1"] > 50 {
		t.Errorf("the slow one got %d of 1000: %v", got["127.64.0.1"], got)
	}
}

// open makes n calls that do not end before done is called, and counts them by address.
func open(s *balance.Set, n int) (got map[string]int, done func()) {
	h, got, calls := &host{start, fine}, map[string]int{}, []*traffic.Call{}
	for i := range n {
		c := &traffic.Call{}
		c.Begin(h, &traffic.Conn{})
		c.Proto, c.Now, c.Draw = traffic.HTTP1, start, uint64(i)*0x9e3779b97f4a7c15
		_ = traffic.Chain(traffic.Forward{}, balance.With(s)).Serve(c)
		got[c.To.Addr.Addr().String()]++
		calls = append(calls, c)
	}
	return got, func() {
		for _, c := range calls {
			c.Finish(start)
		}
	}
}

// TestBusyIsAvoided: the algorithms that count calls under way level them, by weight where least requests do; the others do not look.
func TestBusyIsAvoided(t *testing.T) {
	for _, x := range []struct {
		algorithm   balance.Algorithm
		weight      uint32 // of the second
		least, most int    // of 100 calls that do not end, to the first
	}{
		{balance.PeakEWMA, 1, 50, 50}, {balance.LeastRequest, 1, 50, 50}, {balance.LeastRequest, 4, 19, 21},
		{balance.RoundRobin, 1, 50, 50}, {balance.Random, 1, 30, 70},
	} {
		eps := endpoints(2)
		eps[0].Weight, eps[1].Weight = 1, x.weight
		s := balance.NewSet()
		s.Update(&balance.Policy{Algorithm: x.algorithm}, nil, eps, start)
		got, done := open(s, 100)
		if n := got["127.64.0.1"]; n < x.least || n > x.most {
			t.Errorf("%v, weights 1 and %d: the first got %d of 100", x.algorithm, x.weight, n)
		}
		for _, e := range s.Snapshot() {
			if int(e.Pending) != got[e.Endpoint.Addr.Addr().String()] {
				t.Errorf("%v: %d pending of %v", x.algorithm, e.Pending, got)
			}
		}
		if done(); s.Snapshot()[0].Pending != 0 || s.Snapshot()[1].Pending != 0 {
			t.Errorf("%v: calls that have ended count on: %+v", x.algorithm, s.Snapshot())
		}
	}
}

// TestRoundRobinGoesAround: in turn, each one once before any comes again.
func TestRoundRobinGoesAround(t *testing.T) {
	s := set(&balance.Policy{Algorithm: balance.RoundRobin}, nil, 3)
	var first, again []string
	for i := range 6 {
		a := s.Pick(&traffic.Attrs{Now: start, Draw: uint64(i) * 77}, nil, "").Addr.Addr().String()
		if i < 3 {
			first = append(first, a)
		} else {
			again = append(again, a)
		}
	}
	if first[0] == first[1] || first[1] == first[2] || first[0] == first[2] || fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("%v, then %v", first, again)
	}
}

// TestAnotherAccountIsAnotherEndpoint: what was learnt of an address goes with the account that it was learnt of.
func TestAnotherAccountIsAnotherEndpoint(t *testing.T) {
	s, eps := balance.NewSet(), endpoints(2)
	for i := range eps {
		eps[i].ID = identity.Of("cluster.local", "default", "reviews")
	}
	s.Update(nil, &outlier.Policy{Consecutive: 1}, eps, start)
	send(t, s, &host{start, func(string) (int, time.Duration) { return 500, time.Second }}, 10, nil)
	eps[0].ID = identity.Of("cluster.local", "default", "another")
	s.Update(nil, &outlier.Policy{Consecutive: 1}, eps, start)
	if snap := s.Snapshot(); snap[0].Latency != 30*time.Millisecond || !snap[0].Outlier.Until.IsZero() || snap[1].Latency == 30*time.Millisecond {
		t.Errorf("%+v", snap)
	}
}

// TestFastFailuresDoNotAttract: an endpoint that fails at once is not the cheapest.
func TestFastFailuresDoNotAttract(t *testing.T) {
	h := &host{start, func(addr string) (int, time.Duration) {
		if addr == "127.64.0.1" {
			return 503, time.Microsecond
		}
		return 200, 20 * time.Millisecond
	}}
	if got := send(t, set(nil, nil, 2), h, 1000, nil); got["127.64.0.1"] > 600 {
		t.Errorf("the broken one got %d of 1000", got["127.64.0.1"])
	}
}

func TestWeights(t *testing.T) {
	eps := endpoints(2)
	eps[0].Weight, eps[1].Weight = 1, 3
	for _, a := range []balance.Algorithm{balance.RoundRobin, balance.Random} {
		s := balance.NewSet()
		s.Update(&balance.Policy{Algorithm: a}, nil, eps, start)
		if got := send(t, s, &host{start, fine}, 4000, nil)["127.64.0.2"]; got < 2850 || got > 3150 {
			t.Errorf("%v: weight 3 of 4 got %d of 4000", a, got)
		}
	}
}

func TestRingHashSticks(t *testing.T) {
	s := set(&balance.Policy{Algorithm: balance.RingHash, Hash: balance.Hash{Header: "x-user"}}, nil, 5)
	where := func() map[string]string {
		out := map[string]string{}
		c, h := &traffic.Call{}, &host{start, fine}
		for i := range 500 {
			user := fmt.Sprint("user-", i)
			c.Begin(h, &traffic.Conn{})
			c.Proto, c.Now, c.Draw = traffic.HTTP1, start, uint64(i*31)
			c.Header.Receive("x-user", user)
			_ = traffic.Chain(traffic.Forward{}, balance.With(s)).Serve(c)
			out[user] = c.To.Addr.Addr().String()
			c.Finish(start)
		}
		return out
	}
	before := where()
	if again := where(); fmt.Sprint(again) != fmt.Sprint(before) {
		t.Error("the same user went to another endpoint")
	}
	s.Update(&balance.Policy{Algorithm: balance.RingHash, Hash: balance.Hash{Header: "x-user"}}, nil, endpoints(4), start)
	moved := 0
	for user, addr := range where() {
		if addr != before[user] && before[user] != "127.64.0.5" {
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("%d users moved although their endpoint is still there", moved)
	}
}

// TestHashKeys: consistentHash by cookie sets one where the call has none (Istio: httpCookie with a ttl).
func TestHashKeys(t *testing.T) {
	p := &balance.Policy{Algorithm: balance.RingHash, Hash: balance.Hash{Cookie: "sticky", Path: "/", TTL: time.Minute, SetTTL: true}}
	s := set(p, nil, 5)
	c, h := &traffic.Call{}, &host{start, fine}
	call := func(cookie string) (addr, set string) {
		c.Begin(h, &traffic.Conn{})
		c.Proto, c.Now, c.Draw = traffic.HTTP1, start, 7
		if cookie != "" {
			c.Header.Receive("cookie", "a=b; "+cookie)
		}
		_ = traffic.Chain(traffic.Forward{}, balance.With(s)).Serve(c)
		addr = c.To.Addr.String()
		set, _ = c.Response.Header.Get("set-cookie")
		c.Finish(start)
		return addr, set
	}
	first, set := call("")
	if !strings.HasPrefix(set, "sticky=") || !strings.HasSuffix(set, "; HttpOnly; Path=/; Max-Age=60") {
		t.Fatalf("set-cookie: %q", set)
	}
	value, _, _ := strings.Cut(set, ";")
	if second, again := call(value); second != first || again != "" {
		t.Errorf("with its cookie the call went to %s, before to %s, and was told %q", second, first, again)
	}
}

// TestEjectedAndBack: five failures leave an endpoint out for 30 s; then it is used again.
func TestEjectedAndBack(t *testing.T) {
	broken := true
	h := &host{start, func(addr string) (int, time.Duration) {
		if addr == "127.64.0.1" && broken {
			return 500, time.Millisecond
		}
		return 200, time.Millisecond
	}}
	s := set(&balance.Policy{Algorithm: balance.RoundRobin}, &outlier.Policy{Consecutive: 5, Base: 30 * time.Second}, 2)
	if got := send(t, s, h, 100, nil)["127.64.0.1"]; got != 5 {
		t.Errorf("the broken endpoint got %d calls, want 5", got)
	}
	broken = false
	h.now = h.now.Add(30 * time.Second)
	if got := send(t, s, h, 100, nil)["127.64.0.1"]; got != 50 {
		t.Errorf("back, it got %d calls of 100", got)
	}
}

func TestTheLastOneIsKept(t *testing.T) {
	h := &host{start, func(string) (int, time.Duration) { return 0, time.Millisecond }}
	s := set(&balance.Policy{Algorithm: balance.RoundRobin}, &outlier.Policy{Consecutive: 1, MaxPercent: 100}, 3)
	got := send(t, s, h, 100, nil)
	if len(got) != 3 || got["127.64.0.1"]+got["127.64.0.2"]+got["127.64.0.3"] != 100 {
		t.Errorf("calls were lost: %v", got)
	}
}

func TestTriedIsAvoided(t *testing.T) {
	s := set(&balance.Policy{Algorithm: balance.Random}, nil, 2)
	a := &traffic.Attrs{Now: start}
	first := s.Pick(a, nil, "")
	for draw := range uint64(50) {
		a.Draw = draw
		if s.Pick(a, []*traffic.Endpoint{&first.Endpoint}, "") == first {
			t.Fatal("the endpoint that failed was picked again")
		}
	}
	one := set(nil, nil, 1)
	e := one.Pick(a, nil, "")
	if one.Pick(a, []*traffic.Endpoint{&e.Endpoint}, "") != e {
		t.Error("nothing else is left: it has to be used")
	}
}

func TestDrainingGetsNothing(t *testing.T) {
	eps := endpoints(2)
	eps[0].Draining = true
	s := balance.NewSet()
	s.Update(nil, nil, eps, start)
	if got := send(t, s, &host{start, fine}, 20, nil); got["127.64.0.2"] != 20 {
		t.Errorf("%v", got)
	}
	s.Update(nil, nil, eps[:1], start)
	if got := send(t, s, &host{start, fine}, 20, nil); got["127.64.0.1"] != 20 {
		t.Errorf("better one that is about to stop than none: %v", got)
	}
}

// A workload with addresses of both families is one endpoint: called by the first that takes calls, and by no more than its share.
func TestFamilies(t *testing.T) {
	at := func(workload, addr string, draining bool) traffic.Endpoint {
		return traffic.Endpoint{Addr: netip.MustParseAddrPort(addr), Workload: workload, Draining: draining}
	}
	eps := []traffic.Endpoint{at("a", "10.0.0.1:80", false), at("b", "10.0.0.2:80", true), at("", "10.0.0.3:80", false),
		at("a", "[fd00::1]:80", false), at("b", "[fd00::2]:80", false), at("", "[fd00::3]:80", false)}
	s := balance.NewSet()
	s.Update(&balance.Policy{Algorithm: balance.RoundRobin}, nil, eps, start)
	want := map[string]int{"10.0.0.1": 10, "fd00::2": 10, "10.0.0.3": 10, "fd00::3": 10} // of the last two nobody knows that they are one
	if got := send(t, s, &host{start, fine}, 40, nil); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestTriedIsKnownAfterAnUpdate: between attempts a configuration may come, and with it other values for the same addresses.
func TestTriedIsKnownAfterAnUpdate(t *testing.T) {
	s := set(nil, nil, 2)
	a := &traffic.Attrs{Now: start}
	for draw := range uint64(50) {
		a.Draw = draw
		first := s.Pick(a, nil, "")
		eps := endpoints(2)
		eps[0].Zone, eps[1].Zone = fmt.Sprint(draw), fmt.Sprint(draw)
		s.Update(nil, nil, eps, start)
		if second := s.Pick(a, []*traffic.Endpoint{&first.Endpoint}, ""); second.Addr == first.Addr {
			t.Fatalf("%v was tried, and is picked again", first.Addr)
		}
	}
}

// TestSilence: what ends an attempt without the endpoint's word neither ejects it nor breaks a row of its failures.
func TestSilence(t *testing.T) {
	for _, end := range []func(*traffic.Call) error{
		func(c *traffic.Call) error { return c.Fail(traffic.ErrCanceled) },
		func(c *traffic.Call) error { return c.Fail(traffic.ErrNoIdentity) },
		func(c *traffic.Call) error { return c.Reply(403, decision.Verdict{}) },
	} {
		s := set(nil, &outlier.Policy{Consecutive: 2}, 2)
		h := &traffictest.Host{Time: start}
		once := func(answer func(*traffic.Call) error) {
			h.Answer = answer
			c := h.Call()
			_ = traffic.Chain(traffic.Forward{}, balance.With(s)).Serve(c)
			c.Finish(h.Time)
		}
		snap := func() (failures uint32) {
			for _, e := range s.Snapshot() {
				failures += e.Outlier.Failures
			}
			return failures
		}
		once(traffictest.Status(500))
		for range 20 {
			once(end)
		}
		if snap() != 1 {
			t.Errorf("%d failures in a row", snap())
		}
	}
}

// TestOfGateways: what counts as a gateway's failure: 502, 503, 504, gRPC's codes for the latter two, and no answer.
func TestOfGateways(t *testing.T) {
	grpc := func(code string) func(*traffic.Call) error {
		return func(c *traffic.Call) error {
			c.Proto, c.Response.Status = traffic.GRPC, 200
			c.Response.Trailer.Receive("grpc-status", code)
			return nil
		}
	}
	for name, x := range map[string]struct {
		answer            func(*traffic.Call) error
		failures, gateway uint32
	}{
		"200": {traffictest.Status(200), 0, 0}, "500": {traffictest.Status(500), 1, 0}, "501": {traffictest.Status(501), 1, 0},
		"502": {traffictest.Status(502), 1, 1}, "504": {traffictest.Status(504), 1, 1}, "505": {traffictest.Status(505), 1, 0},
		"INTERNAL": {grpc("13"), 1, 0}, "UNAVAILABLE": {grpc("14"), 1, 1}, "DEADLINE_EXCEEDED": {grpc("4"), 1, 1}, "NOT_FOUND": {grpc("5"), 0, 0},
		"no answer": {traffictest.Err(traffic.ErrConnect), 1, 1},
		"no answer in time": {func(c *traffic.Call) error {
			c.Limit(time.Second, &decision.Ref{Kind: "Test"})
			return c.Fail(traffic.ErrDeadline)
		}, 1, 1},
		"no answer in the caller's own time": {func(c *traffic.Call) error {
			c.Limit(time.Hour, &decision.Ref{Kind: "Test"})
			c.Limit(time.Nanosecond, nil)
			return c.Fail(traffic.ErrDeadline)
		}, 0, 0},
		"no descriptor":      {traffictest.Err(errors.Join(traffic.ErrConnect, traffic.ErrBlameless)), 0, 0},
		"the caller's fault": {traffictest.Err(errors.New("a body that is none")), 0, 0},
	} {
		s := set(nil, &outlier.Policy{Consecutive: 5, Gateway: 5}, 1)
		h := &traffictest.Host{Time: start, Answer: x.answer}
		c := h.Call()
		if err := traffic.Chain(traffic.Forward{}, balance.With(s)).Serve(c); err != nil {
			_ = c.Reply(503, decision.Verdict{}) // as the engine does, before the call ends
		}
		c.Finish(h.Time)
		if o := s.Snapshot()[0].Outlier; o.Failures != x.failures || o.Gateway != x.gateway {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestLeastRequestByWeight(t *testing.T) {
	eps := endpoints(2)
	eps[0].Weight, eps[1].Weight = 1, 3
	s := balance.NewSet()
	s.Update(&balance.Policy{Algorithm: balance.LeastRequest}, nil, eps, start)
	if got := send(t, s, &host{start, fine}, 4000, nil)["127.64.0.2"]; got < 2850 || got > 3150 {
		t.Errorf("weight 3 of 4 got %d of 4000", got)
	}
}

func TestRingOfWeights(t *testing.T) {
	eps := endpoints(2)
	eps[0].Weight, eps[1].Weight = 100, 300
	s := balance.NewSet()
	s.Update(&balance.Policy{Algorithm: balance.RingHash, Hash: balance.Hash{Header: "x-user"}}, nil, eps, start)
	got := send(t, s, &host{start, fine}, 4000, func(i int, c *traffic.Call) { c.Header.Receive("x-user", fmt.Sprint("user-", i)) })["127.64.0.2"]
	if got < 2700 || got > 3300 {
		t.Errorf("weight 3 of 4 got %d of 4000", got)
	}
}

// TestCookieCrumbs: HTTP/2 may split the cookie field (RFC 9113 section 8.2.3).
func TestCookieCrumbs(t *testing.T) {
	s := set(&balance.Policy{Algorithm: balance.RingHash, Hash: balance.Hash{Cookie: "sticky"}}, nil, 5)
	where := map[string]bool{}
	send(t, s, &host{start, fine}, 50, func(i int, c *traffic.Call) {
		c.Header.Receive("cookie", "a=b")
		c.Header.Receive("cookie", "sticky=42")
		c.AtEnd(noted{where})
	})
	if len(where) != 1 {
		t.Errorf("one cookie led to %v", where)
	}
}

type noted struct{ where map[string]bool }

func (n noted) End(c *traffic.Call, _, _ time.Time) { n.where[c.To.Addr.String()] = true }

func TestNoEndpoint(t *testing.T) {
	s := balance.NewSet()
	p := &balance.Policy{Ref: decision.Ref{Name: "p"}}
	s.Update(p, nil, nil, start)
	c := &traffic.Call{}
	c.Begin(&host{start, fine}, &traffic.Conn{})
	c.Proto = traffic.HTTP1
	_ = traffic.Chain(traffic.Forward{}, balance.With(s)).Serve(c)
	if v := c.Verdicts(); c.Response.Status != 503 || len(v) != 1 || v[0].Reason != decision.NoEndpoint {
		t.Errorf("%d %v", c.Response.Status, v)
	}
}

// TestUpdateKeepsWhatWasLearnt: a change of configuration forgets neither ejections nor latencies of endpoints that stay.
func TestUpdateKeepsWhatWasLearnt(t *testing.T) {
	o := &outlier.Policy{Consecutive: 1}
	s := set(nil, o, 2)
	h := &host{start, func(addr string) (int, time.Duration) {
		if addr == "127.64.0.1" {
			return 500, time.Millisecond
		}
		return 200, time.Millisecond
	}}
	send(t, s, h, 20, nil)
	eps := endpoints(3)
	eps[0].Zone = "b" // it has changed, and is the same endpoint
	s.Update(&balance.Policy{Algorithm: balance.Random}, o, eps, h.now)
	if snap := s.Snapshot(); snap[0].Outlier.Until.IsZero() || snap[1].Latency == 30*time.Millisecond || snap[2].Latency != 30*time.Millisecond {
		t.Errorf("%+v", snap)
	}
	r := set(nil, o, 2)
	r.Restore(s.Snapshot(), h.now)
	if snap := r.Snapshot(); snap[0].Outlier != s.Snapshot()[0].Outlier {
		t.Errorf("restored %+v", snap)
	}
}

func TestSlowStart(t *testing.T) {
	p := &balance.Policy{Algorithm: balance.Random, SlowStart: 100 * time.Second}
	s := set(p, nil, 1)
	s.Update(p, nil, endpoints(2), start)
	early := send(t, s, &host{start.Add(time.Second), func(string) (int, time.Duration) { return 200, 0 }}, 1000, nil)["127.64.0.2"]
	late := send(t, s, &host{start.Add(100 * time.Second), func(string) (int, time.Duration) { return 200, 0 }}, 1000, nil)["127.64.0.2"]
	if early > 150 || early < 10 || late < 400 {
		t.Errorf("a new endpoint got %d of 1000 at first and %d when warm", early, late)
	}
}

// many are n endpoints, of which the first out are ejected until a minute from start.
func many(alg balance.Algorithm, n, out int, o *outlier.Policy) *balance.Set {
	var eps []traffic.Endpoint
	for i := range n {
		eps = append(eps, traffic.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)})
	}
	s := balance.NewSet()
	s.Update(&balance.Policy{Algorithm: alg}, o, eps, start)
	snaps := s.Snapshot()[:out]
	for i := range snaps {
		snaps[i].Outlier.Ejections, snaps[i].Outlier.Since, snaps[i].Outlier.Until = 1, start, start.Add(time.Minute)
	}
	s.Restore(snaps, start)
	return s
}

var algorithms = []balance.Algorithm{balance.PeakEWMA, balance.LeastRequest, balance.RoundRobin, balance.Random, balance.RingHash}

// TestEvenWithoutTheEjected: those that are left share what the ejected would have got, not those alone that come after them.
func TestEvenWithoutTheEjected(t *testing.T) {
	for _, alg := range algorithms[:4] {
		s := many(alg, 20, 10, &outlier.Policy{MaxPercent: 100})
		h := &host{start, func(string) (int, time.Duration) { return 200, 0 }}
		got := send(t, s, h, 10_000, nil)
		for addr, n := range got {
			if sd := math.Sqrt(10_000 * 0.1 * 0.9); math.Abs(float64(n)-1000) > 5*sd && alg != balance.PeakEWMA {
				t.Errorf("%v: %s got %d of 10,000, a tenth is its share", alg, addr, n)
			}
		}
		if len(got) != 10 {
			t.Errorf("%v: %d endpoints were called", alg, len(got))
		}
		h.now = start.Add(time.Minute)
		if got = send(t, s, h, 1000, nil); len(got) != 20 {
			t.Errorf("%v: %d were called when all were back", alg, len(got))
		}
	}
}

// TestPanic: where fewer are well than a policy wants, all are used.
func TestPanic(t *testing.T) {
	for out, want := range map[int]int{4: 6, 5: 5, 6: 10, 10: 10} {
		s := many(balance.Random, 10, out, &outlier.Policy{MaxPercent: 100, MinHealth: 50})
		if got := send(t, s, &host{start, fine}, 1000, nil); len(got) != want {
			t.Errorf("%d of 10 ejected: %d were called, want %d", out, len(got), want)
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, alg := range algorithms {
		s := many(alg, 200, 20, &outlier.Policy{MinHealth: 50})
		a := &traffic.Attrs{Now: start}
		if n := testing.AllocsPerRun(1000, func() { a.Draw++; s.Pick(a, nil, "key") }); n != 0 {
			t.Errorf("%v: %v allocations", alg, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, alg := range algorithms {
		for _, n := range []int{1, 10, 200, 1000} {
			for _, out := range []int{0, n / 2} {
				s := many(alg, n, out, &outlier.Policy{Consecutive: 5, MinHealth: 10})
				a := &traffic.Attrs{Now: start}
				b.Run(fmt.Sprintf("%v/%d/%d-ejected", alg, n, out), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						a.Draw++
						s.Pick(a, nil, "key")
					}
				})
			}
		}
	}
}

// TestRingIsBounded: neither a size nor weights, which users write, make a ring that a proxy has no room for.
func TestRingIsBounded(t *testing.T) {
	eps := endpoints(2)
	eps[0].Weight = math.MaxUint32
	p := &balance.Policy{Algorithm: balance.RingHash, Hash: balance.Hash{Header: "x-user", MinRing: math.MaxUint32}}
	before := memory()
	s := balance.NewSet()
	s.Update(p, nil, eps, start)
	if grew := memory() - before; grew > 32<<20 {
		t.Errorf("%d MB", grew>>20)
	}
	got := send(t, s, &host{now: start, answer: fine}, 1000, func(i int, c *traffic.Call) { c.Header.Receive("x-user", fmt.Sprint(i)) })
	if got["127.64.0.1"] < 990 {
		t.Errorf("%v", got)
	}
}

func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func BenchmarkUpdate(b *testing.B) {
	var eps []traffic.Endpoint
	for i := range 1000 {
		eps = append(eps, traffic.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)})
	}
	s := balance.NewSet()
	s.Update(nil, nil, eps, start)
	b.ReportAllocs()
	for b.Loop() {
		s.Update(nil, nil, eps, start)
	}
}
