package mesh_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// What DESIGN section 4 says of dialects that speak of one thing, sentence by sentence. What is not here is in merge_test.go.

// TestRanks: "Gateway API over policy.linkerd.io routes over VirtualService over [...] TrafficSplit", and "comes from one dialect":
// rules of two are never mixed, though both may be pooled.
func TestRanks(t *testing.T) {
	route := func(r mesh.Rank, name string) mesh.Route {
		return mesh.Route{Ref: ref(decision.Weft, "default", name), Host: host, Rank: r, Pooled: true, Rules: []mesh.Rule{rule(name)}}
	}
	all := []mesh.Route{route(mesh.RankTrafficSplit, "split"), route(mesh.RankVirtualService, "vs"), route(mesh.RankLinkerdRoute, "l5d"), route(mesh.RankGatewayAPI, "gw")}
	for n, want := range []string{"split", "vs", "l5d", "gw"} {
		s, svc := snapshot(mesh.Part{Routes: all[:n+1]})
		if got := names(s.Calling(svc, 80, mesh.Caller{}).Rules); got != want {
			t.Errorf("%d dialects: %q, want %q", n+1, got, want)
		}
	}
}

// TestProfileUnderAnyWinner: "A ServiceProfile's response classes, budgets and timeouts apply under any winner".
func TestProfileUnderAnyWinner(t *testing.T) {
	gw := mesh.Route{Ref: ref(decision.GatewayAPI, "default", "gw"), Host: host, Rules: []mesh.Rule{rule("gw")}}
	profile := func(name, consumer string, rules ...mesh.Rule) mesh.Profile {
		return mesh.Profile{Ref: ref(decision.Linkerd, "default", name), Created: young, Host: host, Consumer: consumer, Rules: rules,
			Budget: &retry.Budget{Ref: decision.Ref{Name: name}}}
	}
	older := profile("older", "")
	older.Created = old
	bare := profile("bare", "")
	bare.Budget = nil
	notes, bare2 := profile("notes", "", rule("notes")), profile("bare2", "")
	notes.Layer, notes.Created, notes.Budget = mesh.LayerAnnotation, old, nil
	port := rule("port")
	port.Port = 81
	policy := mesh.BackendPolicy{Ref: ref(decision.Istio, "default", "dr"), Host: host, Policy: mesh.Outbound{Budget: &retry.Budget{Ref: decision.Ref{Name: "dr"}}}}
	for _, x := range []struct {
		name          string
		profiles      []mesh.Profile
		policies      []mesh.BackendPolicy
		rules, budget string
	}{
		{"the owner's", []mesh.Profile{profile("all", "", rule("r"), port)}, nil, "r", "all"},
		{"the oldest", []mesh.Profile{profile("all", "", rule("r")), older}, nil, "", "older"},
		{"the caller's namespace's before the owner's, however young", []mesh.Profile{older, profile("own", "shop", rule("r"))}, nil, "r", "own"},
		{"another namespace's is not for the caller", []mesh.Profile{profile("other", "stock", rule("r")), profile("own", "shop")}, nil, "", "own"},
		{"a profile's budget before a backend policy's", []mesh.Profile{profile("all", "")}, []mesh.BackendPolicy{policy}, "", "all"},
		{"annotations where there is no profile", []mesh.Profile{notes}, []mesh.BackendPolicy{policy}, "notes", "dr"},
		{"a profile's rules before those of annotations, however old", []mesh.Profile{notes, profile("all", "", rule("r"))}, nil, "r", "all"},
		{"annotations beside a profile without rules", []mesh.Profile{bare2, notes}, nil, "notes", "bare2"},
		{"a backend policy's where the profile has none", []mesh.Profile{bare}, []mesh.BackendPolicy{policy}, "", "dr"},
	} {
		s, svc := snapshot(mesh.Part{Routes: []mesh.Route{gw}, Profiles: x.profiles, Backends: x.policies})
		got := s.Calling(svc, 80, mesh.Caller{Namespace: "shop"})
		if names(got.Rules) != "gw" || names(got.Profile) != x.rules || got.Budget == nil || got.Budget.Ref.Name != x.budget {
			t.Errorf("%s: rules %q, profile %q, budget %v", x.name, names(got.Rules), names(got.Profile), got.Budget)
		}
	}
}

