package gatewayapi_test

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func grpc(t *testing.T, rules string) ([]mesh.Rule, []mesh.Finding) {
	t.Helper()
	part, found := lower(t, object("GRPCRoute", "parentRefs: [{group: \"\", kind: Service, name: reviews}]\nrules:\n"+rules))
	if len(part.Routes) == 0 {
		return nil, found
	}
	return part.Routes[0].Rules, found
}

// TestGRPCMethods: a method is a path.
func TestGRPCMethods(t *testing.T) {
	for method, path := range map[string]match.String{
		"{service: shop.Reviews, method: List}": {Value: "/shop.Reviews/List"},
		"{service: shop.Reviews}":               {Kind: match.Prefix, Value: "/shop.Reviews/"},
		"{method: List}":                        {Kind: match.Suffix, Value: "/List"},
		"{type: RegularExpression, service: \"shop[.].*\", method: \"L|G\"}": {Kind: match.Regex, Value: "/(?:shop[.].*)/(?:L|G)"},
		"{type: RegularExpression, method: L.*}":                             {Kind: match.Regex, Value: "/[^/]+/(?:L.*)"},
	} {
		got, found := grpc(t, "- matches: [{method: "+method+"}]"+toV1)
		dialecttest.None(t, found)
		if d := dialecttest.Diff([]match.Request{{Paths: []match.String{path}}}, got[0].Matches); d != "" {
			t.Errorf("%s: %s", method, d)
		}
	}
}

func TestGRPCHeadersAndDefaults(t *testing.T) {
	got, found := grpc(t, "- matches: [{headers: [{name: Env, value: canary}]}]"+toV1+"\n- backendRefs: [{name: v9, port: 80}]")
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[1].backendRefs[0].name", "get 500")
	if d := dialecttest.Diff([]match.Request{{Headers: []match.Header{{Name: "env", Values: exact("canary")}}}}, got[0].Matches); d != "" {
		t.Error(d)
	}
	if len(got) != 2 || len(got[1].Matches) != 0 || got[1].Backends[0].Missing == "" || got[1].Ref.Kind != "GRPCRoute" {
		t.Errorf("%+v", got)
	}
}

func TestGRPCRefusals(t *testing.T) {
	large := strings.Repeat("a{1000}", 4)
	for _, x := range []struct{ yaml, field, says string }{
		{"- matches: [{method: {}}]" + toV1, "spec.rules[0].matches[0].method", "neither"},
		{"- matches: [{method: {service: /a}}]" + toV1, "spec.rules[0].matches[0].method.service", "without slashes"},
		{"- matches: [{method: {method: a/b}}]" + toV1, "spec.rules[0].matches[0].method.method", "not a gRPC method"},
		{"- matches: [{method: {type: RegularExpression, method: \"(\"}}]" + toV1, "spec.rules[0].matches[0].method.method", "RE2"},
		{"- matches: [{method: {type: RegularExpression, service: '" + large + "', method: '" + large + "'}}]" + toV1, "spec.rules[0].matches[0].method", "too large"}, // together
		{"- filters: [{type: URLRewrite}]" + toV1, "spec.rules[0].filters[0].type", "none of"},
	} {
		_, found := grpc(t, x.yaml)
		dialecttest.Want(t, found, mesh.Error, x.field, x.says)
	}
}

// TestReplicas: how many proxies a Gateway has is read from its infrastructure, and what cannot be read is told.
func TestReplicas(t *testing.T) {
	of := func(annotations string) (mesh.Replicas, []mesh.Finding) {
		part, found := lower(t, strings.Replace(gatewayOf("  - {name: web, port: 80, protocol: HTTP}\n"), "gatewayClassName: weft\n", "gatewayClassName: weft\n  infrastructure: {annotations: {"+annotations+"}}\n", 1))
		if len(part.Gateways) != 1 {
			t.Fatalf("%+v", found)
		}
		return part.Gateways[0].Made.Replicas, found
	}
	if got, _ := of("weft.dev/replicas: 2-10, weft.dev/replicas-cpu: 500m"); got != (mesh.Replicas{Min: 2, Max: 10, CPU: "500m"}) {
		t.Errorf("%+v", got)
	}
	got, found := of("weft.dev/replicas: many, weft.dev/replicas-cpu: much")
	if got != (mesh.Replicas{}) {
		t.Errorf("%+v", got)
	}
	dialecttest.Want(t, found, mesh.Warning, "spec.infrastructure.annotations.weft.dev/replicas", "no number of replicas")
	dialecttest.Want(t, found, mesh.Warning, "spec.infrastructure.annotations.weft.dev/replicas-cpu", "no part of a processor")
}

// TestReferenceGrant says whom it is for.
func TestReferenceGrant(t *testing.T) {
	_, found := lower(t, object("ReferenceGrant", "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}]\nto: [{group: \"\", kind: Service}]"))
	dialecttest.Want(t, found, mesh.Info, "", "routes between services need none")
}
