package mesh_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const host = "reviews.default.svc.cluster.local"

var old, young = time.Unix(1, 0), time.Unix(2, 0)

func ref(d decision.Dialect, ns, name string) decision.Ref {
	return decision.Ref{Dialect: d, Kind: "K", Namespace: ns, Name: name}
}

func rule(name string) mesh.Rule { return mesh.Rule{Rule: route.Rule{Ref: decision.Ref{Name: name}}} }

func snapshot(parts ...mesh.Part) (*mesh.Snapshot, *mesh.Service) {
	parts = append(parts, mesh.Part{Services: []mesh.Service{{Host: host, Name: "reviews", Namespace: "default",
		IPs: []netip.Addr{netip.MustParseAddr("240.0.0.1")}, Ports: []mesh.Port{{Number: 80, Proto: traffic.HTTP1}, {Number: 81, Proto: traffic.HTTP1}}}}})
	var changes []mesh.Change
	for i := range parts {
		changes = append(changes, mesh.Change{New: &parts[i]})
	}
	s, _ := mesh.New().With(changes)
	return s, s.Services.Get(host)
}

func names(rules []mesh.Rule) string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Ref.Name)
	}
	return strings.Join(out, " ")
}

// TestWhoChooses: DESIGN section 4, choice of backend.
func TestWhoChooses(t *testing.T) {
	gw := mesh.Route{Ref: ref(decision.GatewayAPI, "default", "gw"), Created: young, Host: host, Rank: mesh.RankGatewayAPI, Pooled: true, Rules: []mesh.Rule{rule("gw")}}
	gw2 := gw
	gw2.Ref.Name, gw2.Created, gw2.Rules = "gw2", old, []mesh.Rule{rule("gw2")}
	vs := mesh.Route{Ref: ref(decision.Istio, "default", "vs"), Created: old, Host: host, Rank: mesh.RankVirtualService, Rules: []mesh.Rule{rule("vs")}}
	vs2 := vs
	vs2.Ref.Name, vs2.Created, vs2.Rules = "vs2", young, []mesh.Rule{rule("vs2")}
	wild := vs
	wild.Host, wild.Rules = "*.default.svc.cluster.local", []mesh.Rule{rule("wild")}
	consumer := gw
	consumer.Ref.Namespace, consumer.Consumer, consumer.Rules = "shop", "shop", []mesh.Rule{rule("consumer")}
	own := vs
	own.Ref.Namespace, own.Consumer, own.Rules = "shop", "shop", []mesh.Rule{rule("own")}
	port := gw
	port.Port, port.Rules = 81, []mesh.Rule{rule("port81")}
	others := vs
	r := rule("others")
	r.Caller = &match.Caller{Namespaces: []string{"elsewhere"}}
	others.Rules = []mesh.Rule{r}
	for _, x := range []struct {
		name   string
		routes []mesh.Route
		from   string
		port   uint16
		want   string
	}{
		{"Gateway API goes over VirtualService, however old", []mesh.Route{vs, gw}, "default", 80, "gw"},
		{"of VirtualServices the oldest alone counts", []mesh.Route{vs2, vs}, "default", 80, "vs"},
		{"an exact host goes before a wildcard", []mesh.Route{wild, vs2}, "default", 80, "vs2"},
		{"a wildcard counts where nothing else does", []mesh.Route{wild}, "default", 80, "wild"},
		{"HTTPRoutes are pooled, the oldest first", []mesh.Route{gw, gw2}, "default", 80, "gw2 gw"},
		{"a consumer route displaces the others for its namespace", []mesh.Route{gw, consumer, vs}, "shop", 80, "consumer"},
		{"and for no other", []mesh.Route{gw, consumer, vs}, "default", 80, "gw"},
		{"but not those of a dialect that goes before its own", []mesh.Route{gw, own}, "shop", 80, "gw"},
		{"a route for one port leaves the other to the next rank", []mesh.Route{port, vs}, "default", 80, "vs"},
		{"a route all of whose rules are others' says nothing", []mesh.Route{others}, "default", 80, ""},
	} {
		s, svc := snapshot(mesh.Part{Routes: x.routes})
		if got := names(s.Calling(svc, x.port, mesh.Caller{Namespace: x.from}).Rules); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
	s, svc := snapshot(mesh.Part{Routes: []mesh.Route{others}})
	if how := s.Calling(svc, 80, mesh.Caller{Namespace: "default"}); how.Route != (decision.Ref{}) {
		t.Errorf("calls that no rule is for go to the service: %v", how.Route)
	}
	others.Rules = nil
	s, svc = snapshot(mesh.Part{Routes: []mesh.Route{others}})
	if how := s.Calling(svc, 80, mesh.Caller{Namespace: "default"}); how.Route.Name != "vs" {
		t.Errorf("a route without rules matches no call: %v", how.Route)
	}
}

// TestMostSpecificFirst: the precedence of the Gateway API (HTTPRouteRule.matches).
func TestMostSpecificFirst(t *testing.T) {
	path := func(k match.Kind, v string) []match.String { return []match.String{{Kind: k, Value: v}} }
	r := func(name string, m match.Request) mesh.Rule {
		return mesh.Rule{Rule: route.Rule{Ref: decision.Ref{Name: name}, Matches: []match.Request{m}}}
	}
	headers := []match.Header{{Name: "a"}}
	rules := []mesh.Rule{
		r("params", match.Request{Paths: path(match.PathPrefix, "/"), Params: []match.Param{{Name: "q"}}}),
		r("short", match.Request{Paths: path(match.PathPrefix, "/")}),
		r("headers", match.Request{Paths: path(match.PathPrefix, "/"), Headers: headers}),
		r("regex", match.Request{Paths: path(match.Regex, "/very/long/expression/.*")}),
		r("method", match.Request{Paths: path(match.PathPrefix, "/"), Methods: path(match.Exact, "GET")}),
		r("long", match.Request{Paths: path(match.PathPrefix, "/longer")}),
		r("exact", match.Request{Paths: path(match.Exact, "/")}),
		r("second short", match.Request{Paths: path(match.PathPrefix, "/")}),
	}
	s, svc := snapshot(mesh.Part{Routes: []mesh.Route{{Ref: ref(decision.GatewayAPI, "default", "r"), Host: host, Pooled: true, Rules: rules}}})
	if got, want := names(s.Calling(svc, 80, mesh.Caller{}).Rules), "exact long method headers params short second short regex"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestBackendPolicies: DestinationRule look-up as Istio does it: client's namespace, service's, root's; same-host rules merge
// subsets alone.
func TestBackendPolicies(t *testing.T) {
	policy := func(ns, name string, created time.Time, limit uint32) mesh.BackendPolicy {
		return mesh.BackendPolicy{Ref: ref(decision.Istio, ns, name), Created: created, Host: host, Policy: mesh.Outbound{Breaker: &breaker.Policy{MaxRequests: limit}}}
	}
	client, service, root := policy("shop", "client", old, 1), policy("default", "service", old, 2), policy("istio-system", "root", old, 3)
	root.Root = true
	later := policy("default", "later", young, 4)
	later.Subsets = []mesh.Subset{{Name: "v1"}, {Name: "v2", Policy: mesh.Outbound{Balance: &balance.Policy{Algorithm: balance.Random}}}}
	service.Subsets = []mesh.Subset{{Name: "v1", Labels: []string{"version=v1"}}}
	annotation := mesh.BackendPolicy{Ref: ref(decision.Core, "default", "svc"), Host: host, Layer: mesh.LayerAnnotation,
		Policy: mesh.Outbound{Breaker: &breaker.Policy{MaxRequests: 9}, Balance: &balance.Policy{Algorithm: balance.RingHash}}}
	exported := client
	exported.Exports = []string{"elsewhere"}
	wild := policy("default", "wild", old, 5)
	wild.Host = "*.cluster.local"
	for _, x := range []struct {
		name     string
		policies []mesh.BackendPolicy
		from     string
		limit    uint32
		subsets  int
	}{
		{"the client's namespace first", []mesh.BackendPolicy{service, root, client}, "shop", 1, 0},
		{"then the service's", []mesh.BackendPolicy{service, root, client}, "other", 2, 1},
		{"then the root's", []mesh.BackendPolicy{root, client}, "other", 3, 0},
		{"the first trafficPolicy wins and subsets merge", []mesh.BackendPolicy{later, service}, "other", 2, 2},
		{"what is not exported to the caller does not count", []mesh.BackendPolicy{exported, service}, "shop", 2, 1},
		{"the most specific host alone", []mesh.BackendPolicy{wild, service}, "other", 2, 1},
		{"annotations fill what is unset", []mesh.BackendPolicy{annotation, service}, "other", 2, 1},
	} {
		s, svc := snapshot(mesh.Part{Backends: x.policies})
		got := s.Calling(svc, 80, mesh.Caller{Namespace: x.from})
		if got.Policy.Breaker == nil || got.Policy.Breaker.MaxRequests != x.limit || len(got.Subsets) != x.subsets {
			t.Errorf("%s: %+v, %d subsets", x.name, got.Policy.Breaker, len(got.Subsets))
		}
		for _, sub := range got.Subsets {
			if sub.Policy.Breaker == nil || sub.Policy.Breaker.MaxRequests != x.limit {
				t.Errorf("%s: subset %s does not inherit", x.name, sub.Name)
			}
		}
	}
	s, svc := snapshot(mesh.Part{Backends: []mesh.BackendPolicy{annotation, service}})
	if b := s.Calling(svc, 80, mesh.Caller{}).Policy.Balance; b == nil || b.Algorithm != balance.RingHash {
		t.Error("the annotation's balancing was not taken over")
	}
}

// TestModes: PeerAuthentication's levels; across dialects the strictest.
func TestModes(t *testing.T) {
	w := mesh.Workload{Name: "w", Namespace: "default", Labels: []string{"app=a"}}
	all := mesh.PeerMode{Ref: ref(decision.Istio, "istio-system", "all"), Created: old, Mode: mtls.Strict}
	ns := mesh.PeerMode{Ref: ref(decision.Istio, "default", "ns"), Created: old, Namespace: "default", Mode: mtls.Permissive}
	unset := ns
	unset.Mode, unset.Ref.Name = mtls.Unset, "unset"
	own := mesh.PeerMode{Ref: ref(decision.Istio, "default", "own"), Created: old, Namespace: "default", Selector: &match.Selector{Labels: []string{"app=a"}},
		Mode: mtls.Unset, Ports: []mtls.Port{{Port: 80, Mode: mtls.Disable}, {Port: 81}}}
	newer := ns
	newer.Ref.Name, newer.Mode, newer.Created = "newer", mtls.Strict, young
	other := mesh.PeerMode{Ref: ref(decision.Linkerd, "default", "l5d"), Created: old, Namespace: "default", Mode: mtls.Strict}
	for _, x := range []struct {
		name  string
		modes []mesh.PeerMode
		port  uint16
		want  mtls.Mode
		by    string
	}{
		{"the mesh's", []mesh.PeerMode{all}, 80, mtls.Strict, "all"},
		{"the namespace's goes before", []mesh.PeerMode{all, ns}, 80, mtls.Permissive, "ns"},
		{"unset inherits", []mesh.PeerMode{all, unset}, 80, mtls.Strict, "all"},
		{"the oldest of a level", []mesh.PeerMode{newer, ns}, 80, mtls.Permissive, "ns"},
		{"a port of the workload's own", []mesh.PeerMode{all, own}, 80, mtls.Disable, ""},
		{"an unset port inherits", []mesh.PeerMode{all, own}, 81, mtls.Strict, "all"},
		{"the strictest of two dialects", []mesh.PeerMode{ns, other}, 80, mtls.Strict, "l5d"},
		{"the strictest, port by port", []mesh.PeerMode{all, own, other}, 80, mtls.Strict, "l5d"},
	} {
		s, _ := snapshot(mesh.Part{PeerModes: x.modes}, mesh.Part{Workloads: []mesh.Workload{w}})
		p := s.Inbound(s.Workloads.Get("default/w")).MTLS
		if p == nil || p.On(x.port).Mode != x.want || p.On(x.port).Ref.Name != x.by {
			t.Errorf("%s: %+v", x.name, p)
		}
	}
}

// TestEngines: one engine a dialect, tiers joined; of exclusive objects on one port the oldest alone (Linkerd's Servers).
func TestEngines(t *testing.T) {
	w := mesh.Workload{Name: "w", Namespace: "default", Labels: []string{"app=a"}, Ports: []mesh.WorkloadPort{{Name: "http", Number: 80}}}
	istio := func(name string, e authz.Effect) mesh.Authorization {
		r := ref(decision.Istio, "default", name)
		return mesh.Authorization{Ref: r, Created: old, Namespaces: []string{"default"}, Tiers: []authz.Tier{{Effect: e, Rules: []authz.Rule{{Ref: r}}}}, Closes: &r}
	}
	server := func(name string, created time.Time, port string) mesh.Authorization {
		r := ref(decision.Linkerd, "default", name)
		return mesh.Authorization{Ref: r, Created: created, Namespaces: []string{"default"}, Port: port, Exclusive: true, Closes: &r}
	}
	elsewhere := istio("elsewhere", authz.Deny)
	elsewhere.Namespaces = []string{"other"}
	out := istio("out", authz.Deny)
	out.Out = true
	s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{w}}, mesh.Part{Authorizations: []mesh.Authorization{istio("a", authz.Allow),
		istio("d", authz.Deny), istio("a2", authz.Allow), elsewhere, out, server("young", young, "80"), server("old", old, "http"), server("none", old, "grpc")}})
	got := s.Inbound(s.Workloads.Get("default/w")).Authz
	if len(got) != 2 || got[0].Dialect != decision.Istio || len(got[0].Tiers) != 2 || got[0].Tiers[0].Effect != authz.Deny || len(got[0].Tiers[1].Rules) != 2 {
		t.Fatalf("%+v", got)
	}
	if e := got[1]; e.Closed.Name != "old" || len(e.Ports) != 1 || e.Ports[0] != match.OnePort(80) {
		t.Errorf("Linkerd's engine: %+v", e)
	}
	if eg := s.Egress(s.Workloads.Get("default/w")); len(eg) != 1 || eg[0].Closed.Name != "out" {
		t.Errorf("egress: %+v", eg)
	}
}