// TestSubsetBeforeService: a subset's policy goes before its service's, field by field.
func TestSubsetBeforeService(t *testing.T) {
	p := mesh.BackendPolicy{Ref: ref(decision.Istio, "default", "dr"), Host: host,
		Policy:  mesh.Outbound{Breaker: &breaker.Policy{MaxRequests: 1}, Secure: &traffic.Secure{Mode: traffic.Clear}},
		Subsets: []mesh.Subset{{Name: "v1", Policy: mesh.Outbound{Breaker: &breaker.Policy{MaxRequests: 2}}}}}
	s, svc := snapshot(mesh.Part{Backends: []mesh.BackendPolicy{p}})
	got := s.Calling(svc, 80, mesh.Caller{}).Subsets[0].Policy
	if got.Breaker.MaxRequests != 2 || got.Secure == nil || got.Secure.Mode != traffic.Clear {
		t.Errorf("the subset is called by %+v", got)
	}
}

// TestPoliciesForSome: a backend policy for some callers, or for a port, goes before what is around it, field by field.
func TestPoliciesForSome(t *testing.T) {
	limit := func(n uint32) mesh.Outbound { return mesh.Outbound{Breaker: &breaker.Policy{MaxRequests: n}} }
	all := mesh.BackendPolicy{Ref: ref(decision.Istio, "shop", "all"), Created: old, Host: host, Policy: limit(1)}
	all.Policy.Secure = &traffic.Secure{Mode: traffic.Clear}
	all.Ports = []mesh.PortPolicy{{Port: 81, Policy: limit(81)}}
	some := mesh.BackendPolicy{Ref: ref(decision.Istio, "shop", "some"), Created: young, Host: host, Policy: limit(2), Selector: &match.Selector{Labels: []string{"app=web"}}}
	for _, x := range []struct {
		name   string
		caller mesh.Caller
		port   uint16
		want   uint32
	}{
		{"one of the callers", mesh.Caller{Namespace: "shop", Labels: []string{"app=web"}}, 80, 2},
		{"another caller", mesh.Caller{Namespace: "shop", Labels: []string{"app=db"}}, 80, 1},
		{"the port", mesh.Caller{Namespace: "shop"}, 81, 81},
	} {
		s, svc := snapshot(mesh.Part{Backends: []mesh.BackendPolicy{all, some}})
		got := s.Calling(svc, x.port, x.caller).Policy
		if got.Breaker == nil || got.Breaker.MaxRequests != x.want || (got.Secure == nil) != (x.want == 2) {
			t.Errorf("%s: %+v", x.name, got)
		}
	}
	some.Ref.Namespace = "default" // the service's: its callers' labels are not its to judge
	s, svc := snapshot(mesh.Part{Backends: []mesh.BackendPolicy{some}})
	if got := s.Calling(svc, 80, mesh.Caller{Namespace: "shop", Labels: []string{"app=web"}}).Policy; got.Breaker != nil {
		t.Errorf("a policy for callers of another namespace: %+v", got)
	}
}

// TestEveryDialectHasItsEngine: "each dialect is a complete engine with its own semantics [...]. A request passes when every dialect
// that selects the workload lets it pass": rules of two never meet in one, and what closes an engine is its oldest object.
func TestEveryDialectHasItsEngine(t *testing.T) {
	of := func(d decision.Dialect, name string, port string) mesh.Authorization {
		r := ref(d, "default", name)
		return mesh.Authorization{Ref: r, Created: young, Port: port, Exclusive: port != "", Closes: &r,
			Tiers: []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{Ref: r}}}}}
	}
	older := of(decision.Istio, "istio-older", "")
	older.Created = old
	first := of(decision.Linkerd, "l5d-first", "80")
	first.Created = old
	w := mesh.Workload{Name: "w", Namespace: "default", Ports: []mesh.WorkloadPort{{Name: "http", Number: 80}}}
	s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{w}}, mesh.Part{Authorizations: []mesh.Authorization{of(decision.Cilium, "cilium", ""),
		of(decision.Istio, "istio", ""), older, of(decision.Linkerd, "l5d-second", "http"), first}})
	var got []string
	for _, e := range s.Inbound(s.Workloads.Get("default/w")).Authz {
		line := e.Dialect.String() + " closed by " + e.Closed.Name + ":"
		for _, r := range e.Tiers[0].Rules {
			line += " " + r.Ref.Name
		}
		got = append(got, line)
	}
	want := []string{"istio closed by istio-older: istio-older istio", "linkerd closed by l5d-first: l5d-first", "cilium closed by cilium: cilium"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestStrictestOfAll: "mTLS: each dialect's own precedence first; across dialects the strictest result", in whichever order they speak.
func TestStrictestOfAll(t *testing.T) {
	mode := func(d decision.Dialect, m mtls.Mode) mesh.PeerMode {
		return mesh.PeerMode{Ref: ref(d, "default", "m"), Namespace: "default", Mode: m}
	}
	for _, x := range [][2]mtls.Mode{{mtls.Strict, mtls.Permissive}, {mtls.Permissive, mtls.Strict}, {mtls.Strict, mtls.Disable}, {mtls.Disable, mtls.Strict}} {
		s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{{Name: "w", Namespace: "default"}}},
			mesh.Part{PeerModes: []mesh.PeerMode{mode(decision.Istio, x[0]), mode(decision.Linkerd, x[1])}})
		if p := s.Inbound(s.Workloads.Get("default/w")).MTLS; p.On(80).Mode != mtls.Strict {
			t.Errorf("%v: %v", x, p.On(80).Mode)
		}
	}
}

