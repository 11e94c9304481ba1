package mirror

import (
	"io"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func policies(share ...uint32) (p []Policy, to []traffic.Handler) {
	for i, s := range share {
		p = append(p, Policy{Ref: decision.Ref{Kind: "Test"}, Target: traffic.Target{Service: string(rune('a' + i))}, Share: s})
		to = append(to, traffic.Forward{})
	}
	return p, to
}

// read is a callee that reads n chunks of the body, then answers.
func read(n int) func(*traffic.Call) error {
	return func(c *traffic.Call) error {
		for range n {
			if _, err := c.Body.Next(); err == io.EOF {
				break
			}
		}
		c.Response.Status = 200
		return nil
	}
}

func TestServe(t *testing.T) {
	for _, x := range []struct {
		name   string
		shares []uint32
		edit   func(*traffic.Call)
		body   string
		reads  int
		copies int
	}{
		{name: "all", shares: []uint32{All}, copies: 1},
		{name: "none", shares: []uint32{0}},
		{name: "several", shares: []uint32{All, 0, All}, copies: 2},
		{name: "with its body", shares: []uint32{All}, body: "abc", reads: 2, copies: 1},
		{name: "a body nobody read to its end", shares: []uint32{All}, body: "abc", reads: 1},
		{name: "a connection", shares: []uint32{All}, edit: func(c *traffic.Call) { c.Proto = traffic.TCP }},
		{name: "an upgrade", shares: []uint32{All}, edit: func(c *traffic.Call) { c.Upgrade = "websocket" }},
		{name: "a tunnel", shares: []uint32{All}, edit: func(c *traffic.Call) { c.Method = "CONNECT" }},
	} {
		h := &traffictest.Host{}
		c := h.Call()
		if x.body != "" {
			c.Body, h.Answer = &traffic.Bytes{B: []byte(x.body)}, read(x.reads)
		}
		if x.edit != nil {
			x.edit(c)
		}
		_ = traffic.Chain(traffic.Forward{}, With(policies(x.shares...))).Serve(c)
		if len(h.Detached) != 0 {
			t.Errorf("%s: copied before its end", x.name)
		}
		h.Answer = nil
		c.Finish(h.Time)
		if len(h.Detached) != x.copies {
			t.Errorf("%s: %d copies, wanted %d", x.name, len(h.Detached), x.copies)
		}
		if x.reads == 1 && traffictest.Last(c).Reason != decision.Limited {
			t.Errorf("%s: nothing says why there is no copy", x.name)
		}
	}
}

func TestCopyIsSentElsewhere(t *testing.T) {
	for authority, want := range map[string]string{"svc": "svc-shadow", "svc:80": "svc-shadow:80", "[::1]:80": "[::1]-shadow:80", "[::1]": "[::1]-shadow"} {
		h := &traffictest.Host{Answer: read(2)}
		c := h.Call()
		c.Authority, c.Body = authority, &traffic.Bytes{B: []byte("abc")}
		c.Trailer.Receive("sum", "6")
		p := []Policy{{Target: traffic.Target{Service: "copies"}, Share: All, Shadow: true}}
		_ = traffic.Chain(traffic.Forward{}, With(p, []traffic.Handler{traffic.Forward{}})).Serve(c)
		h.Answer = nil
		c.Finish(h.Time)
		f := h.Detached[0]
		sum, _ := f.Trailer.Get("sum")
		b, _ := f.Body.Next()
		if f.Authority != want || f.Target.Service != "copies" || c.Authority != authority || string(b) != "abc" || sum != "6" {
			t.Errorf("%s: %s %v %q", authority, f.Authority, f.Target, b)
		}
	}
}

func TestSharesAreDrawnApart(t *testing.T) {
	p, _ := policies(All/2, All/2)
	same := 0
	for i := range uint64(10_000) {
		a := &traffic.Attrs{Draw: i, Proto: traffic.HTTP1}
		if p[0].Wants(a, 0) == p[1].Wants(a, 1) {
			same++
		}
	}
	if same < 4750 || same > 5250 {
		t.Errorf("%d of 10000 drawn alike", same)
	}
}

func TestValidate(t *testing.T) {
	if (&Policy{Share: All + 1}).Validate() == nil || (&Policy{Share: All}).Validate() != nil {
		t.Error("up to all calls can be copied")
	}
}

// BenchmarkNotCopied is what a mirror costs a call that is not in its share.
func BenchmarkNotCopied(b *testing.B) {
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(policies(0)))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		_ = s.Serve(c)
		c.Finish(h.Time)
	}
}