// TestOtherwise: what a workload has for ports that no exclusive object of its engine is for is of calls into it, at all other ports.
func TestOtherwise(t *testing.T) {
	r := ref(decision.Core, "default", "w")
	w := mesh.Workload{Name: "w", Namespace: "default", Extra: &mesh.Extra{Otherwise: &mesh.Authorization{Ref: r, Engine: decision.Linkerd, Exclusive: true, Closes: &r}}}
	exclusive := func(d decision.Dialect, port string) mesh.Authorization {
		own := ref(d, "default", port)
		return mesh.Authorization{Ref: own, Namespaces: []string{"default"}, Port: port, Exclusive: true, Closes: &own}
	}
	s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{w}}, mesh.Part{Authorizations: []mesh.Authorization{
		exclusive(decision.Linkerd, "80"), exclusive(decision.Linkerd, "8080"), exclusive(decision.Cilium, "443")}})
	in := s.Workloads.Get("default/w")
	for port, want := range map[uint16]string{80: "80", 8080: "8080", 443: "w 443", 1: "w"} {
		var got []string
		for _, e := range s.Inbound(in).Authz {
			if e.On(port) {
				got = append(got, e.Closed.Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d is judged by %q, want %q", port, got, want)
		}
	}
	if eg := s.Egress(in); len(eg) > 0 {
		t.Errorf("egress: %+v", eg)
	}
}

// TestConflicts: what loses is told, and the winner named.
func TestConflicts(t *testing.T) {
	gw := mesh.Route{Ref: ref(decision.GatewayAPI, "default", "gw"), Host: host, Rank: mesh.RankGatewayAPI, Pooled: true, Rules: []mesh.Rule{rule("gw")}}
	vs := mesh.Route{Ref: ref(decision.Istio, "default", "vs"), Host: host, Rank: mesh.RankVirtualService, Rules: []mesh.Rule{rule("vs")}}
	s, _ := snapshot(mesh.Part{Routes: []mesh.Route{vs}}, mesh.Part{Routes: []mesh.Route{gw}})
	got := s.Conflicts()
	if len(got) != 1 || got[0].Ref.Name != "vs" || !strings.Contains(got[0].Text, "K default/gw") || got[0].Level != mesh.Warning {
		t.Errorf("%v", got)
	}
}

// TestConflictsOfPolicies: of several that speak of one thing the oldest is in force, and each other one is told of it; subsets are
// joined, and whoever speaks of something else loses nothing.
func TestConflictsOfPolicies(t *testing.T) {
	limit := mesh.Outbound{Breaker: &breaker.Policy{MaxRequests: 1}}
	policy := func(name string, created time.Time) mesh.BackendPolicy {
		return mesh.BackendPolicy{Ref: ref(decision.Istio, "default", name), Created: created, Host: host, Policy: limit}
	}
	subsets, wild, annotation, some := policy("subsets", young), policy("wild", young), policy("annotation", young), policy("some", young)
	v1, v1again := policy("v1", old), policy("v1-again", young)
	v1.Policy, v1.Subsets = mesh.Outbound{}, []mesh.Subset{{Name: "v1"}, {Name: "v2"}}
	v1again.Policy, v1again.Subsets = mesh.Outbound{}, []mesh.Subset{{Name: "v1"}, {Name: "v3"}}
	subsets.Policy, wild.Host, annotation.Layer, some.Selector = mesh.Outbound{}, "*.local", mesh.LayerAnnotation, &match.Selector{}
	profile := func(name, consumer string, created time.Time) mesh.Profile {
		return mesh.Profile{Ref: ref(decision.Linkerd, "default", name), Host: host, Consumer: consumer, Created: created}
	}
	noted, ruled := profile("noted", "", old), profile("ruled", "", young)
	noted.Layer, noted.Rules, ruled.Rules = mesh.LayerAnnotation, []mesh.Rule{rule("n")}, []mesh.Rule{rule("r")}
	mode := func(name, namespace string, created time.Time, s *match.Selector) mesh.PeerMode {
		return mesh.PeerMode{Ref: ref(decision.Istio, namespace, name), Namespace: namespace, Created: created, Selector: s}
	}
	app, db := &match.Selector{Labels: []string{"app=a"}}, &match.Selector{Labels: []string{"app=db"}}
	for _, x := range []struct {
		name string
		part mesh.Part
		want string
	}{
		{"backend policies", mesh.Part{Backends: []mesh.BackendPolicy{policy("b", young), subsets, policy("a", old), wild, annotation, some}},
			"K default/b (istio): its policy takes no effect for " + host + ": K default/a (istio), which is older, says how to call it; join them in one object"},
		{"subsets", mesh.Part{Backends: []mesh.BackendPolicy{v1again, v1}},
			"K default/v1-again (istio): its subset v1 takes no effect: K default/v1 (istio), which is older, has one of that name; join them in one object"},
		{"profiles", mesh.Part{Profiles: []mesh.Profile{profile("a", "", old), profile("b", "", young), profile("c", "shop", young)}},
			"K default/b (linkerd): takes no effect: K default/a (linkerd) is an older profile of " + host + "; join them in one object"},
		{"annotations under a profile with rules", mesh.Part{Profiles: []mesh.Profile{noted, ruled}},
			"K default/noted (linkerd): what its annotations say of retries and timeouts takes no effect: K default/ruled (linkerd) has routes, which say it; say it in the routes of the ServiceProfile, or delete that"},
		{"modes", mesh.Part{PeerModes: []mesh.PeerMode{mode("a", "", old, nil), mode("b", "", young, nil), mode("c", "shop", young, nil), mode("d", "shop", young, app), mode("e", "shop", young, db)}},
			"K b (istio): takes no effect: K a (istio) is older and for the mesh too; join them in one object"},
		{"modes of workloads", mesh.Part{PeerModes: []mesh.PeerMode{mode("d", "shop", young, app), mode("e", "shop", old, app), mode("f", "stock", old, app)}},
			"K shop/d (istio): takes no effect: K shop/e (istio) is older and for the same workloads; join them in one object"},
	} {
		s, _ := snapshot(x.part)
		got := s.Conflicts()
		if len(got) != 1 || got[0].String() != x.want || got[0].Level != mesh.Warning {
			t.Errorf("%s: %v\nwant %s", x.name, got, x.want)
		}
	}
}

// TestRulesOfTCP: nothing is dropped in silence: rules of requests on a port that is declared TCP.
func TestRulesOfTCP(t *testing.T) {
	vs := mesh.Route{Ref: ref(decision.Istio, "default", "vs"), Host: host, Rank: mesh.RankVirtualService, Rules: []mesh.Rule{rule("vs")}}
	s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{Routes: []mesh.Route{vs}}}, {New: &mesh.Part{Services: []mesh.Service{{Host: host,
		Namespace: "default", Ports: []mesh.Port{{Number: 5432, Proto: traffic.TCP}, {Number: 80, Proto: traffic.HTTP1}}}}}}})
	got := s.Conflicts()
	if len(got) != 1 || got[0].Ref.Name != "vs" || !strings.Contains(got[0].Text, "port 5432") {
		t.Errorf("%v", got)
	}
}
