package route

import (
	"math"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/match/matchtest"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func ref(name string) decision.Ref { return decision.Ref{Kind: "Test", Name: name} }

func header(name, value string) match.Request {
	return match.Request{Headers: []match.Header{{Name: name, Values: []match.String{{Value: value}}}}}
}

// named answers 200 and says which handler it is by the call's target.
type named string

func (n named) Serve(c *traffic.Call) error {
	c.Target.Service, c.Response.Status = string(n), 200
	return nil
}

func table(t testing.TB) *Table {
	object := ref("reviews")
	rules := []Rule{
		{Ref: ref("jason"), Matches: []match.Request{header("end-user", "jason")}},
		{Ref: ref("canary"), Matches: []match.Request{header("x-canary", "true"), {Paths: []match.String{{Kind: match.Regex, Value: "/v[0-9]"}}}}},
	}
	for i := range rules {
		if err := rules[i].Compile(); err != nil {
			t.Fatal(err)
		}
	}
	return NewTable(&object, NewRules(rules), []traffic.Handler{named("v2"), named("canary")})
}

func TestTable(t *testing.T) {
	for _, x := range []struct {
		name   string
		call   func(*traffic.Call)
		status int
		to, by string
		why    decision.Reason
	}{
		{"the first", func(c *traffic.Call) { c.Header.Receive("end-user", "jason"); c.Header.Receive("x-canary", "true") }, 200, "v2", "jason", decision.Matched},
		{"either match", func(c *traffic.Call) { c.Path = "/v1" }, 200, "canary", "canary", decision.Matched},
		{"none: 404, as in Istio", func(*traffic.Call) {}, 404, "", "reviews", decision.NoRoute},
	} {
		c := (&traffictest.Host{}).Call()
		x.call(c)
		_ = table(t).Serve(c)
		if v := traffictest.Last(c); c.Response.Status != x.status || c.Target.Service != x.to || v.Ref.Name != x.by || v.Reason != x.why {
			t.Errorf("%s: %d %v %v", x.name, c.Response.Status, c.Target, v)
		}
	}
}

func TestBadRuleIsRefused(t *testing.T) {
	r := Rule{Matches: []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "("}}}}}
	if r.Compile() == nil {
		t.Error("an expression that is none is taken")
	}
}

// TestFindAgrees: "A plain linear evaluator, which also lists what was considered and lost, must pick the same winner as the compiled
// one" (DESIGN section 12).
func TestFindAgrees(t *testing.T) {
	for seed := range uint64(40) {
		r := matchtest.Of(seed)
		list := make([]Rule, 9+r.IntN(30))
		for i := range list {
			for range 1 + r.IntN(2) {
				list[i].Matches = append(list[i].Matches, r.Request())
			}
			if err := list[i].Compile(); err != nil {
				t.Fatal(err)
			}
		}
		rules := NewRules(list)
		for range 40 {
			a := r.Attrs()
			got, v := rules.Find(a)
			a.Trail = &decision.Trail{}
			if want, w := rules.Find(a); got != want || v != w {
				t.Fatalf("seed %d: rule %d, want %d, of %+v: %v", seed, got, want, a, a.Trail)
			}
		}
	}
}

func TestTrailListsWhatLost(t *testing.T) {
	c := (&traffictest.Host{}).Call()
	c.Trail = &decision.Trail{}
	_ = table(t).Serve(c)
	if s := c.Trail.Steps; len(s) != 4 || s[0].Took || s[0].Note != `header end-user is "", wanted [exact jason]` || !s[3].Took {
		t.Errorf("%+v", s)
	}
}

func weighted(weights ...uint32) (b []Weighted, next []traffic.Handler) {
	for i, w := range weights {
		name := string(rune('a' + i))
		b = append(b, Weighted{Target: traffic.Target{Service: name}, Weight: w})
		next = append(next, named(name))
	}
	return b, next
}

func TestSplitByWeight(t *testing.T) {
	b, next := weighted(90, 0, 10)
	s := NewSplitter(nil, b, next)
	const calls = 20_000
	hits := map[string]float64{}
	for i := range uint64(calls) {
		c := (&traffictest.Host{}).Call()
		c.Draw = i * 7919 // a fixed seed
		_ = s.Serve(c)
		hits[c.Target.Service]++
	}
	// 5 standard deviations of the binomial distribution
	if d := 5 * math.Sqrt(calls*0.9*0.1); math.Abs(hits["a"]-calls*0.9) > d || hits["b"] != 0 || math.Abs(hits["c"]-calls*0.1) > d {
		t.Errorf("%v", hits)
	}
}

func TestSplitEnds(t *testing.T) {
	rule := ref("rule")
	for _, x := range []struct {
		name     string
		backends []Weighted
		status   int
		why      decision.Reason
	}{
		{"one", []Weighted{{Weight: 1}}, 200, decision.Default},
		{"none", nil, 500, decision.NoBackend},
		{"all weights zero", []Weighted{{}, {}}, 500, decision.NoBackend},
		{"one that does not exist", []Weighted{{Weight: 1, Missing: "no such service"}}, 500, decision.NoBackend},
	} {
		c := (&traffictest.Host{}).Call()
		_ = NewSplitter(&rule, x.backends, []traffic.Handler{named("x"), named("y")}).Serve(c)
		v := traffictest.Last(c)
		if c.Response.Status != x.status || v.Reason != x.why || x.status == 500 && v.Ref != &rule {
			t.Errorf("%s: %d %v", x.name, c.Response.Status, v)
		}
	}
}

// TestMissingKeepsItsShare: "Missing backend → 500 for its weight share, not redistributed" (reference).
func TestMissingKeepsItsShare(t *testing.T) {
	b, next := weighted(1, 1)
	b[1].Missing = "no such service"
	s, failed := NewSplitter(nil, b, next), 0
	for i := range uint64(2000) {
		c := (&traffictest.Host{}).Call()
		c.Draw = i
		if _ = s.Serve(c); c.Response.Status == 500 {
			failed++
		}
	}
	if failed < 890 || failed > 1110 {
		t.Errorf("%d of 2000 failed", failed)
	}
}

func TestWaysLeadWhereTheySay(t *testing.T) {
	b, next := weighted(98, 1, 0, 1)
	s := NewSplitter(nil, b, next)
	ways, share := Ways(b), 0.0
	for _, w := range ways {
		share += w.Share
		c := (&traffictest.Host{}).Call()
		c.Draw, c.Trail = w.Draw, &decision.Trail{}
		if _ = s.Serve(c); c.Target.Service+":0" != w.Name || len(c.Trail.Steps[0].Options) != 3 {
			t.Errorf("%+v led to %v", w, c.Target)
		}
	}
	if len(ways) != 3 || math.Abs(share-1) > 1e-9 {
		t.Errorf("%+v", ways)
	}
}

func BenchmarkTableAndSplit(b *testing.B) {
	tab := table(b)
	w, next := weighted(90, 10)
	tab.next[0] = NewSplitter(&tab.rules.list[0].Ref, w, next)
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.Header.Receive("end-user", "jason")
		if _ = tab.Serve(c); c.Response.Status != 200 {
			b.Fatal(c.Verdicts())
		}
	}
}
