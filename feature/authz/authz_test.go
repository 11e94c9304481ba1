package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/match/matchtest"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func rule(name string, from []match.Source, to ...match.Request) Rule {
	return Rule{Ref: decision.Ref{Kind: "Test", Name: name}, From: from, To: to}
}

func is(v string) []match.String { return []match.String{{Value: v}} }

var (
	frontend = identity.Of("cluster.local", "default", "frontend")
	byFront  = []match.Source{{Principals: is("cluster.local/ns/default/sa/frontend")}}
	api      = match.Request{Methods: is("GET"), Paths: []match.String{{Kind: match.Prefix, Value: "/api/"}}}
	closed   = &decision.Ref{Kind: "Test", Name: "closed"}
)

func TestWith(t *testing.T) {
	deny := Tier{Effect: Deny, Rules: []Rule{rule("deny", nil, match.Request{Methods: is("DELETE")})}}
	allow := Tier{Effect: Allow, Rules: []Rule{rule("allow", byFront, api)}}
	rest := Tier{Effect: DenyLast, Rules: []Rule{rule("rest", nil)}}
	istio := Engine{Dialect: decision.Istio, Tiers: []Tier{deny, allow}, Closed: closed}
	open := Engine{Dialect: decision.Linkerd, Tiers: []Tier{deny}}
	shut := Engine{Dialect: decision.Cilium, Closed: &decision.Ref{Kind: "Test", Name: "shut"}}
	only5432 := Engine{Dialect: decision.Cilium, Ports: []match.Range{{First: 5432, Last: 5432}}, Closed: closed}
	for _, x := range []struct {
		name    string
		engines []Engine
		call    func(*traffic.Call)
		status  int
		by      string
		why     decision.Reason
	}{
		{name: "allowed", engines: []Engine{istio}, status: 200, by: "allow", why: decision.Matched},
		{name: "another caller", engines: []Engine{istio}, call: func(c *traffic.Call) { c.Source.ID = identity.ID{} }, status: 403, by: "closed", why: decision.NoRuleAllows},
		{name: "another path", engines: []Engine{istio}, call: func(c *traffic.Call) { c.Path = "/apis" }, status: 403, by: "closed", why: decision.NoRuleAllows},
		{name: "deny beats allow", engines: []Engine{{Tiers: []Tier{deny, {Effect: Allow, Rules: []Rule{rule("all", nil)}}}}},
			call: func(c *traffic.Call) { c.Method = "DELETE" }, status: 403, by: "deny", why: decision.Matched},
		{name: "nothing allows, nothing closes", engines: []Engine{open}, status: 200},
		{name: "every engine has to let it pass", engines: []Engine{open, istio}, call: func(c *traffic.Call) { c.Path = "/" }, status: 403, by: "closed", why: decision.NoRuleAllows},
		{name: "also those after one that allows", engines: []Engine{istio, shut}, status: 403, by: "shut", why: decision.NoRuleAllows},
		{name: "and those before one that allows", engines: []Engine{shut, istio}, status: 403, by: "shut", why: decision.NoRuleAllows},
		{name: "an engine of another port", engines: []Engine{only5432}, status: 200},
		{name: "denied last", engines: []Engine{{Tiers: []Tier{allow, rest}}}, call: func(c *traffic.Call) { c.Path = "/" }, status: 403, by: "rest", why: decision.Matched},
		{name: "allowed before denied last", engines: []Engine{{Tiers: []Tier{allow, rest}}}, status: 200, by: "allow", why: decision.Matched},
		{name: "bytes that are not HTTP match no ALLOW", engines: []Engine{istio}, call: func(c *traffic.Call) { c.Proto = traffic.TCP }, status: 403, by: "deny", why: decision.Matched},
		{name: "and every DENY", engines: []Engine{open}, call: func(c *traffic.Call) { c.Proto = traffic.TCP }, status: 403, by: "deny", why: decision.Matched},
		{name: "also the DENY that comes last", engines: []Engine{{Tiers: []Tier{{Effect: DenyLast, Rules: []Rule{rule("last", nil, match.Request{Methods: is("DELETE")})}}}}},
			call: func(c *traffic.Call) { c.Proto = traffic.TCP }, status: 403, by: "last", why: decision.Matched},
		{name: "a tunnel by CONNECT is no HTTP either", engines: []Engine{istio}, call: connect(""), status: 403, by: "deny", why: decision.Matched},
		{name: "and matches no ALLOW of a method", engines: []Engine{{Tiers: []Tier{{Effect: Allow, Rules: []Rule{rule("connect", nil, match.Request{Methods: is("CONNECT")})}}}, Closed: closed}},
			call: connect(""), status: 403, by: "closed", why: decision.NoRuleAllows},
		{name: "but an ALLOW of its caller", engines: []Engine{{Tiers: []Tier{{Effect: Allow, Rules: []Rule{rule("front", byFront)}}}, Closed: closed}},
			call: connect(""), status: 200, by: "front", why: decision.Matched},
		{name: "an extended CONNECT has a head", engines: []Engine{istio}, call: connect("websocket"), status: 403, by: "closed", why: decision.NoRuleAllows},
		{name: "an allow without rules allows nothing", engines: []Engine{{Tiers: []Tier{{Effect: Allow}}, Closed: closed}}, status: 403, by: "closed", why: decision.NoRuleAllows},
		{name: "a rule without conditions allows everything", engines: []Engine{{Tiers: []Tier{{Effect: Allow, Rules: []Rule{rule("any", nil)}}}, Closed: closed}},
			call: func(c *traffic.Call) { c.Source.ID = identity.ID{} }, status: 200, by: "any", why: decision.Matched},
	} {
		h := &traffictest.Host{}
		c := h.Call()
		c.Source.ID, c.Original, c.Path = frontend, netip.MustParseAddrPort("10.0.0.2:80"), "/api/items"
		if x.call != nil {
			x.call(c)
		}
		_ = traffic.Chain(traffic.Forward{}, With(x.engines)).Serve(c)
		v, by := traffictest.Last(c), ""
		if v.Ref != nil {
			by = v.Ref.Name
		}
		if c.Response.Status != x.status || by != x.by || v.Reason != x.why || (h.Attempts == 1) != (x.status == 200) {
			t.Errorf("%s: %d %v", x.name, c.Response.Status, v)
		}
	}
}

