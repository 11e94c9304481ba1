package headers

import (
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func list(h *traffic.Header) (s string) {
	for n, v := range h.All {
		s += n + "=" + v + " "
	}
	return s
}

func TestEdits(t *testing.T) {
	for _, x := range []struct {
		name, want, authority string
		e                     Edit
	}{
		{"nothing", "a=1 b=2 a=3 ", "svc", Edit{}},
		{"remove", "b=2 ", "svc", Edit{Remove: []string{"a", "none"}}},
		{"set replaces all", "b=2 a=4 ", "svc", Edit{Set: []Pair{{"a", "4"}}}},
		{"add keeps", "a=1 b=2 a=3 a=4 ", "svc", Edit{Add: []Pair{{"a", "4"}}}},
		{"remove, set, add", "b=2 a=4 a=5 ", "svc", Edit{Add: []Pair{{"a", "5"}}, Set: []Pair{{"a", "4"}}, Remove: []string{"a"}}},
		// "Host/:authority via set rewrites authority; other pseudo headers ignored"
		{"host", "a=1 b=2 a=3 ", "other", Edit{Set: []Pair{{"host", "other"}}}},
		{":authority", "a=1 b=2 a=3 ", "other", Edit{Set: []Pair{{":authority", "other"}}}},
		{"other pseudo headers", "a=1 b=2 a=3 ", "svc", Edit{Set: []Pair{{":path", "/x"}}, Add: []Pair{{":method", "PUT"}, {"host", "x"}}, Remove: []string{":scheme", "host"}}},
	} {
		c := (&traffictest.Host{}).Call()
		for _, f := range []Pair{{"a", "1"}, {"b", "2"}, {"a", "3"}} {
			c.Header.Receive(f.Name, f.Value)
		}
		_ = traffic.Chain(traffic.Forward{}, With(&Policy{Request: x.e})).Serve(c)
		if got := list(&c.Header); got != x.want || c.Authority != x.authority || c.Path != "/" {
			t.Errorf("%s: %s%s, want %s%s", x.name, got, c.Authority, x.want, x.authority)
		}
	}
}

type reply int

func (r reply) Serve(c *traffic.Call) error {
	if r == 0 {
		return c.Fail(traffic.ErrConnect)
	}
	return c.Reply(int(r), decision.Verdict{})
}

// TestResponses: local replies of later handlers, and the place of one that is to come, are edited too.
func TestResponses(t *testing.T) {
	p := &Policy{Response: Edit{Set: []Pair{{"x-served-by", "weft"}}}}
	for _, last := range []traffic.Handler{traffic.Forward{}, reply(403), reply(0)} {
		c := (&traffictest.Host{}).Call()
		_ = traffic.Chain(last, With(p)).Serve(c)
		if v, _ := c.Response.Header.Get("x-served-by"); v != "weft" {
			t.Errorf("%v: not edited", last)
		}
	}
	c := (&traffictest.Host{}).Call()
	c.Proto = traffic.TCP
	_ = traffic.Chain(traffic.Forward{}, With(p)).Serve(c)
	if list(&c.Response.Header) != "" {
		t.Error("a connection has no head")
	}
}

func TestValidate(t *testing.T) {
	good := Policy{Request: Edit{Set: []Pair{{":authority", "a"}, {"x-b", "c d"}}}, Response: Edit{Remove: []string{"server"}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, e := range []Edit{{Set: []Pair{{"X-Upper", ""}}}, {Add: []Pair{{"", ""}}}, {Add: []Pair{{"a", "b\r\nc: d"}}}, {Remove: []string{"a b"}}} {
		for _, p := range []Policy{{Request: e}, {Response: e}} {
			if p.Validate() == nil {
				t.Errorf("%+v is accepted", e)
			}
		}
	}
}

func BenchmarkEdits(b *testing.B) {
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(&Policy{Request: Edit{Set: []Pair{{"a", "1"}}, Remove: []string{"b"}}, Response: Edit{Add: []Pair{{"c", "2"}}}}))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.Header.Receive("a", "0")
		c.Header.Receive("b", "0")
		_ = s.Serve(c)
	}
}
