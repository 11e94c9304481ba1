package corpus_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/internal/meshtest"
	"github.com/weft-mesh/weft/test/corpus"
)

// The seeds are the documents that the project began with. Every valid rule of them takes effect on a running mesh, and every
// invalid field is named.

func seed(t *testing.T, name string) string {
	t.Helper()
	return corpus.Read(t, corpus.Dir(t, "seeds"), name)
}

// TestSeedReviews: "end-user: jason goes to v2, with the test's own DestinationRule, and calls without it get 404, as in Istio,
// with a finding that says so".
func TestSeedReviews(t *testing.T) {
	text := seed(t, "istio-virtualservice-reviews.yaml")
	m := meshtest.New(t, text, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
`)
	m.Run("productpage", "reviews-v1 service=reviews version=v1", "reviews-v2 service=reviews version=v2")
	m.Expect("from productpage GET http://reviews/ end-user=jason => 200 reviews subset v2 because VirtualService default/reviews http[0] (istio)",
		"from productpage GET http://reviews/ => 404 because VirtualService default/reviews, no route (istio)",
		"from productpage GET http://reviews/ end-user=tom => 404")
	m.Finding("VirtualService default/reviews", "spec.http", "404")
}

// TestSeedCanary: x-canary: "true" goes to v2, everything else to v1.
func TestSeedCanary(t *testing.T) {
	m := meshtest.New(t, seed(t, "istio-my-service.yaml"))
	m.Run("caller", "my-service-v1 service=my-service version=v1", "my-service-v2 service=my-service version=v2")
	m.Expect("from caller GET http://my-service/ x-canary=true => 200 my-service subset v2 because VirtualService default/my-service http[0]",
		"from caller GET http://my-service/ => 200 my-service subset v1 because VirtualService default/my-service http[1]",
		"from caller GET http://my-service/ x-canary=yes => 200 my-service subset v1")
}

// TestSeedOutlier: five 5xx in a row leave an endpoint out; feature/outlier shows with time passed in that it is for 30 s. When all
// fail, one is kept.
func TestSeedOutlier(t *testing.T) {
	m := meshtest.New(t, seed(t, "istio-my-service.yaml"))
	m.Run("caller", "a service=my-service version=v1", "b service=my-service version=v1")
	m.Fail("a", 500)
	m.Fail("b", 500)
	calls, out := map[string]int{}, ""
	for range 60 {
		x := m.Get("caller", "http://my-service/")
		if x.App == out {
			t.Fatalf("%s is called although it is left out", out)
		}
		calls[x.App]++
		for _, v := range x.Caller.Verdicts {
			if v.Reason == decision.Ejected && v.Ref.String() == "DestinationRule default/my-service trafficPolicy.outlierDetection (istio)" {
				out = x.App
			}
		}
	}
	if out == "" || calls[out] != 5 {
		t.Errorf("left out: %q; calls %v, want 5 there", out, calls)
	}
}

// TestSeedPool: HTTP/1.1 calls reach the application as HTTP/2 (h2UpgradePolicy), of TCP connections a hundred are open at once
// (maxConnections), of calls a thousand (http2MaxRequests).
func TestSeedPool(t *testing.T) {
	m := meshtest.New(t, seed(t, "istio-my-service.yaml"))
	m.Run("caller", "my-service version=v1 ports=80,7000/tcp")
	if x := m.Get("caller", "http://my-service/"); x.AppProto != "HTTP/2.0" {
		t.Errorf("the application is spoken to in %s", x.AppProto)
	}
	const why = "DestinationRule default/my-service trafficPolicy.connectionPool (istio)"
	for _, x := range []struct {
		call string
		most int
	}{{"from caller TCP my-service:7000", 100}, {"from caller GET http://my-service/", 1000}} {
		var held []*meshtest.Held
		for range x.most {
			held = append(held, m.Hold(x.call))
		}
		if a := m.Call(x.call); a.App != "" || a.Caller.Deciding.Ref.String() != why {
			t.Errorf("%s: one more than %d: %s because %v", x.call, x.most, a.App, a.Caller.Deciding)
		}
		for _, h := range held {
			if a := h.Release(); a.App == "" {
				t.Fatalf("%s: one of the first %d was not answered: %+v", x.call, x.most, a)
			}
		}
	}
}

// TestSeedPrincipalAndPath: "the principal-and-path policy lets one call pass and answers 403 to the rest, with the policy's name in
// the record".
func TestSeedPrincipalAndPath(t *testing.T) {
	m := meshtest.New(t, seed(t, "istio-authorizationpolicy.yaml"))
	m.Run("frontend", "other", "backend")
	m.Expect("from frontend GET http://backend/api/items => 200 backend because AuthorizationPolicy default/allow-specific rules[0] (istio)",
		"from frontend POST http://backend/api/items => 403 because AuthorizationPolicy default/allow-specific, no rule allows (istio)",
		"from frontend GET http://backend/other => 403 because AuthorizationPolicy default/allow-specific, no rule allows (istio)",
		"from other GET http://backend/api/items => 403 because AuthorizationPolicy default/allow-specific, no rule allows (istio)",
		"from outside GET http://backend/api/items to backend => 403")
	x := m.Get("other", "http://backend/api/items")
	if x.Callee == nil || !x.Callee.Denied() || x.Callee.Deciding.Ref.Name != "allow-specific" {
		t.Errorf("the callee's record: %+v", x.Callee)
	}
}

// TestSeedServerAuthorization: with its Server, the seed lets callers without an identity in; a Server alone lets nobody.
func TestSeedServerAuthorization(t *testing.T) {
	const server = `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: backend, namespace: default}
spec: {podSelector: {matchLabels: {app: backend}}, port: 80}
`
	m := meshtest.New(t, server)
	m.Run("frontend", "backend")
	m.Expect("from frontend GET http://backend/ => 403 because Server default/backend, no rule allows (linkerd)",
		"from outside GET http://backend/ to backend at=127.0.0.1 => 403")
	m.Apply(seed(t, "linkerd-serverauthorization.yaml"))
	m.Expect("from frontend GET http://backend/ => 200 backend because ServerAuthorization default/backend-authz",
		"from outside GET http://backend/ to backend at=127.0.0.1 => 200 because ServerAuthorization default/backend-authz")
}

// TestSeedEgress: "the egress policy lets the database through and nothing else".
func TestSeedEgress(t *testing.T) {
	m := meshtest.New(t, seed(t, "cilium-my-policy.yaml"))
	m.Run("my-service", "database ports=5432,5433 protocol=tcp", "other")
	m.Expect("from my-service TCP database:5432 => ok database because CiliumNetworkPolicy default/my-policy egress[1] (cilium)",
		"from my-service TCP database:5433 => refused because CiliumNetworkPolicy default/my-policy, no rule allows (cilium)",
		"from my-service GET http://other/ => 403 because CiliumNetworkPolicy default/my-policy, no rule allows (cilium)",
		"from my-service GET http://192.0.2.1/ => 403 because CiliumNetworkPolicy default/my-policy, no rule allows (cilium)",
		"from other TCP database:5433 => ok database")
}

// TestSeedProfile: the route of the profile is in force; a class as its author meant it counts.
func TestSeedProfile(t *testing.T) {
	text := seed(t, "linkerd-my-service.yaml")
	m := meshtest.New(t, text)
	m.Run("caller", "my-service")
	m.Expect("from caller GET http://my-service/ => 200 my-service")
	meant := strings.NewReplacer("range:\n                begin: 200\n                end: 299", "{min: 200, max: 299}", "isSuccess: true", "isFailure: true").Replace(text)
	if meant == text {
		t.Fatal("the seed's class is not where it was")
	}
	m.Apply(meant)
	x := m.Get("caller", "http://my-service/")
	if x.Caller == nil || !x.Caller.Failed || x.Caller.Class == nil || x.Caller.Class.Rule != "routes[0].responseClasses[0]" {
		t.Errorf("the class does not count: %+v", x.Caller)
	}
}

// TestSeedFindings: every invalid field is named, with what was probably meant.
func TestSeedFindings(t *testing.T) {
	dir := corpus.Dir(t, "seeds")
	for name, want := range map[string][][]string{
		"linkerd-my-service.yaml": {
			{"spec.routes[0].responseClasses[0].condition.status.range", "min and max"},
			{"spec.routes[0].responseClasses[0].isSuccess", "isFailure"},
			{"spec.routes[1].name", "required"},
			{"spec.routes[1].condition.status", "responseClasses"},
			{"spec.routes[1].condition.status.isFailure", "response class"},
			{"spec.retry", "isRetryable", "retryBudget"},
			{"apiVersion", "v1beta2", "policy.linkerd.io/v1alpha1"},
			{"spec.targetRef.kind", "Server"},
			{"spec.requiredServerVersion", "remove it"},
			{"spec.identityRefs", "requiredAuthenticationRefs"},
		},
		"cilium-my-policy.yaml": {
			{"metadata.name", "required"},
			{"spec.endpointSelector", "required", "endpointSelector: {}"},
		},
		"linkerd-serverauthorization.yaml":  {{"spec.server.name", "no Server backend"}},
		"istio-virtualservice-reviews.yaml": {{"spec.http[0].route[0].destination.subset", "v2", "DestinationRule"}},
		"istio-authorizationpolicy.yaml":    {},
		"istio-my-service.yaml":             {},
	} {
		m := meshtest.New(t, corpus.Read(t, dir, name))
		for _, words := range want {
			m.Finding(words...)
		}
		if len(want) == 0 {
			bad := slices.DeleteFunc(m.Findings(), func(f string) bool { return strings.Contains(f, "no Service and no ServiceEntry") })
			if len(bad) > 0 {
				t.Errorf("%s is valid, and gives %q", name, bad)
			}
		}
	}
}