func connect(protocol string) func(*traffic.Call) {
	return func(c *traffic.Call) { c.Method, c.Path, c.Upgrade = "CONNECT", "", protocol }
}

func TestDenialOfGRPC(t *testing.T) {
	c := (&traffictest.Host{}).Call()
	c.Proto = traffic.GRPC
	_ = traffic.Chain(traffic.Forward{}, With([]Engine{{Closed: closed}})).Serve(c)
	if s, _ := c.GRPCStatus(); c.Response.Status != 200 || s != "7" {
		t.Errorf("PERMISSION_DENIED expected: %d %s", c.Response.Status, s)
	}
}

// TestEgress: rules of ports "apply after service translation" (reference, Cilium L4), and to*Endpoints read who is behind.
func TestEgress(t *testing.T) {
	database := match.Source{Selectors: []match.Selector{{Labels: []string{"app=database"}}}}
	engines := []Engine{{Dialect: decision.Cilium, Closed: closed, Tiers: []Tier{{Effect: Allow, Rules: []Rule{{
		Ref: decision.Ref{Name: "db"}, Dest: []match.Source{database}, To: []match.Request{{Ports: []match.Range{match.OnePort(5432)}}}}}}}}}
	for _, x := range []struct {
		name   string
		to     *traffic.Endpoint
		status int
	}{
		{"the database", &traffic.Endpoint{Addr: netip.MustParseAddrPort("10.0.0.9:5432"), Labels: []string{"app=database"}}, 200},
		{"its other port", &traffic.Endpoint{Addr: netip.MustParseAddrPort("10.0.0.9:80"), Labels: []string{"app=database"}}, 403},
		{"something else there", &traffic.Endpoint{Addr: netip.MustParseAddrPort("10.0.0.9:5432"), Labels: []string{"app=web"}}, 403},
		{"nothing was chosen", nil, 403},
	} {
		c := (&traffictest.Host{}).Call()
		c.Proto, c.Original, c.To = traffic.TCP, netip.MustParseAddrPort("10.96.0.1:5433"), x.to
		_ = traffic.Chain(traffic.Forward{}, WithEgress(engines)).Serve(c)
		if c.Response.Status != x.status || c.Original.Port() != 5433 {
			t.Errorf("%s: %d %v", x.name, c.Response.Status, c.Verdicts())
		}
	}
}