// TestAsks: callers that rules could tell apart must not share a configuration.
func TestAsks(t *testing.T) {
	callers := rule("callers")
	callers.Caller = &match.Caller{Namespaces: []string{"shop"}, Selector: match.Selector{Labels: []string{"app=web"},
		Exprs: []match.Requirement{{Key: "tier", Op: match.Exists}}}}
	dr := func(ns string) mesh.BackendPolicy {
		return mesh.BackendPolicy{Ref: ref(decision.Istio, ns, "dr"), Host: host}
	}
	root, exported, selecting := dr("istio-system"), dr("default"), dr("default")
	root.Root, exported.Exports, selecting.Selector = true, []string{"shop"}, &match.Selector{Labels: []string{"app=web"}}
	for name, x := range map[string]struct {
		part      mesh.Part
		namespace bool
		labels    int
	}{
		"nothing":                       {mesh.Part{}, false, 0},
		"a route for everybody":         {mesh.Part{Routes: []mesh.Route{{Host: host}}}, false, 0},
		"a consumer's route":            {mesh.Part{Routes: []mesh.Route{{Host: host, Consumer: "shop"}}}, true, 0},
		"a rule for some callers":       {mesh.Part{Routes: []mesh.Route{{Host: host, Rules: []mesh.Rule{callers}}}}, true, 2},
		"a consumer's profile":          {mesh.Part{Profiles: []mesh.Profile{{Host: host, Consumer: "shop"}}}, true, 0},
		"the service's backend policy":  {mesh.Part{Backends: []mesh.BackendPolicy{dr("default")}}, false, 0},
		"a caller's backend policy":     {mesh.Part{Backends: []mesh.BackendPolicy{dr("shop")}}, true, 0},
		"the root's":                    {mesh.Part{Backends: []mesh.BackendPolicy{root}}, false, 0},
		"one that is exported to some":  {mesh.Part{Backends: []mesh.BackendPolicy{exported}}, true, 0},
		"one for callers with a label":  {mesh.Part{Backends: []mesh.BackendPolicy{selecting}}, true, 1},
		"a policy of all, by wildcards": {mesh.Part{Backends: []mesh.BackendPolicy{{Ref: ref(decision.Istio, "shop", "dr"), Host: "*.local"}}}, true, 0},
	} {
		s, svc := snapshot(x.part)
		if got := s.Asks(svc); got.Namespace != x.namespace || len(got.Labels) != x.labels {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestPoliciesTouchWhomTheySelect: what has to be compiled again when a policy comes.
func TestPoliciesTouchWhomTheySelect(t *testing.T) {
	for name, x := range map[string]struct {
		a                   mesh.Authorization
		everybody, allHosts bool
		namespace           string
	}{
		"of a namespace":       {mesh.Authorization{Namespaces: []string{"shop"}}, false, false, "shop"},
		"of all":               {mesh.Authorization{}, true, false, ""},
		"of calls that go out": {mesh.Authorization{Namespaces: []string{"shop"}, Out: true}, false, true, "shop"},
	} {
		_, got := mesh.New().With([]mesh.Change{{New: &mesh.Part{Authorizations: []mesh.Authorization{x.a}}}})
		if got.Everybody != x.everybody || got.AllHosts != x.allHosts || got.Namespaces["shop"] != (x.namespace != "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	_, got := mesh.New().With([]mesh.Change{{New: &mesh.Part{PeerModes: []mesh.PeerMode{{Ref: ref(decision.Istio, "istio-system", "m")}}}}})
	if !got.Everybody {
		t.Errorf("a mode of the mesh: %+v", got)
	}
}

// TestWhoIsCalled: what is neither ready nor about to end is no endpoint, whether it is selected or listed.
func TestWhoIsCalled(t *testing.T) {
	addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
	for n, x := range []struct{ ready, draining, want bool }{{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}} {
		w := mesh.Workload{Name: "w", Namespace: "default", Addr: addr(1), Ready: x.ready, Draining: x.draining}
		svc := func(name string, s *match.Selector) mesh.Service {
			return mesh.Service{Host: name, Name: name, Namespace: "default", Ports: []mesh.Port{{Number: 80}}, Selector: s}
		}
		s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{Workloads: []mesh.Workload{w}, Services: []mesh.Service{svc("selects", &match.Selector{}), svc("lists", nil)},
			Endpoints: []mesh.EndpointSet{{Host: "lists", Ports: []mesh.Port{{Number: 80}}, Addrs: []mesh.EndpointAddr{{Addr: addr(2), Ready: x.ready, Draining: x.draining}}}}}}})
		for name, svc := range s.Services.All() {
			if got := s.Endpoints(svc, &svc.Ports[0], nil); (len(got) == 1) != x.want || x.want && got[0].Draining != x.draining {
				t.Errorf("%d, %s: %+v", n, name, got)
			}
		}
	}
}

// TestSubsetsAndTargets: an address of which nothing is known has no labels; a port may be known by its name alone.
func TestSubsetsAndTargets(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.1")
	w := mesh.Workload{Name: "w", Namespace: "default", Addr: addr, Labels: []string{"version=v1"}, Ready: true, Ports: []mesh.WorkloadPort{{Name: "web", Number: 8080}}}
	set := mesh.EndpointSet{Host: host, Ports: []mesh.Port{{Number: 80}}, Addrs: []mesh.EndpointAddr{{Addr: addr, Ready: true}, {Addr: netip.MustParseAddr("192.0.2.1"), Ready: true}}}
	s, svc := snapshot(mesh.Part{Workloads: []mesh.Workload{w}, Endpoints: []mesh.EndpointSet{set}})
	for n, labels := range [][]string{{"version=v2"}, {"version=v1"}, nil} {
		if got := s.Endpoints(svc, &svc.Ports[0], labels); len(got) != n {
			t.Errorf("%q: %+v", labels, got)
		}
	}
	for _, x := range []struct {
		port mesh.Port
		want uint16
		ok   bool
	}{{mesh.Port{Number: 80}, 80, true}, {mesh.Port{Number: 80, Target: 81}, 81, true}, {mesh.Port{Number: 80, TargetName: "web"}, 8080, true}, {mesh.Port{TargetName: "none"}, 0, false}} {
		if got, ok := mesh.TargetOf(&w, &x.port); got != x.want || ok != x.ok {
			t.Errorf("%+v: %d %v", x.port, got, ok)
		}
	}
}

// TestPodThatIsNotKnown: "a mesh address that is not known is refused with that reason, never sent in plaintext" (DESIGN section 2):
// an endpoint that is said to be a workload's is none until that one is known at the address.
func TestPodThatIsNotKnown(t *testing.T) {
	addr, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	set := mesh.EndpointSet{Host: host, Ports: []mesh.Port{{Number: 80}}, Addrs: []mesh.EndpointAddr{{Addr: addr, Workload: "default/w", Ready: true}}}
	w := mesh.Workload{Name: "w", Namespace: "default", Addr: addr, Ready: true}
	elsewhere, another := w, w
	elsewhere.Addr, another.Name = other, "another"
	for name, x := range map[string]struct {
		there []mesh.Workload
		want  int
	}{"nobody": {nil, 0}, "the workload": {[]mesh.Workload{w}, 1}, "it is elsewhere": {[]mesh.Workload{elsewhere}, 0}, "another": {[]mesh.Workload{another}, 0}} {
		s, svc := snapshot(mesh.Part{Workloads: x.there, Endpoints: []mesh.EndpointSet{set}})
		if got := s.Endpoints(svc, &svc.Ports[0], nil); len(got) != x.want || x.want > 0 && got[0].Workload == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestEmpty: a part that says one thing, whichever, is not empty.
func TestEmpty(t *testing.T) {
	if !(&mesh.Part{}).Empty() {
		t.Error("nothing is something")
	}
	for i := range reflect.TypeFor[mesh.Part]().NumField() {
		p := mesh.Part{}
		f := reflect.ValueOf(&p).Elem().Field(i)
		if f.Set(reflect.MakeSlice(f.Type(), 1, 1)); p.Empty() {
			t.Errorf("%s is nothing", reflect.TypeFor[mesh.Part]().Field(i).Name)
		}
	}
}

// TestTimeoutsOfPorts: rules for one port of a service say nothing of another.
func TestTimeoutsOfPorts(t *testing.T) {
	r := rule("r")
	r.Port, r.Timeout = 81, &timeout.Policy{Limit: 1}
	s, svc := snapshot(mesh.Part{Routes: []mesh.Route{{Ref: ref(decision.Istio, "default", "vs"), Host: host, Rules: []mesh.Rule{r, rule("all")}}}})
	for port, want := range map[uint16]string{80: "all", 81: "r all"} {
		if got := names(s.Calling(svc, port, mesh.Caller{}).Rules); got != want {
			t.Errorf("port %d: %q, want %q", port, got, want)
		}
	}
}
