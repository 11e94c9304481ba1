package mesh_test

import (
	"testing"
	"unique"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// TestSelectedByAccountAndNamespace: an authorization may name workloads by what labels do not say.
func TestSelectedByAccountAndNamespace(t *testing.T) {
	for _, x := range []struct {
		name string
		a    mesh.Authorization
		want bool
	}{
		{"nothing said", mesh.Authorization{}, true},
		{"namespace", mesh.Authorization{Namespaces: []string{"shop", "stock"}}, true},
		{"other namespaces", mesh.Authorization{NotNamespaces: []string{"shop"}}, false},
		{"account", mesh.Authorization{Accounts: []string{"web"}}, true},
		{"another account", mesh.Authorization{Accounts: []string{"db"}}, false},
		{"not the account", mesh.Authorization{NotAccounts: []string{"web"}}, false},
	} {
		x.a.Ref, x.a.Closes = ref(decision.Cilium, "", "a"), &decision.Ref{}
		s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{{Name: "w", Namespace: "shop", Identity: unique.Make(identity.Of("td", "shop", "web"))}}},
			mesh.Part{Authorizations: []mesh.Authorization{x.a}})
		if got := len(s.Inbound(s.Workloads.Get("shop/w")).Authz) > 0; got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

// TestNamedPorts: a rule for a port by its name is for the number that each workload has it at.
func TestNamedPorts(t *testing.T) {
	a := mesh.Authorization{Ref: ref(decision.Cilium, "shop", "a"), Tiers: []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{}}}},
		Named: []mesh.Named{{Port: "http", Effect: authz.Allow, Rule: authz.Rule{To: []match.Request{{Methods: []match.String{{Value: "GET"}}}}}},
			{Port: "http", Effect: authz.Deny}, {Port: "grpc", Effect: authz.Deny}}}
	w := mesh.Workload{Name: "w", Namespace: "shop", Ports: []mesh.WorkloadPort{{Name: "http", Number: 8080}}}
	s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{w, {Name: "v", Namespace: "shop"}}}, mesh.Part{Authorizations: []mesh.Authorization{a}})
	tiers := s.Inbound(s.Workloads.Get("shop/w")).Authz[0].Tiers
	if len(tiers) != 2 || tiers[0].Effect != authz.Deny || len(tiers[0].Rules) != 1 || len(tiers[1].Rules) != 2 {
		t.Fatalf("%+v", tiers)
	}
	if q := tiers[1].Rules[1].To[0]; q.Ports[0] != match.OnePort(8080) || q.Methods[0].Value != "GET" {
		t.Errorf("%+v", q)
	}
	if tiers = s.Inbound(s.Workloads.Get("shop/v")).Authz[0].Tiers; len(tiers) != 1 || len(tiers[0].Rules) != 1 {
		t.Errorf("a workload without the port: %+v", tiers)
	}
}

// TestTransportsAtGateways: rules say what they go over where a proxy takes datagrams, which is that of a gateway with a listener for
// them; to all others everything is TCP. Whoever becomes such a proxy is touched.
func TestTransportsAtGateways(t *testing.T) {
	over := func(transport string) authz.Rule { return authz.Rule{When: []match.Condition{match.Over(transport)}} }
	a := mesh.Authorization{Ref: ref(decision.Cilium, "shop", "a"), Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{over(match.OverUDP)}},
		{Rules: []authz.Rule{over(match.OverTCP), over(match.OverUDP)}}},
		Named: []mesh.Named{{Port: "dns", Rule: over(match.OverTCP)}, {Port: "dns", Datagrams: true, Rule: over(match.OverUDP)}, {Port: "web", Datagrams: true}}}
	w := mesh.Workload{Name: "w", Namespace: "shop", Identity: unique.Make(identity.Of("td", "shop", "edge")), Ports: []mesh.WorkloadPort{{Name: "dns", Number: 5300}, {Name: "web", Number: 80}},
		Extra: &mesh.Extra{Datagrams: []mesh.WorkloadPort{{Name: "dns", Number: 53}}}}
	gateway := mesh.Gateway{Name: "edge", Namespace: "shop", Account: "edge", Listeners: []mesh.Listener{{Port: 53, Entry: mesh.EntryTCP}}}
	before, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{w}}, mesh.Part{Authorizations: []mesh.Authorization{a}})
	connections := &mesh.Part{Gateways: []mesh.Gateway{gateway}}
	gateway.Listeners = []mesh.Listener{{Port: 53, Entry: mesh.EntryTCP}, {Port: 53, Entry: mesh.EntryUDP}}
	between, _ := before.With([]mesh.Change{{New: connections}})
	after, touched := between.With([]mesh.Change{{Old: connections, New: &mesh.Part{Gateways: []mesh.Gateway{gateway}}}})
	for _, s := range []*mesh.Snapshot{before, between} {
		tiers := s.Inbound(&w).Authz[0].Tiers
		if len(tiers) != 1 || len(tiers[0].Rules) != 2 || len(tiers[0].Rules[0].When)+len(tiers[0].Rules[1].When) > 0 || s.TakesDatagrams(&w) {
			t.Errorf("%+v", tiers)
		}
	}
	tiers := after.Inbound(&w).Authz[0].Tiers
	if len(tiers) != 2 || len(tiers[0].Rules) != 1 || len(tiers[1].Rules) != 4 || !after.TakesDatagrams(&w) || !touched.Namespaces["shop"] {
		t.Fatalf("%+v, touched %+v", tiers, touched)
	}
	for i, port := range []uint16{5300, 53} {
		if r := tiers[1].Rules[2+i]; r.To[0].Ports[0] != match.OnePort(port) || len(r.When) != 1 {
			t.Errorf("%+v", r)
		}
	}
}
