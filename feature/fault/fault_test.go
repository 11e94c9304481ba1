package fault

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func code(c int) *int { return &c }

func TestServe(t *testing.T) {
	for _, x := range []struct {
		name   string
		p      Policy
		proto  traffic.Proto
		want   string // status, gRPC code
		slept  time.Duration
		served int
	}{
		{"nothing", Policy{Delay: time.Second, Status: 500}, traffic.HTTP1, "200 ", 0, 1}, // "percentage unset=0"
		{"delay", Policy{Delay: time.Second, DelayShare: All}, traffic.HTTP1, "200 ", time.Second, 1},
		{"abort", Policy{Status: 418, AbortShare: All}, traffic.HTTP1, "418 ", 0, 0},
		{"delay, then abort", Policy{Delay: time.Second, DelayShare: All, Status: 500, AbortShare: All}, traffic.HTTP2, "500 ", time.Second, 0},
		{"abort of gRPC by status", Policy{Status: 503, AbortShare: All}, traffic.GRPC, "200 14", 0, 0},
		{"abort of gRPC by code", Policy{GRPC: code(5), AbortShare: All}, traffic.GRPC, "200 5", 0, 0},
		{"abort of gRPC with OK", Policy{GRPC: code(0), AbortShare: All}, traffic.GRPC, "200 0", 0, 0},
		{"abort by code of what is not gRPC", Policy{GRPC: code(14), AbortShare: All}, traffic.HTTP1, "503 ", 0, 0},
	} {
		x.p.Ref = decision.Ref{Kind: "Test", Name: x.name}
		h := &traffictest.Host{}
		c := h.Call()
		c.Proto = x.proto
		_ = traffic.Chain(traffic.Forward{}, With(&x.p)).Serve(c)
		g, _ := c.GRPCStatus()
		if got := fmt.Sprint(c.Response.Status, " ", g); got != x.want || h.Attempts != x.served || c.Now.Sub(traffictest.Epoch) != x.slept {
			t.Errorf("%s: %s after %v", x.name, got, h.Slept)
		}
		if v := traffictest.Last(c); (x.slept > 0 || x.served == 0) && (v.Reason != decision.Injected || v.Ref.Name != x.name) {
			t.Errorf("%s: %v", x.name, v)
		}
	}
}

func TestDelayEndsWithTheCall(t *testing.T) {
	h := &traffictest.Host{}
	c := h.Call()
	c.Limit(time.Second, nil)
	err := traffic.Chain(traffic.Forward{}, With(&Policy{Delay: time.Minute, DelayShare: All})).Serve(c)
	if !errors.Is(err, traffic.ErrDeadline) || !errors.Is(c.Response.Err, traffic.ErrDeadline) || h.Attempts != 0 {
		t.Errorf("%v", err)
	}
}

func TestSharesAreDrawnApart(t *testing.T) {
	p := &Policy{Delay: 1, DelayShare: All / 10, Status: 500, AbortShare: All / 5}
	const calls = 100_000
	var delays, aborts, both int
	for i := range uint64(calls) {
		d, a := p.Decide(&traffic.Attrs{Draw: i})
		if d {
			delays++
		}
		if a {
			aborts++
		}
		if a && d {
			both++
		}
	}
	// 5 standard deviations around 10 %, 20 % and 2 %
	for _, x := range [][3]int{{delays, 10_000, 475}, {aborts, 20_000, 633}, {both, 2_000, 222}} {
		if x[0] < x[1]-x[2] || x[0] > x[1]+x[2] {
			t.Errorf("%d, wanted %d", x[0], x[1])
		}
	}
}

func TestTrailListsWays(t *testing.T) {
	p := &Policy{Status: 500, AbortShare: All / 4}
	for i, name := range []string{"abort", "go on"} {
		c := (&traffictest.Host{}).Call()
		c.Trail, c.Draw = &decision.Trail{}, p.Ways()[i].Draw
		_ = traffic.Chain(traffic.Forward{}, With(p)).Serve(c)
		s := c.Trail.Steps[0]
		if len(s.Options) != 2 || s.Options[i].Name != name || s.Took != (i == 0) || (c.Response.Status == 500) != s.Took || s.Note != "abort 25 % of calls" {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{{DelayShare: All + 1}, {AbortShare: All + 1, Status: 500}, {Delay: -1}, {AbortShare: 1}, {AbortShare: 1, Status: 99}, {GRPC: code(17)}} {
		if p.Validate() == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
	if err := (&Policy{Delay: 1, DelayShare: All}).Validate(); err != nil {
		t.Error(err)
	}
}

func BenchmarkAbortOfGRPC(b *testing.B) {
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(&Policy{Status: 503, AbortShare: All}))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.Proto = traffic.GRPC
		_ = s.Serve(c)
	}
}
