package linkerd_test

import (
	"strings"
	"testing"
)

const target = "targetRef: {group: policy.linkerd.io, kind: Server, name: books}\n"

func required(refs string) string { return target + "requiredAuthenticationRefs: [" + refs + "]" }

const (
	webRef    = "{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}"
	officeRef = "{group: policy.linkerd.io, kind: NetworkAuthentication, name: office}"
)

// TestAuthorizationPolicy judges calls by one policy on one Server.
func TestAuthorizationPolicy(t *testing.T) {
	around := []string{meshTLS("web", "identityRefs: [{kind: ServiceAccount, name: web}]"), networks("office", "networks: [{cidr: 10.0.0.0/8, except: [10.9.0.0/16]}]"),
		strings.Replace(meshTLS("web", "identityRefs: [{kind: ServiceAccount, name: web}]"), "namespace: shop", "namespace: people", 1)}
	for _, c := range []struct{ name, spec, pass, deny string }{
		{"nothing required: everybody", required(""), web + "," + nobody + "," + outside, ""},
		{"service account", required("{kind: ServiceAccount, name: web}"), web, nobody + ",10.1.2.3 cluster.local/ns/people/sa/web,10.1.2.3 other/ns/shop/sa/web"},
		{"service account elsewhere", required("{kind: ServiceAccount, name: web, namespace: people}"), "10.1.2.3 cluster.local/ns/people/sa/web", web},
		{"mesh TLS", required(webRef), web + ",203.0.113.9 cluster.local/ns/shop/sa/web", nobody},
		{"mesh TLS elsewhere: its own namespace counts", required("{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web, namespace: people}"),
			"10.1.2.3 cluster.local/ns/people/sa/web", web},
		{"network", required(officeRef), web + "," + nobody, outside + ",10.9.2.3"},
		{"refs are AND", required(webRef + ", " + officeRef), web, nobody + "," + outside + ",203.0.113.9 cluster.local/ns/shop/sa/web,10.9.0.1 cluster.local/ns/shop/sa/web"},
		{"for the namespace", "targetRef: {kind: Namespace, name: shop}\nrequiredAuthenticationRefs: []", nobody, ""},
		{"kinds without case", "targetRef: {group: Policy.Linkerd.io, kind: server, name: books}\nrequiredAuthenticationRefs: [{group: CORE, kind: SERVICEACCOUNT, name: web}]", web, nobody},
		{"for another Server", strings.Replace(required(""), "books", "films", 1), "", web},
		{"for a route", "targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: books}\nrequiredAuthenticationRefs: []", "", web},
		// "missing ref → policy ignored"
		{"missing mesh TLS", required("{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: films}"), "", web},
		{"missing network", required(webRef + ", {group: policy.linkerd.io, kind: NetworkAuthentication, name: films}"), "", web},
		{"refused", required("{group: apps, kind: Deployment, name: web}"), "", web},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs := append([]string{server("books", open), policy("it", c.spec)}, around...)
			for who := range strings.SplitSeq(c.pass, ",") {
				if who == "" {
					continue
				}
				if ok, why := judge(t, who, docs...); !ok || why != "AuthorizationPolicy shop/it (linkerd)" {
					t.Errorf("%s is denied: %s", who, why)
				}
			}
			for who := range strings.SplitSeq(c.deny, ",") {
				if who == "" {
					continue
				}
				if ok, why := judge(t, who, docs...); ok || why != "Server shop/books (linkerd)" {
					t.Errorf("%s passes: %s", who, why)
				}
			}
		})
	}
}

// A policy allows for the Servers of its own namespace alone.
func TestAuthorizationPolicyOfAnotherNamespace(t *testing.T) {
	elsewhere := strings.Replace(policy("it", required("")), "namespace: shop", "namespace: web", 1)
	if ok, _ := judge(t, web, server("books", open), elsewhere); ok {
		t.Error("it passes")
	}
}