// TestDestOfACallIn: a rule for endpoints is for calls that go out: of one that comes in there is none, and nothing is allowed by it.
func TestDestOfACallIn(t *testing.T) {
	e := Engine{Closed: closed, Tiers: []Tier{{Effect: Allow, Rules: []Rule{{Dest: []match.Source{{}}}}}}}
	if v := e.Judge(&(&traffictest.Host{}).Call().Attrs, nil); v.Outcome != decision.Deny {
		t.Error(v)
	}
}

// transports are a deny and two allow rules of port 53, over one transport each, and one of port 80 over any.
func transports() Engine {
	dns, web := match.Request{Ports: []match.Range{match.OnePort(53)}}, match.Request{Ports: []match.Range{match.OnePort(80)}}
	over := func(transport string, r Rule) Rule { r.When = []match.Condition{match.Over(transport)}; return r }
	return Engine{Closed: closed, Tiers: []Tier{
		{Effect: Deny, Rules: []Rule{over(match.OverUDP, rule("no-udp", []match.Source{{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}}, dns)),
			over(match.OverTCP, rule("no-tcp", []match.Source{{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}}}, dns))}},
		{Rules: []Rule{over(match.OverUDP, rule("udp", nil, dns)), over(match.OverTCP, rule("tcp", nil, dns)), rule("any", nil, web)}}}}
}

// TestTransports: a rule of UDP says nothing of TCP to the same port number, and the other way around, whether it denies or allows; of
// how a call goes nothing is asked where a rule does not say.
func TestTransports(t *testing.T) {
	for _, x := range []struct {
		from string
		port uint16
		udp  bool
		by   string
	}{
		{"10.0.0.1", 53, true, "no-udp"}, {"10.0.0.1", 53, false, "tcp"},
		{"10.0.0.2", 53, true, "udp"}, {"10.0.0.2", 53, false, "no-tcp"},
		{"10.0.0.3", 53, true, "udp"}, {"10.0.0.3", 53, false, "tcp"},
		{"10.0.0.3", 80, true, "any"}, {"10.0.0.3", 80, false, "any"},
		{"10.0.0.3", 54, true, "closed"}, {"10.0.0.3", 54, false, "closed"},
	} {
		for _, wrap := range []func([]Engine) traffic.Wrap{With, WithEgress} {
			c := (&traffictest.Host{}).Call()
			at := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), x.port)
			c.Proto, c.Source.Addr, c.Original, c.Datagrams = traffic.TCP, netip.AddrPortFrom(netip.MustParseAddr(x.from), 1), at, x.udp
			c.To = &traffic.Endpoint{Addr: at}
			e := transports()
			if err := e.Compile(); err != nil {
				t.Fatal(err)
			}
			_ = traffic.Chain(traffic.Forward{}, wrap([]Engine{e})).Serve(c)
			if v := traffictest.Last(c); v.Ref == nil || v.Ref.Name != x.by {
				t.Errorf("%+v: %v", x, v)
			}
		}
	}
}

// TestOverTCP: what is left where there is no UDP judges as the rules did.
func TestOverTCP(t *testing.T) {
	e := transports()
	for i := range e.Tiers {
		e.Tiers[i].Rules = OverTCP(e.Tiers[i].Rules)
	}
	if d, a := e.Tiers[0].Rules, e.Tiers[1].Rules; len(d) != 1 || d[0].Ref.Name != "no-tcp" || len(d[0].When) > 0 || len(a) != 2 || a[0].Ref.Name != "tcp" || len(a[0].When) > 0 {
		t.Errorf("%+v", e.Tiers)
	}
	if before := transports().Tiers[1].Rules; len(OverTCP(before)) != 2 || len(before) != 3 || len(before[1].When) != 1 {
		t.Errorf("the rules that it is given are changed: %+v", before)
	}
	conditions := []match.Condition{{Key: match.SourceIP}, match.Over(match.OverTCP)}
	if got := OverTCP([]Rule{{When: conditions}}); len(got[0].When) != 1 || got[0].When[0].Key != match.SourceIP || conditions[1].Key != match.Transport {
		t.Errorf("%+v", got)
	}
}

func TestWithoutDatagrams(t *testing.T) {
	for _, udp := range []bool{false, true} {
		c := (&traffictest.Host{}).Call()
		c.Proto, c.Datagrams = traffic.TCP, udp
		_ = traffic.Chain(traffic.Forward{}, WithoutDatagrams).Serve(c)
		if want := map[bool]int{false: 200, true: 403}[udp]; c.Response.Status != want {
			t.Errorf("UDP %v: %d", udp, c.Response.Status)
		}
	}
}

