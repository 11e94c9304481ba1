package gatewayapi_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// TestParents: what a route is attached to, for whom, and why not.
func TestParents(t *testing.T) {
	for _, x := range []struct {
		name, parents string
		hosts         []string
		port          uint16
		consumer      string
		level         mesh.Level
		field, says   string
	}{
		{"all ports", `[{group: "", kind: Service, name: reviews}]`, []string{reviews}, 0, "", 0, "", ""},
		{"one port", `[{group: "", kind: Service, name: reviews, port: 81}]`, []string{reviews}, 81, "", 0, "", ""},
		{"a port by name", `[{group: "", kind: Service, name: reviews, sectionName: more}]`, []string{reviews}, 81, "", 0, "", ""},
		// "When both Port (experimental) and SectionName are specified, the name and port of the selected port must match both"
		{"name and number agree", `[{group: "", kind: Service, name: reviews, sectionName: more, port: 81}]`, []string{reviews}, 81, "", 0, "", ""},
		{"name and number differ", `[{group: "", kind: Service, name: reviews, sectionName: more, port: 80}]`, nil, 0, "",
			mesh.Warning, "spec.parentRefs[0].port", "its ports are 80 http, 81 more"},
		{"no such port", `[{group: "", kind: Service, name: reviews, port: 9}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0].port", "no such port"},
		// "ParentRefs from a Route to a Service in a different namespace are "consumer" routes"
		{"consumer", `[{group: "", kind: Service, name: ratings, namespace: stock}]`, []string{ratings}, 0, "shop", 0, "", ""},
		{"no such Service", `[{group: "", kind: Service, name: ratings}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0].name", "namespace: stock"},
		// "To set the core API group (such as for a "Service" kind referent), Group must be explicitly set to """
		{"a Service without a group", `[{kind: Service, name: reviews}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0].group", `write group: ""`},
		{"a Gateway", `[{name: gateway}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0]", "there is no Gateway shop/gateway"},
		{"a Gateway and a Service", `[{name: gateway}, {group: "", kind: Service, name: reviews}]`, []string{reviews}, 0, "",
			mesh.Warning, "spec.parentRefs[0]", "there is no Gateway shop/gateway"},
		{"something else", `[{group: example.io, kind: Mesh, name: m}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0]", "Services, Gateways and Linkerd's Servers alone"},
		// ""Headless" Services SHOULD NOT be supported as a parentRef"
		{"headless", `[{group: "", kind: Service, name: headless}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0]", "no address of its own"},
		{"outside", `[{group: "", kind: Service, name: outside}]`, nil, 0, "", mesh.Warning, "spec.parentRefs[0]", "ExternalName"},
		{"none", `[]`, nil, 0, "", mesh.Warning, "spec.parentRefs", "no parent"},
		{"twice", `[{group: "", kind: Service, name: reviews}, {group: "", kind: Service, name: reviews}]`, nil, 0, "",
			mesh.Error, "spec.parentRefs[1]", "named twice"},
	} {
		t.Run(x.name, func(t *testing.T) {
			part, found := lower(t, object("HTTPRoute", "parentRefs: "+x.parents+"\nrules: [{backendRefs: [{name: v1, port: 80}]}]"))
			if x.says == "" {
				dialecttest.None(t, found)
			} else {
				dialecttest.Want(t, found, x.level, x.field, x.says)
			}
			if len(part.Routes) != len(x.hosts) {
				t.Fatalf("%d routes, want %d", len(part.Routes), len(x.hosts))
			}
			for i, r := range part.Routes {
				if r.Host != x.hosts[i] || r.Port != x.port || r.Consumer != x.consumer || r.Rank != mesh.RankGatewayAPI || !r.Pooled {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// TestUnattachedRouteKeepsErrorsAlone: what its rules would come to does not matter, but what cannot be is said.
func TestUnattachedRouteKeepsErrorsAlone(t *testing.T) {
	_, found := lower(t, object("HTTPRoute", "parentRefs: [{name: gateway}]\nrules: [{backendRefs: [{name: nobody, port: 80}]}, {backendRefs: [{name: v1, port: 80, weight: -1}]}]"))
	dialecttest.Want(t, found, mesh.Error, "spec.rules[1].backendRefs[0].weight", "not a weight")
	for _, f := range found {
		if f.Field == "spec.rules[0].backendRefs[0].name" {
			t.Error(f.String())
		}
	}
}

// TestHostnamesHaveNoMeaningForServices: "GAMMA implementations SHOULD NOT infer any functionality from the hostnames field"
// (GEP-1294); commonly got wrong by matching on them.
func TestHostnamesHaveNoMeaningForServices(t *testing.T) {
	part, found := lower(t, object("HTTPRoute", "hostnames: [other.example]\nparentRefs: [{group: \"\", kind: Service, name: reviews}]\nrules: [{backendRefs: [{name: v1, port: 80}]}]"))
	dialecttest.Want(t, found, mesh.Info, "spec.hostnames", "no meaning")
	if len(part.Routes) != 1 || len(part.Routes[0].Rules[0].Matches) != 0 {
		t.Errorf("%+v", part.Routes)
	}
}

// TestConsumerRouteNeedsNoGrant is the conformance test MeshConsumerRoute: both ends of the reference are in another namespace, and
// there is no ReferenceGrant (GEP-1294: "this is allowed without a ReferenceGrant").
func TestConsumerRouteNeedsNoGrant(t *testing.T) {
	part, found := lower(t, object("HTTPRoute", `
parentRefs: [{group: "", kind: Service, name: ratings, namespace: stock}]
rules:
- filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: set}]}}]
  backendRefs: [{name: ratings, namespace: stock, port: 80}]`))
	dialecttest.None(t, found)
	b := part.Routes[0].Rules[0].Backends[0]
	if part.Routes[0].Consumer != "shop" || b.Missing != "" || b.Target.Service != ratings {
		t.Errorf("%+v", part.Routes[0])
	}
}

// TestGRPCRouteComesFirst: "If multiple routes with different types both bind to the same Service and Port pair, only a single route
// type should be applied ... 1. GRPCRoute 2. HTTPRoute" (GEP-1294).
func TestGRPCRouteComesFirst(t *testing.T) {
	const grpc = `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: grpc, namespace: %NS}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews, namespace: shop, port: 80}]
  rules: [{backendRefs: [{name: v1, namespace: shop, port: 80}]}]
---
`
	all := object("HTTPRoute", "parentRefs: [{group: \"\", kind: Service, name: reviews}]\nrules: [{backendRefs: [{name: v1, port: 80}]}]")
	part, found := lower(t, replace(grpc, "shop")+all)
	dialecttest.Want(t, found, mesh.Warning, "spec.parentRefs", "GRPCRoute shop/grpc")
	if len(part.Routes) != 1 || part.Routes[0].Port != 81 {
		t.Errorf("%+v", part.Routes)
	}
	part, found = lower(t, replace(grpc, "stock")+all) // a consumer's route is another matter
	dialecttest.None(t, found)
	if len(part.Routes) != 1 || part.Routes[0].Port != 0 {
		t.Errorf("%+v", part.Routes)
	}
}