func TestAuthorizationPolicyFindings(t *testing.T) {
	const refs = "spec.requiredAuthenticationRefs"
	for _, c := range []struct{ name, spec, want string }{
		{"right", required(webRef), ""},
		{"no such Server", strings.Replace(required(webRef), "books", "films", 1), "warning spec.targetRef.name: there is no Server films"},
		{"another namespace", "targetRef: {kind: Namespace, name: web}\nrequiredAuthenticationRefs: []", "error spec.targetRef.name: can't be for web"},
		{"HTTPRoute", "targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}\nrequiredAuthenticationRefs: []",
			"warning spec.targetRef.name: there is no HTTPRoute a of gateway.networking.k8s.io in the namespace shop: the policy has no effect"},
		{"HttpRoute", "targetRef: {group: policy.linkerd.io, kind: HttpRoute, name: a}\nrequiredAuthenticationRefs: []", "warning spec.targetRef.name: there is no HTTPRoute a of policy.linkerd.io"},
		{"GRPCRoute", "targetRef: {group: gateway.networking.k8s.io, kind: GRPCRoute, name: a}\nrequiredAuthenticationRefs: []", "warning spec.targetRef.name: there is no GRPCRoute a"},
		{"Service", "targetRef: {kind: Service, name: books}\nrequiredAuthenticationRefs: []",
			"error spec.targetRef.kind: target it: {group: policy.linkerd.io, kind: Server, name: books}"},
		{"no group", "targetRef: {kind: Server, name: books}\nrequiredAuthenticationRefs: []", "error spec.targetRef.group: write group: policy.linkerd.io"},
		{"Deployment", "targetRef: {group: apps, kind: Deployment, name: a}\nrequiredAuthenticationRefs: []", "error spec.targetRef.kind: not for a Deployment of apps"},
		{"no target", "requiredAuthenticationRefs: []", "error spec.targetRef: required"},
		{"nothing required", target, "error " + refs + ": required"},
		{"null", target + "requiredAuthenticationRefs:", "error " + refs + ": required"},
		{"two of mesh TLS", required(webRef + ", " + webRef), "error " + refs + ": at most one"},
		{"mesh TLS and account", required(webRef + ", {kind: ServiceAccount, name: web}"), "error " + refs + ": at most one"},
		{"two accounts", required("{kind: ServiceAccount, name: a}, {kind: ServiceAccount, name: b}"), "error " + refs + ": at most one"},
		{"two networks", required(officeRef + ", " + officeRef), "error " + refs + ": at most one"},
		{"no authentication", required("{group: policy.linkerd.io, kind: Server, name: a}"), "error " + refs + "[0].kind: Server of policy.linkerd.io authenticates nobody"},
		{"missing", required("{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: a, namespace: b}, {group: policy.linkerd.io, kind: NetworkAuthentication, name: c}"), `
warning ` + refs + `[0].name: there is no MeshTLSAuthentication a in the namespace b: the policy lets nobody pass
warning ` + refs + `[1].name: there is no NetworkAuthentication c in the namespace shop: the policy lets nobody pass`},
		{"no name", target + "requiredAuthenticationRefs: [{kind: ServiceAccount}]", "error " + refs + "[0].name: required"},
		{"as Istio's", required("") + "\nrules: [{}]\nselector: {}\naction: ALLOW", `
warning spec.rules: security.istio.io/v1
warning spec.selector: a Server selects the pods
warning spec.action: remove it
warning spec: it lets nobody pass`},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, found := lower(t, policy("it", c.spec), server("books", open), meshTLS("web", "identities: ['*']"), networks("office", "networks: [{cidr: '::/0'}]"))
			expect(t, found, c.want)
			if !part.Empty() {
				t.Errorf("%+v", part)
			}
		})
	}
	_, found := lower(t, policy("it", "targetRef: {kind: Namespace, name: shop}\nrequiredAuthenticationRefs: []"))
	expect(t, found, "warning spec.targetRef: there is no Server in the namespace shop")
}

// TestAuthorizationPolicySeed: each of the published example's mistakes is named, those behind the wrong version too.
func TestAuthorizationPolicySeed(t *testing.T) {
	part, found := lower(t, object("v1beta2", "AuthorizationPolicy", "my-service", `
targetRef: {group: "", kind: Service, name: my-service}
requiredServerVersion: v20.10.15
identityRefs: [{kind: ServiceAccount, name: backend, namespace: default}]`))
	expect(t, found, `
error apiVersion: write policy.linkerd.io/v1alpha1
error spec.targetRef.kind: kind: Server, name: my-service
error spec.requiredAuthenticationRefs: required
warning spec.requiredServerVersion: remove it
warning spec.identityRefs: write requiredAuthenticationRefs`)
	if !part.Empty() {
		t.Errorf("%+v", part)
	}
}
