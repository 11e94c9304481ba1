package compile_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unique"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const ratings = "ratings.default.svc.cluster.local"

func ref(kind, name string) decision.Ref {
	return decision.Ref{Dialect: decision.Istio, Kind: kind, Namespace: "default", Name: name}
}

// snapshot makes a mesh of what objects say.
func snapshot(parts ...mesh.Part) *mesh.Snapshot {
	var changes []mesh.Change
	for i := range parts {
		changes = append(changes, mesh.Change{New: &parts[i]})
	}
	s, _ := mesh.New().With(changes)
	return s
}

func service(name string, ports ...mesh.Port) mesh.Part {
	return mesh.Part{Services: []mesh.Service{{Host: name + ".default.svc.cluster.local", Name: name, Namespace: "default", Ports: ports,
		IPs: []netip.Addr{netip.AddrFrom4([4]byte{240, 0, 0, byte(len(name))})}, Selector: &match.Selector{Labels: []string{"app=" + name}}}}}
}

// workload is one of a service; n numbers its address.
func workload(namespace, app string, n byte, labels ...string) mesh.Part {
	w := mesh.Workload{Name: fmt.Sprint(app, "-", n), Namespace: namespace, Identity: unique.Make(identity.Of("cluster.local", namespace, app)), Ready: true, Weight: 1,
		Addr: netip.AddrFrom4([4]byte{127, 64, 0, n}), Labels: append([]string{"app=" + app}, labels...), Ports: []mesh.WorkloadPort{{Name: "http", Number: 9080, Proto: traffic.Detect}}}
	slices.Sort(w.Labels)
	w.Tunnel = netip.AddrPortFrom(w.Addr, 15008)
	return mesh.Part{Workloads: []mesh.Workload{w}}
}

func to(target traffic.Target) []mesh.Backend {
	return []mesh.Backend{{Weighted: route.Weighted{Target: target, Weight: 1}}}
}

var http = mesh.Port{Name: "http", Number: 80, Target: 9080, Proto: traffic.HTTP1}