func TestTrailSaysWhatWasPassedOver(t *testing.T) {
	c := (&traffictest.Host{}).Call()
	c.Trail = &decision.Trail{}
	engines := []Engine{{Dialect: decision.Istio, Closed: closed, Tiers: []Tier{{Effect: Allow, Rules: []Rule{rule("caller", byFront), rule("path", nil, api)}}}}}
	_ = traffic.Chain(traffic.Forward{}, With(engines)).Serve(c)
	var got []string
	for _, s := range c.Trail.Steps {
		got = append(got, s.Verdict.Ref.Name+": "+s.Note)
	}
	want := "caller: another source; path: path /, wanted [prefix /api/]; closed: istio"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %q\nwant %q", s, want)
	}
}

// TestJudgeAgrees: "A plain linear evaluator, which also lists what was considered and lost, must pick the same winner as the compiled
// one" (DESIGN section 12).
func TestJudgeAgrees(t *testing.T) {
	denied := 0
	for seed := range uint64(25) {
		r := matchtest.Of(seed)
		e := Engine{}
		for _, effect := range []Effect{Deny, Allow, DenyLast} {
			tier := Tier{Effect: effect}
			for range 9 + r.IntN(4) {
				tier.Rules = append(tier.Rules, random(r))
			}
			e.Tiers = append(e.Tiers, tier)
		}
		if err := e.Compile(); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			a, peer := r.Attrs(), new(traffic.Peer)
			if *peer = r.Peer(); r.IntN(2) == 0 {
				peer = nil
			}
			got := e.Judge(a, peer)
			if got.Outcome == decision.Deny {
				denied++
			}
			a.Trail = &decision.Trail{}
			if want := e.Judge(a, peer); got != want {
				t.Fatalf("seed %d: %v, want %v, of %+v to %+v", seed, got, want, a, peer)
			}
		}
	}
	if denied < 100 || denied > 900 {
		t.Errorf("%d of 1000 calls were denied: too few or too many to tell", denied)
	}
}

func random(r matchtest.Random) (x Rule) {
	for range 1 + r.IntN(2) {
		x.From, x.To = append(x.From, r.Source()), append(x.To, r.Request())
	}
	if r.IntN(2) == 0 {
		x.Dest = append(x.Dest, r.Source())
	}
	for range r.IntN(4) {
		x.When = append(x.When, r.Condition())
	}
	return x
}

func TestOrder(t *testing.T) {
	for _, x := range []struct{ a, b Effect }{{Deny, Allow}, {Allow, DenyLast}, {Deny, DenyLast}} {
		if Order(Tier{Effect: x.a}, Tier{Effect: x.b}) >= 0 || Order(Tier{Effect: x.b}, Tier{Effect: x.a}) <= 0 {
			t.Errorf("%v does not come before %v", x.a, x.b)
		}
	}
}

