package all_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect/all"
)

// A kind that has an effect has a status, where its own project's has one, and each kind whose objects do not say who is to write it is written in
// adopted namespaces alone: two controllers would write it in turn for ever.
func TestStatuses(t *testing.T) {
	says := map[string]string{ // by what they say whose they are
		"gateway.networking.k8s.io/GatewayClass": "spec.controllerName", "gateway.networking.k8s.io/Gateway": "its class", "gateway.networking.k8s.io/ListenerSet": "its Gateway",
		"gateway.networking.k8s.io/HTTPRoute": "status.parents", "gateway.networking.k8s.io/GRPCRoute": "status.parents", "gateway.networking.k8s.io/TCPRoute": "status.parents",
		"gateway.networking.k8s.io/TLSRoute": "status.parents", "gateway.networking.k8s.io/UDPRoute": "status.parents", "policy.linkerd.io/HTTPRoute": "status.parents",
		"gateway.networking.k8s.io/BackendTLSPolicy": "status.ancestors", "networking.k8s.io/Ingress": "its class",
	}
	none := []string{"IngressClass", "ReferenceGrant", "NetworkPolicy", "ServiceProfile", "Server", "ServerAuthorization", "MeshTLSAuthentication", "NetworkAuthentication",
		"CiliumCIDRGroup", "CiliumClusterwideNetworkPolicy"} // the last is of no namespace that could be adopted
	for _, k := range all.Kinds("cluster.local") {
		name := k.Group + "/" + k.Name
		if k.Status != nil && k.Unclaimed == (says[name] != "") {
			t.Errorf("%s: unclaimed %v, and says whose it is by %q", name, k.Unclaimed, says[name])
		}
		linkerd := k.Group == "policy.linkerd.io" && k.Name == "AuthorizationPolicy"
		foreign := k.Group != "" && k.Group != "discovery.k8s.io" && (k.Lower != nil || strings.HasSuffix(k.Group, "istio.io"))
		if foreign && (k.Status == nil) != (linkerd || slices.Contains(none, k.Name)) {
			t.Errorf("%s: it has a status: %v", name, k.Status != nil)
		}
	}
}

func TestKindsShareTheirSchemas(t *testing.T) {
	a, b := all.Kinds("a.example"), all.Kinds("a.example")
	if a[0].Schema == nil || a[0].Schema != b[0].Schema {
		t.Error("each caller has schemas of its own")
	}
	if all.Kinds("b.example")[0].Schema == a[0].Schema {
		t.Error("another trust domain has the same kinds")
	}
	if a[0].Name = ""; b[0].Name == "" || all.Kinds("a.example")[0].Name == "" {
		t.Error("a list is more than one caller's")
	}
}