func TestServiceOfAPlainMesh(t *testing.T) {
	draining := workload("default", "ratings", 2)
	draining.Workloads[0].Draining = true
	lost := workload("default", "ratings", 4)
	lost.Workloads[0].Ready = false
	s := snapshot(service("ratings", http), workload("default", "ratings", 3, "version=v1"), draining, lost, workload("default", "reviews", 1), workload("other", "ratings", 5))
	got := compile.Service(s, ratings, compile.Class{})
	end := func(n byte, drains bool) traffic.Endpoint {
		a := netip.AddrFrom4([4]byte{127, 64, 0, n})
		return traffic.Endpoint{Addr: netip.AddrPortFrom(a, 9080), ID: identity.Of("cluster.local", "default", "ratings"), Workload: fmt.Sprint("default/ratings-", n),
			Tunnel: netip.AddrPortFrom(a, 15008), Weight: 1, Draining: drains}
	}
	want := &config.Service{Host: ratings, Namespace: "default", IPs: s.Services.Get(ratings).IPs, Ports: []config.Port{{Number: 80, Name: "http", Proto: traffic.HTTP1,
		Pools: []config.Pool{{Endpoints: []traffic.Endpoint{end(2, true), end(3, false)}}}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	if got := compile.Service(s, "nobody.default.svc.cluster.local", compile.Class{}); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestSubsetsArePools(t *testing.T) {
	five := &breaker.Policy{Ref: ref("DestinationRule", "ratings")}
	s := snapshot(service("ratings", http), workload("default", "ratings", 1, "version=v1"), workload("default", "ratings", 2, "version=v2"),
		mesh.Part{Backends: []mesh.BackendPolicy{{Ref: ref("DestinationRule", "ratings"), Host: ratings, Subsets: []mesh.Subset{
			{Name: "v2", Labels: []string{"version=v2"}, Policy: mesh.Outbound{Breaker: five}}, {Name: "none", Labels: []string{"version=v9"}}, {Name: "all"}}}}})
	var got []string
	for _, p := range compile.Service(s, ratings, compile.Class{}).Ports[0].Pools {
		got = append(got, fmt.Sprintf("%s %d %v", p.Subset, len(p.Endpoints), p.Policy.Breaker != nil))
	}
	if want := []string{" 2 false", "v2 1 true", "none 0 false", "all 2 false"}; !slices.Equal(got, want) {
		t.Errorf("pools %q, want %q: the first is without a subset, and one without endpoints is there to be named", got, want)
	}
}

// Rules speak of requests: a TCP port has none.
func TestRulesByPort(t *testing.T) {
	rule := mesh.Rule{Rule: route.Rule{Ref: ref("VirtualService", "ratings")}, Backends: append(to(traffic.Target{Service: ratings}), to(traffic.Target{Service: ratings, Port: 7})...),
		Mirrors: []mirror.Policy{{Target: traffic.Target{Service: ratings}}}}
	parts := []mesh.Part{service("ratings", http, mesh.Port{Name: "tcp", Number: 81, Proto: traffic.TCP}, mesh.Port{Name: "admin", Number: 82, Proto: traffic.HTTP1}),
		{Routes: []mesh.Route{{Ref: ref("VirtualService", "ratings"), Host: ratings, Rank: mesh.RankVirtualService, Rules: []mesh.Rule{rule}}},
			Profiles: []mesh.Profile{{Ref: ref("ServiceProfile", "ratings"), Host: ratings, Rules: []mesh.Rule{{}}}}}}
	s := snapshot(parts...)
	got := compile.Service(s, ratings, compile.Class{})
	for i, want := range []struct {
		rules, profile int
		ports          []uint16
	}{{1, 1, []uint16{80, 7, 80}}, {0, 0, nil}, {1, 1, []uint16{82, 7, 82}}} {
		p := &got.Ports[i]
		var ports []uint16
		for _, r := range p.Rules {
			ports = append(ports, r.Backends[0].Target.Port, r.Backends[1].Target.Port, r.Mirrors[0].Target.Port)
		}
		if len(p.Rules) != want.rules || len(p.Profile) != want.profile || !slices.Equal(ports, want.ports) || p.Route.Kind != map[bool]string{true: "VirtualService"}[want.rules > 0] {
			t.Errorf("port %d: %d rules of %q, %d in the profile, targets %v; want %+v", p.Number, len(p.Rules), p.Route.Kind, len(p.Profile), ports, want)
		}
	}
	if r := parts[1].Routes[0].Rules[0]; r.Backends[0].Target.Port != 0 || r.Mirrors[0].Target.Port != 0 {
		t.Errorf("compiling has changed the mesh: %+v", r)
	}
}

func TestClasses(t *testing.T) {
	consumer := mesh.Part{Routes: []mesh.Route{{Ref: ref("HTTPRoute", "c"), Host: ratings, Consumer: "other"}}}
	labels := mesh.Part{Routes: []mesh.Route{{Ref: ref("VirtualService", "l"), Host: ratings, Rules: []mesh.Rule{
		{Caller: &match.Caller{Selector: match.Selector{Labels: []string{"tier=front"}, Exprs: []match.Requirement{{Key: "zone"}}}}}}}}}
	reads := mesh.Part{Authorizations: []mesh.Authorization{{Ref: ref("CiliumNetworkPolicy", "out"), Out: true, Namespaces: []string{"default"},
		Selector: match.Selector{Labels: []string{"app=a"}}, Tiers: []authz.Tier{{Rules: []authz.Rule{{Dest: []match.Source{{Selectors: []match.Selector{{Labels: []string{"app=ratings"}}}}}}}}}}}}
	a := workload("default", "a", 1, "tier=front", "zone=z1")
	b := workload("other", "b", 2)
	for _, x := range []struct {
		what string
		part mesh.Part
		a, b compile.Class
	}{
		{"nobody asks", mesh.Part{}, compile.Class{}, compile.Class{}},
		{"a route for the calls of one namespace", consumer, compile.Class{Namespace: "default"}, compile.Class{Namespace: "other"}},
		{"rules that ask for labels", labels, compile.Class{Known: "tier=front,zone=z1"}, compile.Class{}},
		{"a policy of a caller that reads labels of endpoints", reads, compile.Class{Labels: true}, compile.Class{}},
	} {
		s := snapshot(service("ratings", http), a, b, x.part)
		for key, want := range map[string]compile.Class{"default/a-1": x.a, "other/b-2": x.b, "default/nobody": {}} {
			if got := compile.ClassOf(s, s.Services.Get(ratings), s.Workloads.Get(key)); got != want {
				t.Errorf("%s: %s is of class %+v, want %+v", x.what, key, got, want)
			}
		}
	}
}

// A class holds nothing that another may not see: what is for the calls of one namespace, and labels of endpoints.
func TestClassesSeeTheirOwn(t *testing.T) {
	mine := mesh.Part{Routes: []mesh.Route{{Ref: ref("HTTPRoute", "secret"), Host: ratings, Consumer: "other", Rules: []mesh.Rule{{Backends: to(traffic.Target{Service: "sesame"})}}}}}
	s := snapshot(service("ratings", http), workload("default", "ratings", 1, "tier=sesame"), mine)
	for class, want := range map[compile.Class]int{{}: 0, {Namespace: "default"}: 0, {Namespace: "other"}: 1, {Labels: true}: 1, {Namespace: "other", Labels: true}: 2} {
		if got := strings.Count(string(config.Append(nil, compile.Service(s, ratings, class))), "sesame"); got != want {
			t.Errorf("%+v sees %d secrets, want %d", class, got, want)
		}
	}
}

func TestWorkload(t *testing.T) {
	in := mesh.Part{Authorizations: []mesh.Authorization{{Ref: ref("CiliumNetworkPolicy", "in"), Namespaces: []string{"default"}, Selector: match.Selector{Labels: []string{"app=ratings"}},
		Tiers: []authz.Tier{{Rules: []authz.Rule{{From: []match.Source{{Selectors: []match.Selector{{Labels: []string{"app=reviews"}}}}}}}}}}}}
	declared := service("ratings", mesh.Port{Number: 80, TargetName: "http", Proto: traffic.GRPC})
	s := snapshot(declared, in, workload("default", "ratings", 1), workload("default", "reviews", 2), workload("other", "ratings", 3))
	got := compile.Workload(s, "default/ratings-1")
	if got.Name != "ratings-1" || got.Namespace != "default" || got.Addr != netip.MustParseAddr("127.64.0.1") || got.ID.String() != "spiffe://cluster.local/ns/default/sa/ratings" ||
		!slices.Equal(got.Labels, []string{"app=ratings"}) || !slices.Equal(got.Ports, []config.AppPort{{Number: 9080, Proto: traffic.GRPC}}) {
		t.Errorf("%+v: its port speaks what the service declares that leads there by name", got)
	}
	if len(got.Inbound.Authz) != 1 || !got.Labelled {
		t.Errorf("%+v: a policy on it reads labels of callers", got)
	}
	for key, proto := range map[string]traffic.Proto{"default/reviews-2": traffic.Detect, "other/ratings-3": traffic.Detect} {
		if w := compile.Workload(s, key); w.Ports[0].Proto != proto || w.Labelled || len(w.Inbound.Authz) > 0 {
			t.Errorf("%s: %+v", key, w)
		}
	}
	own := workload("default", "ratings", 4)
	own.Workloads[0].Ports[0].Proto = traffic.TCP
	if w := compile.Workload(snapshot(declared, own), "default/ratings-4"); w.Ports[0].Proto != traffic.TCP {
		t.Errorf("%+v: what it declares itself counts first", w.Ports)
	}
	if compile.Workload(s, "default/nobody") != nil || compile.Peer(s, "default/nobody") != nil {
		t.Error("there is something of nobody")
	}
	if p := compile.Peer(s, "default/reviews-2"); p.ID.String() != "spiffe://cluster.local/ns/default/sa/reviews" || !slices.Equal(p.Labels, []string{"app=reviews"}) {
		t.Errorf("%+v", p)
	}
}

func TestAll(t *testing.T) {
	s := snapshot(service("ratings", http), service("reviews", http), workload("default", "ratings", 1), workload("default", "reviews", 2))
	set := compile.All(s, s.Workloads.Get("default/reviews-2"))
	if len(set.Services) != 2 || len(set.Addresses) != 3 || len(set.Workloads) != 2 || len(set.Peers) != 2 { // both names have seven letters, so one virtual address
		t.Errorf("%+v", set)
	}
	if got := set.Services[ratings]; !reflect.DeepEqual(got, compile.Service(s, ratings, compile.Class{})) {
		t.Errorf("%+v", got)
	}
}

// TestPod: a pod is asked for where a rule means callers by it, and what is told is what rules may ask.
func TestPod(t *testing.T) {
	at := netip.MustParseAddr("10.0.0.1")
	naked := func(name string) mesh.Part {
		p := workload("default", name, 9, "version=v1")
		p.Workloads[0].Addr, p.Workloads[0].Tunnel = at, netip.AddrPort{}
		return p
	}
	in := func(name string, by bool) mesh.Part {
		return mesh.Part{Authorizations: []mesh.Authorization{{Ref: ref("P", name), Namespaces: []string{"default"}, Selector: match.Selector{Labels: []string{"app=" + name}},
			Tiers: []authz.Tier{{Rules: []authz.Rule{{From: []match.Source{{Authenticated: true, ByAddress: by, Namespaces: []match.String{{Value: "default"}}}}}}}}}}}
	}
	s := snapshot(workload("default", "ratings", 1), workload("default", "reviews", 2), naked("prometheus"), in("ratings", true), in("reviews", false))
	if a, b := compile.Workload(s, "default/ratings-1"), compile.Workload(s, "default/reviews-2"); !a.ByAddress || a.Labelled || b.ByAddress {
		t.Errorf("%+v\n%+v", a, b)
	}
	want := &traffic.Pod{Namespace: "default", Account: "prometheus", Labels: []string{"app=prometheus", "version=v1"}}
	if got := compile.Pod(s, at); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := compile.All(s, nil).Pods; len(got) != 1 || !reflect.DeepEqual(got[at.String()], want) {
		t.Errorf("%+v", got)
	}
	if got := compile.Pod(s, netip.MustParseAddr("10.0.0.2")); got != nil {
		t.Errorf("%+v", got)
	}
	if got := compile.Pod(snapshot(naked("prometheus"), naked("other")), at); !reflect.DeepEqual(got, &traffic.Pod{Unclear: true}) {
		t.Errorf("two have the address: %+v", got)
	}
}

// TestAddress: an IP is a service's, else the workload's that alone has it, with where its proxy is for that address.
func TestAddress(t *testing.T) {
	v6, node := netip.MustParseAddr("fd00::7"), netip.MustParseAddr("192.0.2.1")
	dual := workload("default", "ratings", 1, "version=v1")
	dual.Workloads[0].Extra = &mesh.Extra{Also: []netip.Addr{v6}}
	naked := workload("default", "ratings", 2)
	naked.Workloads[0].Tunnel = netip.AddrPort{}
	shared := workload("default", "agent", 3)
	shared.Workloads[0].Addr, shared.Workloads[0].Shared, shared.Workloads[0].Tunnel = node, true, netip.AddrPort{}
	headless := service("ratings", http)
	headless.Services[0].IPs, headless.Services[0].Headless = nil, true
	plain := service("plain", http)
	plain.Services[0].Selector.Labels = []string{"app=ratings"}
	thief := mesh.Part{Services: []mesh.Service{{Host: "thief.evil.svc.cluster.local", Namespace: "evil", Headless: true, Ports: []mesh.Port{http}}},
		Endpoints: []mesh.EndpointSet{{Host: "thief.evil.svc.cluster.local", Ports: []mesh.Port{http}, Addrs: []mesh.EndpointAddr{{Addr: dual.Workloads[0].Addr, Ready: true}}}}}
	s := snapshot(dual, naked, shared, headless, plain, thief, workload("default", "reviews", 4), mesh.Part{Authorizations: []mesh.Authorization{{Ref: ref("P", "out"), Out: true,
		Selector: match.Selector{Labels: []string{"app=reviews"}}, Tiers: []authz.Tier{{Rules: []authz.Rule{{Dest: []match.Source{{Selectors: []match.Selector{{Labels: []string{"version=v1"}}}}}}}}}}}})
	caller := s.Workloads.Get("default/reviews-4")
	is := func(ip netip.Addr, caller *mesh.Workload, want *config.Address) {
		t.Helper()
		if got := compile.Address(s, ip, caller); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
	at := func(ip netip.Addr, n int, labels ...string) *config.Address {
		return &config.Address{Workload: &traffic.Endpoint{Addr: netip.AddrPortFrom(ip, 0), ID: identity.Of("cluster.local", "default", "ratings"),
			Workload: fmt.Sprint("default/ratings-", n), Tunnel: netip.AddrPortFrom(ip, 15008), Labels: labels},
			Ports: []config.AppPort{{Number: 9080, Proto: traffic.HTTP1}}, Members: []string{ratings}}
	}
	v4 := netip.MustParseAddr("127.64.0.1")
	is(v4, nil, at(v4, 1))
	is(v6, nil, at(v6, 1))
	is(v4, caller, at(v4, 1, "app=ratings", "version=v1"))
	bare := at(netip.MustParseAddr("127.64.0.2"), 2)
	bare.Workload.Tunnel = netip.AddrPort{}
	is(bare.Workload.Addr.Addr(), nil, bare)
	is(s.Services.Get("plain.default.svc.cluster.local").IPs[0], nil, &config.Address{Host: "plain.default.svc.cluster.local"})
	is(node, nil, nil)
	is(netip.MustParseAddr("198.51.100.1"), nil, nil)
	if to, proto := at(v4, 1).At(9080); to.Addr != netip.AddrPortFrom(v4, 9080) || proto != traffic.HTTP1 {
		t.Errorf("%+v %s", to, proto)
	}
	if to, proto := at(v4, 1).At(1); to.Addr.Port() != 1 || proto != traffic.Detect {
		t.Errorf("%+v %s", to, proto)
	}
}

// random makes routes, profiles and policies that tell callers apart by namespace and by labels.
func random(r *rand.Rand) mesh.Part {
	caller := func() *match.Caller {
		c := &match.Caller{}
		if r.IntN(2) == 0 {
			c.Namespaces = []string{fmt.Sprint("ns", r.IntN(3))}
		}
		if r.IntN(2) == 0 {
			c.Selector = match.Selector{Labels: []string{fmt.Sprint("l", r.IntN(3), "=", r.IntN(2))}}
		}
		return c
	}
	var p mesh.Part
	for n := range r.IntN(4) {
		x := mesh.Route{Ref: ref("R", fmt.Sprint(n)), Host: ratings, Rank: mesh.Rank(r.IntN(2)), Pooled: r.IntN(2) == 0}
		if r.IntN(3) == 0 {
			x.Consumer = fmt.Sprint("ns", r.IntN(3))
		}
		for i := range r.IntN(3) {
			rule := mesh.Rule{Rule: route.Rule{Ref: x.Ref.At(fmt.Sprint(i))}, Backends: to(traffic.Target{Service: fmt.Sprint("b", n, i)})}
			if r.IntN(2) == 0 {
				rule.Caller = caller()
			}
			x.Rules = append(x.Rules, rule)
		}
		p.Routes = append(p.Routes, x)
	}
	for n := range r.IntN(3) {
		b := mesh.BackendPolicy{Ref: decision.Ref{Kind: "B", Namespace: fmt.Sprint("ns", r.IntN(3)), Name: fmt.Sprint(n)}, Host: ratings,
			Policy: mesh.Outbound{Breaker: &breaker.Policy{Ref: ref("B", fmt.Sprint(n))}}}
		if r.IntN(2) == 0 {
			b.Exports = []string{fmt.Sprint("ns", r.IntN(3))}
		}
		if r.IntN(2) == 0 {
			b.Selector = &match.Selector{Labels: []string{fmt.Sprint("l", r.IntN(3), "=", r.IntN(2))}}
		}
		p.Backends = append(p.Backends, b)
	}
	if r.IntN(2) == 0 {
		p.Endpoints = []mesh.EndpointSet{{Ref: ref("E", "e"), Host: ratings, Hints: true, Ports: []mesh.Port{{Name: "http", Number: 9080}}}}
		for n := range byte(1 + r.IntN(3)) {
			p.Endpoints[0].Addrs = append(p.Endpoints[0].Addrs, mesh.EndpointAddr{Addr: netip.AddrFrom4([4]byte{10, 0, 0, n}), Ready: true,
				Hints: &mesh.Hints{Zones: []string{fmt.Sprint("z", r.IntN(2))}, Nodes: []string{fmt.Sprint("n", r.IntN(2))}[r.IntN(2):]}})
		}
	}
	if r.IntN(2) == 0 {
		p.Profiles = []mesh.Profile{{Ref: ref("P", "p"), Host: ratings, Consumer: fmt.Sprint("ns", r.IntN(3)), Rules: []mesh.Rule{{Rule: route.Rule{Ref: ref("P", "p")}}}}}
	}
	return p
}

// A class tells apart all callers that the rules tell apart: what it gets is what a class of its own, with everything that is
// known of the caller, would get.
func TestClassesAreFineEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	told := 0
	for range 500 {
		parts := []mesh.Part{service("ratings", http), random(r)}
		parts[0].Services[0].Local = r.IntN(3) == 0
		for n := range byte(3) {
			w := workload("default", "ratings", 100+n)
			w.Workloads[0].Node = fmt.Sprint("n", n)
			parts = append(parts, w)
		}
		for n := range byte(8) {
			w := workload(fmt.Sprint("ns", r.IntN(3)), "c", n+1, fmt.Sprint("l0=", r.IntN(2)), fmt.Sprint("l1=", r.IntN(2)), fmt.Sprint("l2=", r.IntN(2)))
			w.Workloads[0].Node, w.Workloads[0].Zone = fmt.Sprint("n", r.IntN(3)), fmt.Sprint("z", r.IntN(3))
			parts = append(parts, w)
		}
		s := snapshot(parts...)
		for key, w := range s.Workloads.All() {
			class := compile.ClassOf(s, s.Services.Get(ratings), w)
			alone := compile.Class{Namespace: w.Namespace, Known: strings.Join(w.Labels, ","), Labels: class.Labels, Node: w.Node, Zone: w.Zone}
			got, want := compile.Service(s, ratings, class), compile.Service(s, ratings, alone)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s of class %+v gets\n%+v\nwant\n%+v", key, class, got, want)
			}
			if class != (compile.Class{}) {
				told++
			}
		}
	}
	if told == 0 {
		t.Error("no rule told any callers apart: the test shows nothing")
	}
}

// Hints say whose callers are to call an endpoint; those of a service that is called by its endpoints' own addresses count for nobody, since
// its callers have chosen one, and its rules are to be found by any.
func TestHints(t *testing.T) {
	for _, headless := range []bool{false, true} {
		svc := service("ratings", http)
		svc.Services[0].Headless = headless
		set := mesh.EndpointSet{Host: ratings, Hints: true, Ports: []mesh.Port{{Name: svc.Services[0].Ports[0].Name, Number: 9080}}}
		for n, zone := range []string{"a", "b"} {
			set.Addrs = append(set.Addrs, mesh.EndpointAddr{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), Ready: true, Hints: &mesh.Hints{Zones: []string{zone}}})
		}
		caller := workload("default", "c", 1)
		caller.Workloads[0].Zone = "b"
		s := snapshot(svc, mesh.Part{Endpoints: []mesh.EndpointSet{set}}, caller)
		class := compile.ClassOf(s, s.Services.Get(ratings), s.Workloads.Get("default/c-1"))
		if got := compile.Service(s, ratings, class).Ports[0].Pools[0].Endpoints; headless && (len(got) != 2 || class.Zone != "") || !headless && (len(got) != 1 || got[0].Addr.Addr() != set.Addrs[1].Addr) {
			t.Errorf("headless %v: class %+v gets %+v", headless, class, got)
		}
	}
}

// A call to a service that says internalTrafficPolicy: Local stays on its caller's node, or goes nowhere: "the proxy will assume
// that pods only want to talk to endpoints of the service on the same node as the pod, dropping the traffic if there are no local endpoints" (core/v1 ServiceSpec.internalTrafficPolicy). Hints of zones count for nothing then, and a headless service is called as ever.
func TestLocal(t *testing.T) {
	addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 64, 0, n}) }
	for _, x := range []struct {
		node     string
		headless bool
		want     []byte
	}{{"a", false, []byte{1, 2}}, {"b", false, []byte{3}}, {"c", false, nil}, {"a", true, []byte{1, 2, 3, 4}}, {"c", true, []byte{1, 2, 3, 4}}} {
		svc := service("ratings", http)
		svc.Services[0].Local, svc.Services[0].Headless = true, x.headless
		set := mesh.EndpointSet{Host: ratings, Hints: true, Ports: []mesh.Port{{Name: "http", Number: 9080}}}
		parts := []mesh.Part{svc}
		for n, node := range []string{"a", "a", "b"} {
			w := workload("default", "ratings", byte(n+1))
			w.Workloads[0].Node, w.Workloads[0].Zone = node, node
			parts = append(parts, w)
			set.Addrs = append(set.Addrs, mesh.EndpointAddr{Addr: addr(byte(n + 1)), Ready: true, Draining: n == 1, Workload: w.Workloads[0].Key(), Hints: &mesh.Hints{Zones: []string{"b"}}})
		}
		set.Addrs = append(set.Addrs, mesh.EndpointAddr{Addr: addr(4), Ready: true, Hints: &mesh.Hints{Zones: []string{"b"}}}) // nobody's: it is on no node
		caller := workload("default", "c", 9)
		caller.Workloads[0].Node, caller.Workloads[0].Zone = x.node, "b"
		s := snapshot(append(parts, caller, mesh.Part{Endpoints: []mesh.EndpointSet{set}})...)
		var got []byte
		for _, e := range compile.Service(s, ratings, compile.ClassOf(s, s.Services.Get(ratings), s.Workloads.Get("default/c-9"))).Ports[0].Pools[0].Endpoints {
			got = append(got, e.Addr.Addr().As4()[3])
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("from node %s, headless %v: %v, want %v", x.node, x.headless, got, x.want)
		}
	}
}

func BenchmarkService(b *testing.B) {
	parts := []mesh.Part{service("ratings", http)}
	for n := range byte(100) {
		parts = append(parts, workload("default", "ratings", n+1))
	}
	s := snapshot(parts...)
	b.ReportAllocs()
	for b.Loop() {
		compile.Service(s, ratings, compile.Class{})
	}
}