func TestCompileNamesTheRule(t *testing.T) {
	bad := []match.String{{Kind: match.Regex, Value: "("}}
	for _, r := range []Rule{
		{From: []match.Source{{Principals: bad}}}, {Dest: []match.Source{{Accounts: bad}}},
		{To: []match.Request{{Paths: bad}}}, {When: []match.Condition{{NotValues: bad}}},
	} {
		r.Ref = decision.Ref{Kind: "AuthorizationPolicy", Name: "broken"}
		e := Engine{Tiers: []Tier{{Rules: []Rule{r}}}}
		if err := e.Compile(); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestAmbiguous: "%00, lowercase method -> 400" (reference, Istio's normalization), or a DENY could be walked around.
func TestAmbiguous(t *testing.T) {
	engines := []Engine{{Tiers: []Tier{{Effect: Deny, Rules: []Rule{rule("deny", nil, match.Request{Methods: is("DELETE")}, match.Request{Paths: is("/admin")})}}}}}
	for name, wrap := range map[string]traffic.Wrap{"in": With(engines), "out": WithEgress(engines)} {
		for _, x := range []struct {
			proto        traffic.Proto
			method, path string
			want         int
		}{
			{traffic.HTTP1, "GET", "/", 200}, {traffic.HTTP2, "M-SEARCH", "/a%20b", 200}, {traffic.TCP, "", "", 403},
			{traffic.HTTP1, "delete", "/", 400}, {traffic.HTTP2, "DELETe", "/", 400}, {traffic.HTTP1, "GET", "/admin%00.png", 400},
			{traffic.HTTP1, "DELETE", "/", 403}, {traffic.HTTP1, "GET", "/admin", 403},
		} {
			c := (&traffictest.Host{}).Call()
			c.Proto, c.Method, c.Path, c.To = x.proto, x.method, x.path, &traffic.Endpoint{}
			if _ = traffic.Chain(traffic.Forward{}, wrap).Serve(c); c.Response.Status != x.want {
				t.Errorf("%s: %s %s: %d", name, x.method, x.path, c.Response.Status)
			}
		}
	}
}

func TestUnknownEffectIsRefused(t *testing.T) {
	e := Engine{Tiers: []Tier{{Effect: DenyLast + 1}}}
	if err := e.Compile(); err == nil {
		t.Error("an effect that nobody knows is taken")
	}
}

func BenchmarkInbound(b *testing.B) {
	engines := []Engine{{Dialect: decision.Istio, Tiers: []Tier{{Effect: Allow, Rules: []Rule{rule("allow", byFront, api)}}}, Closed: closed}}
	h, c := &traffictest.Host{}, &traffic.Call{}
	conn := &traffic.Conn{Source: traffic.Peer{ID: frontend}}
	s := traffic.Chain(traffic.Forward{}, With(engines))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.Path = "/api/items"
		if _ = s.Serve(c); c.Response.Status != 200 {
			b.Fatal(c.Verdicts())
		}
	}
}

// many are n rules that differ in one thing; the last is for the caller of BenchmarkJudge.
var many = map[string]func(i int) Rule{
	"principal": func(i int) Rule {
		return Rule{From: []match.Source{{Principals: is(fmt.Sprintf("cluster.local/ns/team-%d/sa/app", i))}}, To: []match.Request{api}}
	},
	"namespace": func(i int) Rule { return Rule{From: []match.Source{{Namespaces: is(fmt.Sprintf("team-%d", i))}}} },
	"account":   func(i int) Rule { return Rule{From: []match.Source{{Accounts: is(fmt.Sprintf("team-%d/app", i))}}} },
	"label": func(i int) Rule {
		return Rule{From: []match.Source{{Selectors: []match.Selector{{Labels: []string{"app=web", fmt.Sprint("team=", i)}}}}}}
	},
	"network": func(i int) Rule {
		return Rule{From: []match.Source{{Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}}}}
	},
	"condition": func(i int) Rule {
		return Rule{When: []match.Condition{{Key: match.RequestHeader, Name: "x-team", Values: is(fmt.Sprint(i))}}}
	},
	"prefix": func(i int) Rule {
		return Rule{To: []match.Request{{Paths: []match.String{{Kind: match.Prefix, Value: fmt.Sprintf("/api/%d/", i)}}}}}
	},
	"regex": func(i int) Rule {
		return Rule{To: []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: fmt.Sprintf(".*/%d/x", i)}}}}}
	},
}

func lastOf(n int) *traffic.Attrs {
	i := n - 1
	a := &traffic.Attrs{Conn: &traffic.Conn{Source: traffic.Peer{ID: identity.Of("cluster.local", fmt.Sprint("team-", i), "app"), Labels: []string{"app=web", fmt.Sprint("team=", i)},
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}), 1)}}, Proto: traffic.HTTP1, Method: "GET", Path: fmt.Sprintf("/api/%d/x", i)}
	a.Header.Receive("x-team", fmt.Sprint(i))
	return a
}

