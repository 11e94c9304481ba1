package mesh_test

import (
	"testing"

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
		s, _ := snapshot(mesh.Part{Workloads: []mesh.Workload{{Name: "w", Namespace: "shop", ID: identity.Of("td", "shop", "web")}}},
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