func engine(t testing.TB, n int, rule func(int) Rule) Engine {
	tier := Tier{Effect: Allow}
	for i := range n {
		tier.Rules = append(tier.Rules, rule(i))
	}
	e := Engine{Closed: closed, Tiers: []Tier{tier}}
	if err := e.Compile(); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestJudgeAllocatesNothing(t *testing.T) {
	if race {
		t.Skip("the race detector has pools drop what they hold, which regular expressions run on")
	}
	for name, rule := range many {
		e, a := engine(t, 100, rule), lastOf(100)
		if n := testing.AllocsPerRun(100, func() {
			if v := e.Judge(a, nil); v.Ref != &e.Tiers[0].Rules[99].Ref {
				t.Fatal(name, v)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for name, rule := range many {
		for _, n := range []int{1, 50, 1000, 10_000} {
			e, a := engine(b, n, rule), lastOf(n)
			for way, judge := range map[string]func() int{"linear": func() int { return e.Tiers[0].linear(a, nil) }, "index": func() int { return e.Tiers[0].first(a, nil) }} {
				b.Run(fmt.Sprintf("%s/%d/%s", name, n, way), func(b *testing.B) {
					for b.Loop() {
						judge()
					}
				})
			}
		}
	}
}

func BenchmarkEgress(b *testing.B) {
	engines := []Engine{{Dialect: decision.Cilium, Closed: closed, Tiers: []Tier{{Effect: Allow, Rules: []Rule{{
		Dest: []match.Source{{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, To: []match.Request{{Ports: []match.Range{match.OnePort(5432)}}}}}}}}}
	to := &traffic.Endpoint{Addr: netip.MustParseAddrPort("10.0.0.9:5432")}
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, WithEgress(engines))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.To = to
		if _ = s.Serve(c); c.Response.Status != 200 {
			b.Fatal(c.Verdicts())
		}
	}
}

// TestUnclear: where nobody can say which pod has the caller's address, no rule that allows means it and every rule that denies, however
// many rules there are; and the verdict says why. What does not hang on the pod is as ever.
func TestUnclear(t *testing.T) {
	pods := func(name string, label string) Rule {
		return rule(name, []match.Source{{Authenticated: true, ByAddress: true, Selectors: []match.Selector{{Labels: []string{label}}}}})
	}
	many := func(r Rule) (out []Rule) {
		for i := range 20 {
			out = append(out, pods(fmt.Sprint("other", i), fmt.Sprint("n=", i)))
		}
		return append(out, r)
	}
	world := rule("world", []match.Source{{Unauthenticated: true, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}})
	for _, x := range []struct {
		name   string
		tiers  []Tier
		from   string
		pod    *traffic.Pod
		status int
		by     string
		why    decision.Reason
	}{
		{"the pod", []Tier{{Effect: Allow, Rules: many(pods("web", "app=web"))}}, "10.0.0.1", &traffic.Pod{Namespace: "a", Labels: []string{"app=web"}}, 200, "web", decision.Matched},
		{"another", []Tier{{Effect: Allow, Rules: many(pods("web", "app=web"))}}, "10.0.0.1", &traffic.Pod{Namespace: "a"}, 403, "closed", decision.NoRuleAllows},
		{"none", []Tier{{Effect: Allow, Rules: many(pods("web", "app=web"))}}, "10.0.0.1", nil, 403, "closed", decision.NoRuleAllows},
		{"unclear", []Tier{{Effect: Allow, Rules: many(pods("web", "app=web"))}}, "10.0.0.1", &traffic.Pod{Unclear: true}, 503, "closed", decision.Unauthenticated},
		{"unclear, denied", []Tier{{Effect: Deny, Rules: many(pods("evil", "app=evil"))}, {Effect: Allow, Rules: []Rule{rule("all", nil)}}}, "10.0.0.1",
			&traffic.Pod{Unclear: true}, 503, "other0", decision.Unauthenticated},
		{"denied", []Tier{{Effect: Deny, Rules: many(pods("evil", "app=evil"))}, {Effect: Allow, Rules: []Rule{rule("all", nil)}}}, "10.0.0.1",
			&traffic.Pod{Namespace: "a", Labels: []string{"app=evil"}}, 403, "evil", decision.Matched},
		{"unclear, from where all may come", []Tier{{Effect: Allow, Rules: []Rule{pods("web", "app=web"), world}}}, "192.0.2.1", &traffic.Pod{Unclear: true}, 200, "world", decision.Matched},
		{"unclear, and no rule asks", []Tier{{Effect: Allow, Rules: []Rule{world}}}, "10.0.0.1", &traffic.Pod{Unclear: true}, 403, "closed", decision.NoRuleAllows},
	} {
		e := []Engine{{Tiers: x.tiers, Closed: closed}}
		if err := e[0].Compile(); err != nil {
			t.Fatal(err)
		}
		c := (&traffictest.Host{}).Call()
		c.Source = traffic.Peer{Addr: netip.MustParseAddrPort(x.from + ":1"), Pod: x.pod}
		if err := traffic.Chain(traffic.Forward{}, With(e)).Serve(c); err != nil {
			t.Fatal(err)
		}
		if v := traffictest.Last(c); c.Response.Status != x.status || v.Ref.Name != x.by || v.Reason != x.why || (c.Response.Err != nil) != (x.status == 503) {
			t.Errorf("%s: %d %v %v", x.name, c.Response.Status, v, c.Response.Err)
		}
	}
	if asks := (&Engine{Tiers: []Tier{{Rules: []Rule{world}}, {Rules: []Rule{pods("web", "app=web")}}}}).ByAddress(); !asks {
		t.Error("nobody is told that the engine asks for pods")
	}
}
