package gatewayapi_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/gateway-api/pkg/consts"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// edge is a Gateway of weft's, with what has become of it, and somebody else's.
const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft}
spec: {controllerName: weft.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: other}
spec: {controllerName: example.com/other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: shop}
spec: {gatewayClassName: other, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge-weft, namespace: shop}
spec: {type: ClusterIP, clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: edge-weft-1, namespace: shop, labels: {kubernetes.io/service-name: edge-weft}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
---
apiVersion: v1
kind: Secret
metadata: {name: broken, namespace: shop}
data: {tls.crt: aGVsbG8=, tls.key: aGVsbG8=}
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: stock}
data: {tls.crt: aGVsbG8=, tls.key: aGVsbG8=}
---
`

func gatewayOf(listeners string) string {
	return edge + "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop, generation: 7}\nspec:\n  gatewayClassName: weft\n  listeners:\n" + listeners + "---\n"
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// statusOf is what the status of an object is to be, in place of was; false: it is not weft's.
func statusOf(t *testing.T, docs, kind, name string, was map[string]any) (map[string]any, bool) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, shop+docs)
	i := slices.IndexFunc(objects, func(o *dialect.Object) bool { return o.Kind == kind && o.Name == name })
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	for j, o := range objects {
		if o.Kind == "EndpointSlice" {
			objects[j] = o.Pack() // as they come from a cluster
		}
	}
	o, view := objects[i], dialecttest.View(objects)
	_, found := dialect.Read(kinds, o, view)
	s := dialect.Find(kinds, o.Group, o.Kind).Status(o, view, found)
	if s == nil {
		return nil, false
	}
	return s(was, now), true
}

// said are conditions as "Type=Status/Reason".
func said(of any) (out []string) {
	m, _ := of.(map[string]any)
	list, _ := m["conditions"].([]any)
	for _, x := range list {
		c := x.(map[string]any)
		out = append(out, fmt.Sprintf("%s=%s/%s", c["type"], c["status"], c["reason"]))
	}
	return out
}

// part finds what a status says of a listener by its name, or of parent number i.
func part(status map[string]any, path string) any {
	kind, key, named := strings.Cut(path, "/")
	list, _ := status[kind].([]any)
	for i, x := range list {
		if m := x.(map[string]any); named && (m["name"] == key || fmt.Sprint(i) == key) {
			return m
		}
	}
	if path == "" {
		return status
	}
	return nil
}

// TestStatuses: the conditions that the API's specification asks for, and its conformance suite looks at.
func TestStatuses(t *testing.T) {
	const web = "  - {name: web, port: 80, protocol: HTTP}\n"
	route := func(spec string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: it, namespace: shop, generation: 3}\nspec: " + spec + "\n"
	}
	const toV1 = "rules: [{backendRefs: [{name: v1, port: 80}]}]"
	long := strings.Repeat("edge-", 12) + "edge"
	tls := func(refs string) string {
		return gatewayOf("  - {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [" + refs + "]}}\n")
	}
	const good = "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=True/Programmed"
	const overlaps = " OverlappingTLSConfig=True/OverlappingHostnames"
	overlapping := gatewayOf(`
  - {name: com, port: 443, protocol: TLS, hostname: foo.example.com, tls: {mode: Passthrough}}
  - {name: org, port: 443, protocol: TLS, hostname: foo.example.org, tls: {mode: Passthrough}}
  - {name: wild, port: 443, protocol: TLS, hostname: '*.example.com', tls: {mode: Passthrough}}
  - {name: https, port: 443, protocol: HTTPS, hostname: bar.example.com, tls: {certificateRefs: [{name: none}]}}
  - {name: else, port: 8443, protocol: TLS, hostname: '*.example.com', tls: {mode: Passthrough}}
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
`)
	for _, x := range []struct {
		name, docs, kind, object, part string
		want                           string
	}{
		{"a class of weft's", edge, "GatewayClass", "weft", "", "Accepted=True/Accepted"},
		// "This condition MUST be set by a controller when it marks a GatewayClass Accepted" (GatewayClassConditionStatusSupportedVersion)
		{"kinds of this version", definitionOf(consts.BundleVersion), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=True/SupportedVersion"},
		{"kinds of an older one", definitionOf("v1.0.0"), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=True/SupportedVersion"},
		{"kinds of one that is not out yet", definitionOf("v1.6.9-rc.1"), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=True/SupportedVersion"},
		{"kinds of a newer one", definitionOf("v1.99.0"), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=False/UnsupportedVersion"},
		{"kinds of one before it was stable", definitionOf("v0.8.1"), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=False/UnsupportedVersion"},
		{"kinds that name no version", definitionOf(""), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=False/UnsupportedVersion"},
		{"kinds of an odd version", definitionOf("main"), "GatewayClass", "weft", "", "Accepted=True/Accepted SupportedVersion=False/UnsupportedVersion"},
		{"a Gateway", gatewayOf(web), "Gateway", "edge", "", "Accepted=True/Accepted Programmed=True/Programmed ResolvedRefs=True/ResolvedRefs"},
		{"its listener", gatewayOf(web), "Gateway", "edge", "listeners/web", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=True/Programmed"},
		{"without a Service", strings.ReplaceAll(gatewayOf(web), "edge-weft", "another"), "Gateway", "edge", "", "Accepted=True/Accepted Programmed=False/Pending ResolvedRefs=True/ResolvedRefs"},
		{"without an address", strings.ReplaceAll(gatewayOf(web), "type: ClusterIP", "type: LoadBalancer"), "Gateway", "edge", "", "Accepted=True/Accepted Programmed=False/AddressNotAssigned ResolvedRefs=True/ResolvedRefs"},
		{"with a name alone", strings.Replace(gatewayOf(web), "spec: {type: ClusterIP, clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{port: 80}]}",
			"spec: {type: LoadBalancer, ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{hostname: lb.example}]}}", 1), "Gateway", "edge", "", "Accepted=True/Accepted Programmed=True/Programmed ResolvedRefs=True/ResolvedRefs"},
		{"without a proxy", strings.ReplaceAll(gatewayOf(web), "ready: true", "ready: false"), "Gateway", "edge", "", "Accepted=True/Accepted Programmed=False/Pending ResolvedRefs=True/ResolvedRefs"},
		// GatewayStaticAddresses
		{"an address of a type that cannot be asked for", strings.Replace(gatewayOf(web), "gatewayClassName: weft\n", "gatewayClassName: weft\n  addresses: [{type: example.com/odd, value: x}, {value: 192.0.2.1}, {value: 10.96.0.7}]\n", 1), "Gateway", "edge", "",
			"Accepted=False/UnsupportedAddress Programmed=False/Invalid ResolvedRefs=True/ResolvedRefs"},
		{"an address that it does not get", strings.Replace(gatewayOf(web), "gatewayClassName: weft\n", "gatewayClassName: weft\n  addresses: [{value: 192.0.2.1}, {value: 10.96.0.7}]\n", 1), "Gateway", "edge", "",
			"Accepted=True/Accepted Programmed=False/AddressNotUsable ResolvedRefs=True/ResolvedRefs"},
		{"an address that no load balancer gives", strings.ReplaceAll(strings.Replace(gatewayOf(web), "gatewayClassName: weft\n", "gatewayClassName: weft\n  addresses: [{value: 192.0.2.1}]\n", 1), "type: ClusterIP", "type: LoadBalancer"), "Gateway", "edge", "",
			"Accepted=True/Accepted Programmed=False/AddressNotUsable ResolvedRefs=True/ResolvedRefs"},
		{"an address that it gets", strings.Replace(gatewayOf(web), "gatewayClassName: weft\n", "gatewayClassName: weft\n  addresses: [{value: 10.96.0.7}]\n", 1), "Gateway", "edge", "",
			"Accepted=True/Accepted Programmed=True/Programmed ResolvedRefs=True/ResolvedRefs"},
		// GatewayInvalidParametersRef
		{"parameters", strings.Replace(gatewayOf(web), "gatewayClassName: weft\n", "gatewayClassName: weft\n  infrastructure: {parametersRef: {group: example.com, kind: Size, name: big}}\n", 1), "Gateway", "edge", "",
			"Accepted=False/InvalidParameters Programmed=False/Invalid ResolvedRefs=True/ResolvedRefs"},
		{"parameters of its class", strings.Replace(edge, "controllerName: weft.dev/gateway-controller", "controllerName: weft.dev/gateway-controller, parametersRef: {group: example.com, kind: Size, name: big}", 1), "GatewayClass", "weft", "",
			"Accepted=False/InvalidParameters"},
		{"a name that is no label", strings.ReplaceAll(gatewayOf(web), "name: edge,", "name: "+long+","), "Gateway", long, "", "Accepted=False/Invalid Programmed=False/Invalid ResolvedRefs=True/ResolvedRefs"},
		// GatewayListenerUnsupportedProtocol
		{"a protocol that is not known", gatewayOf("  - {name: odd, port: 80, protocol: example.com/odd}\n"), "Gateway", "edge", "listeners/odd",
			"Accepted=False/UnsupportedProtocol ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"of its Gateway", gatewayOf("  - {name: odd, port: 80, protocol: example.com/odd}\n"), "Gateway", "edge", "", "Accepted=False/ListenersNotValid Programmed=False/Invalid ResolvedRefs=True/ResolvedRefs"},
		{"beside a good one", gatewayOf(web + "  - {name: odd, port: 81, protocol: example.com/odd}\n"), "Gateway", "edge", "", "Accepted=True/ListenersNotValid Programmed=True/Programmed ResolvedRefs=True/ResolvedRefs"},
		// GatewayInvalidRouteKind
		{"kinds that are none of the protocol's", gatewayOf("  - {name: web, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: Invalid}]}}\n"), "Gateway", "edge", "listeners/web",
			"Accepted=True/Accepted ResolvedRefs=False/InvalidRouteKinds Conflicted=False/NoConflicts Programmed=True/Programmed"},
		// GatewayInvalidTLSConfiguration
		{"no such Secret", tls("{name: none}"), "Gateway", "edge", "listeners/tls", "Accepted=True/Accepted ResolvedRefs=False/InvalidCertificateRef Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"another kind", tls("{group: example.com, kind: X, name: none}"), "Gateway", "edge", "listeners/tls", "Accepted=True/Accepted ResolvedRefs=False/InvalidCertificateRef Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"no certificate in it", tls("{name: broken}"), "Gateway", "edge", "listeners/tls", "Accepted=True/Accepted ResolvedRefs=False/InvalidCertificateRef Conflicted=False/NoConflicts Programmed=False/Invalid"},
		// GatewaySecretMissingReferenceGrant: whether there is such a Secret is not for it to know
		{"in another namespace", tls("{name: cert, namespace: stock}"), "Gateway", "edge", "listeners/tls", "Accepted=True/Accepted ResolvedRefs=False/RefNotPermitted Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"two listeners for one host", gatewayOf(web + "  - {name: too, port: 80, protocol: HTTP}\n"), "Gateway", "edge", "listeners/web",
			"Accepted=False/HostnameConflict ResolvedRefs=True/ResolvedRefs Conflicted=True/HostnameConflict Programmed=False/HostnameConflict"},
		{"two protocols on one port", gatewayOf(web + "  - {name: tcp, port: 80, protocol: TCP}\n"), "Gateway", "edge", "listeners/tcp",
			"Accepted=False/ProtocolConflict ResolvedRefs=True/ResolvedRefs Conflicted=True/ProtocolConflict Programmed=False/ProtocolConflict"},
		{"a port of TCP and one of UDP", gatewayOf(web + "  - {name: udp, port: 80, protocol: UDP}\n"), "Gateway", "edge", "listeners/udp",
			"Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=True/Programmed"},
		{"a port of UDP twice", gatewayOf("  - {name: a, port: 53, protocol: UDP}\n  - {name: b, port: 53, protocol: UDP}\n"), "Gateway", "edge", "listeners/b",
			"Accepted=False/ProtocolConflict ResolvedRefs=True/ResolvedRefs Conflicted=True/ProtocolConflict Programmed=False/ProtocolConflict"},
		{"a port that each proxy needs, for mutual TLS", gatewayOf("  - {name: a, port: 15008, protocol: HTTP}\n"), "Gateway", "edge", "listeners/a",
			"Accepted=False/PortUnavailable ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"for metrics", gatewayOf("  - {name: a, port: 15020, protocol: TCP}\n"), "Gateway", "edge", "listeners/a",
			"Accepted=False/PortUnavailable ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"for probes", withSet(web, "  - {name: a, port: 15021, protocol: TLS, tls: {mode: Passthrough}}\n"), "ListenerSet", "more", "listeners/a",
			"Accepted=False/PortUnavailable ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=False/Invalid"},
		{"ports that a sidecar alone needs, or the control plane", gatewayOf("  - {name: a, port: 15001, protocol: HTTP}\n  - {name: b, port: 15006, protocol: TCP}\n  - {name: c, port: 15014, protocol: TCP}\n  - {name: d, port: 15017, protocol: TCP}\n  - {name: e, port: 15053, protocol: TCP}\n"), "Gateway", "edge", "",
			"Accepted=True/Accepted Programmed=True/Programmed ResolvedRefs=True/ResolvedRefs"},
		{"a port for UDP that is the proxy's for TCP", gatewayOf("  - {name: a, port: 15008, protocol: UDP}\n"), "Gateway", "edge", "listeners/a",
			"Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=True/Programmed"},
		// ListenerSetProtocolConflict: what gives way to the Gateway is in nobody's way any more
		{"a set's listener that gives way", withSet(web, "  - {name: tcp, port: 80, protocol: TCP}\n  - {name: too, port: 80, protocol: HTTP, hostname: too.example}\n"), "ListenerSet", "more", "listeners/tcp",
			"Accepted=False/ProtocolConflict ResolvedRefs=True/ResolvedRefs Conflicted=True/ProtocolConflict Programmed=False/ProtocolConflict"},
		{"the one beside it", withSet(web, "  - {name: tcp, port: 80, protocol: TCP}\n  - {name: too, port: 80, protocol: HTTP, hostname: too.example}\n"), "ListenerSet", "more", "listeners/too",
			"Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=True/Programmed"},
		{"two of a set", withSet(web, "  - {name: a, port: 81, protocol: TCP}\n  - {name: b, port: 81, protocol: TCP}\n"), "ListenerSet", "more", "listeners/a",
			"Accepted=False/ProtocolConflict ResolvedRefs=True/ResolvedRefs Conflicted=True/ProtocolConflict Programmed=False/ProtocolConflict"},
		{"what would give way to what has given way itself", withSet(web, "  - {name: tcp, port: 80, protocol: TCP}\n") +
			"apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: next, namespace: shop}\nspec:\n  parentRef: {name: edge}\n  listeners:\n" +
			"  - {name: a, port: 80, protocol: HTTP, hostname: a.example}\n  - {name: b, port: 80, protocol: HTTP, hostname: a.example}\n", "ListenerSet", "next", "listeners/a",
			"Accepted=False/HostnameConflict ResolvedRefs=True/ResolvedRefs Conflicted=True/HostnameConflict Programmed=False/HostnameConflict"},
		// "This condition MUST be set on all Listeners with overlapping TLS config", and "MUST NOT be set when it is False" (ListenerConditionOverlappingTLSConfig)
		{"a host that another listener's wildcard covers", overlapping, "Gateway", "edge", "listeners/com", good + overlaps},
		{"the wildcard that covers it", overlapping, "Gateway", "edge", "listeners/wild", good + overlaps},
		{"TLS that ends at the gateway", overlapping, "Gateway", "edge", "listeners/https", strings.NewReplacer("ResolvedRefs=True/ResolvedRefs", "ResolvedRefs=False/InvalidCertificateRef",
			"Programmed=True/Programmed", "Programmed=False/Invalid").Replace(good) + overlaps},
		{"a host that none covers", overlapping, "Gateway", "edge", "listeners/org", good},
		{"another port", overlapping, "Gateway", "edge", "listeners/else", good},
		{"in the clear", overlapping, "Gateway", "edge", "listeners/http", good},
		{"a listener for all hosts", strings.ReplaceAll(overlapping, "hostname: '*.example.com', ", ""), "Gateway", "edge", "listeners/org", good + overlaps},
		{"a set's listener", withSet("  - {name: tls, port: 443, protocol: TLS, hostname: a.example, tls: {mode: Passthrough}}\n", "  - {name: wild, port: 443, protocol: TLS, hostname: '*.example', tls: {mode: Passthrough}}\n"),
			"ListenerSet", "more", "listeners/wild", good + overlaps},
		{"a set's listener that is not served", withSet("  - {name: tls, port: 443, protocol: TLS, hostname: a.example, tls: {mode: Passthrough}}\n", "  - {name: same, port: 443, protocol: TLS, hostname: a.example, tls: {mode: Passthrough}}\n"),
			"Gateway", "edge", "listeners/tls", good},
		{"the set", withSet(web, "  - {name: tcp, port: 80, protocol: TCP}\n"), "ListenerSet", "more", "", "Accepted=False/ListenersNotValid Programmed=False/ListenersNotValid"},

		{"a UDPRoute", gatewayOf("  - {name: dns, port: 53, protocol: UDP}\n") + udpRoute("v1", 53), "UDPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"},
		{"a UDPRoute to a port for TCP", gatewayOf("  - {name: dns, port: 53, protocol: UDP}\n") + udpRoute("v1", 80), "UDPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"},
		// UDPRouteInvalidBackendRefNonexistent, UDPRouteNotAllowedByListeners
		{"a UDPRoute to nowhere", gatewayOf("  - {name: dns, port: 53, protocol: UDP}\n") + udpRoute("none", 53), "UDPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"},
		{"a UDPRoute of a listener for HTTP", gatewayOf(web) + udpRoute("v1", 53), "UDPRoute", "it", "parents/0", "Accepted=False/NotAllowedByListeners ResolvedRefs=True/ResolvedRefs"},

		{"a route", gatewayOf(web) + route("{parentRefs: [{name: edge}], "+toV1+"}"), "HTTPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"},
		{"a route of a Service", gatewayOf(web) + route(`{parentRefs: [{group: "", kind: Service, name: reviews}], `+toV1+"}"), "HTTPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"},
		{"a port that the Service has not", gatewayOf(web) + route(`{parentRefs: [{group: "", kind: Service, name: reviews, port: 9}], `+toV1+"}"), "HTTPRoute", "it", "parents/0", "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs"},
		// HTTPRouteInvalidParentRefNotMatchingSectionName
		{"no such listener", gatewayOf(web) + route("{parentRefs: [{name: edge, sectionName: none}], "+toV1+"}"), "HTTPRoute", "it", "parents/0", "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs"},
		// HTTPRouteInvalidCrossNamespaceParentRef
		{"of another namespace", strings.ReplaceAll(gatewayOf(web), "name: edge, namespace: shop", "name: edge, namespace: stock") + route("{parentRefs: [{name: edge, namespace: stock}], "+toV1+"}"), "HTTPRoute", "it", "parents/0", "Accepted=False/NotAllowedByListeners ResolvedRefs=True/ResolvedRefs"},
		{"no host in common", gatewayOf("  - {name: web, port: 80, protocol: HTTP, hostname: a.example}\n") + route("{parentRefs: [{name: edge}], hostnames: [b.example], "+toV1+"}"), "HTTPRoute", "it", "parents/0", "Accepted=False/NoMatchingListenerHostname ResolvedRefs=True/ResolvedRefs"},
		// HTTPRouteInvalidBackendRefUnknownKind, HTTPRouteInvalidNonExistentBackendRef, HTTPRouteInvalidCrossNamespaceBackendRef
		{"a backend of another kind", gatewayOf(web) + route("{parentRefs: [{name: edge}], rules: [{backendRefs: [{kind: Unknown, name: v1, port: 80}]}]}"), "HTTPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=False/InvalidKind"},
		{"a backend that is not there", gatewayOf(web) + route("{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: none, port: 80}]}]}"), "HTTPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"},
		{"a backend without a grant", gatewayOf(web) + route("{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: ratings, namespace: stock, port: 80}]}]}"), "HTTPRoute", "it", "parents/0", "Accepted=True/Accepted ResolvedRefs=False/RefNotPermitted"},
		{"a route that is not in force", gatewayOf(web) + route("{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: v1, port: 80, weight: -1}]}]}"), "HTTPRoute", "it", "parents/0", "Accepted=False/UnsupportedValue ResolvedRefs=True/ResolvedRefs"},
		// TLSRouteInvalidNoMatchingListener
		{"a TLSRoute of an HTTP listener", gatewayOf(web) + "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {name: it, namespace: shop}\nspec: {parentRefs: [{name: edge}], hostnames: [a.example], " + toV1 + "}\n",
			"TLSRoute", "it", "parents/0", "Accepted=False/NotAllowedByListeners ResolvedRefs=True/ResolvedRefs"},
	} {
		t.Run(x.name, func(t *testing.T) {
			status, _ := statusOf(t, x.docs, x.kind, x.object, nil)
			if got := strings.Join(said(part(status, x.part)), " "); got != x.want {
				t.Errorf("%s\nwant %s\nin %v", got, x.want, status)
			}
		})
	}
}

// TestGatewayRefused: what asks for what weft cannot tell is not opened, nor is what could not be deployed.
func TestGatewayRefused(t *testing.T) {
	good := gatewayOf("  - {name: web, port: 80, protocol: HTTP}\n")
	long := strings.Repeat("edge-", 12) + "edge"
	for want, docs := range map[string]string{
		"": strings.ReplaceAll(good, "name: edge,", "name: "+long[1:]+","),
		"error metadata.name: as its label gateway.networking.k8s.io/gateway-name": strings.ReplaceAll(good, "name: edge,", "name: "+long+","),
		"error spec.infrastructure.parametersRef: not opened":                      strings.Replace(good, "gatewayClassName: weft\n", "gatewayClassName: weft\n  infrastructure: {parametersRef: {group: a.example, kind: Size, name: big}}\n", 1),
	} {
		part, found := lower(t, docs)
		if len(part.Gateways) > 0 != (want == "") {
			t.Errorf("%s: %v", want, part.Gateways)
		}
		if field, text, ok := strings.Cut(strings.TrimPrefix(want, "error "), ": "); ok {
			dialecttest.Want(t, found, mesh.Error, field, text)
		}
	}
}

// TestGatewayAnnotations: who hears of them that they are on the Service alone.
func TestGatewayAnnotations(t *testing.T) {
	_, found := lower(t, strings.Replace(gatewayOf("  - {name: web, port: 80, protocol: HTTP}\n"), "gatewayClassName: weft\n",
		"gatewayClassName: weft\n  infrastructure: {annotations: {note: x, prometheus.io/scrape: 'true', weft.dev/replicas: '2', k8s.v1.cni.cncf.io/networks: vault}}\n", 1))
	if len(found) != 1 {
		t.Error(dialecttest.Show(found))
	}
	dialecttest.Want(t, found, mesh.Info, `spec.infrastructure.annotations["k8s.v1.cni.cncf.io/networks"]`, "on the Gateway's Service, and not on its pods")
}

// definitionOf is a class of weft's beside the definition of its kind, of a version.
func definitionOf(bundle string) string {
	out := edge + "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: gatewayclasses.gateway.networking.k8s.io\n"
	if bundle != "" {
		out += "  annotations: {gateway.networking.k8s.io/bundle-version: " + bundle + "}\n"
	}
	return out + "---\n"
}

// withSet is a Gateway with a ListenerSet of its namespace.
func withSet(listeners, more string) string {
	return strings.Replace(gatewayOf(listeners), "gatewayClassName: weft\n", "gatewayClassName: weft\n  allowedListeners: {namespaces: {from: Same}}\n", 1) +
		"apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: more, namespace: shop}\nspec:\n  parentRef: {name: edge}\n  listeners:\n" + more + "---\n"
}

func udpRoute(service string, port int) string {
	return fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata: {name: it, namespace: shop}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: %s, port: %d}]}]}\n", service, port)
}

// TestStatusOfOthers: what is another controller's weft says nothing of.
func TestStatusOfOthers(t *testing.T) {
	for kind, name := range map[string]string{"GatewayClass": "other", "Gateway": "other"} {
		if s, ours := statusOf(t, edge, kind, name, nil); ours {
			t.Errorf("%s: %v", kind, s)
		}
	}
	it := "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: it, namespace: shop}\nspec: {parentRefs: [{name: other}], rules: [{backendRefs: [{name: v1, port: 80}]}]}\n"
	theirs := map[string]any{"parents": []any{map[string]any{"controllerName": "example.com/other"}}}
	if s, _ := statusOf(t, edge+it, "HTTPRoute", "it", theirs); fmt.Sprint(s) != fmt.Sprint(theirs) {
		t.Errorf("%v", s)
	}
}

// TestStatusKeepsWhatIsNotWefts: conditions of others, entries of other controllers, and when a condition last changed; weft's own entry of
// a parent that is not named any more goes.
func TestStatusKeepsWhatIsNotWefts(t *testing.T) {
	docs := gatewayOf("  - {name: web, port: 80, protocol: HTTP}\n") + "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: it, namespace: shop, generation: 3}\n" +
		"spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: v1, port: 80}]}]}\n"
	cond := func(kind, status, at string, generation int64) map[string]any {
		return map[string]any{"type": kind, "status": status, "reason": "X", "lastTransitionTime": at, "observedGeneration": generation}
	}
	was := map[string]any{"parents": []any{
		map[string]any{"controllerName": "weft.dev/gateway-controller", "parentRef": map[string]any{"name": "gone"}, "conditions": []any{}},
		map[string]any{"controllerName": "example.com/other", "parentRef": map[string]any{"name": "edge"}},
		map[string]any{"controllerName": "weft.dev/gateway-controller", "parentRef": map[string]any{"name": "edge"},
			"conditions": []any{cond("example.com/own", "True", "then", 1), cond("Accepted", "True", "then", 1), cond("ResolvedRefs", "False", "then", 1)}},
	}}
	s, _ := statusOf(t, docs, "HTTPRoute", "it", was)
	parents := s["parents"].([]any)
	if len(parents) != 2 || parents[0].(map[string]any)["controllerName"] != "example.com/other" {
		t.Fatalf("%v", parents)
	}
	c := parents[1].(map[string]any)["conditions"].([]any)
	at := func(i int) string {
		m := c[i].(map[string]any)
		return fmt.Sprint(m["type"], " ", m["lastTransitionTime"], " ", m["observedGeneration"])
	}
	if len(c) != 3 || at(0) != "example.com/own then 1" || at(1) != "Accepted then 3" || at(2) != "ResolvedRefs 2026-01-02T03:04:05Z 3" {
		t.Errorf("%v", c)
	}
	// "If the observedGeneration of a Condition is greater than the value the implementation knows about, then it MUST NOT perform the update"
	was["parents"].([]any)[2].(map[string]any)["conditions"] = []any{cond("Accepted", "False", "then", 4)}
	s, _ = statusOf(t, docs, "HTTPRoute", "it", was)
	if c := s["parents"].([]any)[1].(map[string]any)["conditions"].([]any)[0].(map[string]any); c["status"] != "False" || c["observedGeneration"] != int64(4) {
		t.Errorf("%v", c)
	}
}

// TestListenerStatus: kinds that are supported, and the routes that are attached, whatever has become of them.
func TestListenerStatus(t *testing.T) {
	docs := gatewayOf("  - {name: web, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}, {kind: Invalid}], namespaces: {from: All}}}\n  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}\n")
	for i, spec := range []string{"{parentRefs: [{name: edge, namespace: shop}]}", "{parentRefs: [{name: edge, namespace: shop, sectionName: web}], hostnames: [a.example]}",
		"{parentRefs: [{name: edge, namespace: shop, sectionName: tls}]}", "{parentRefs: [{name: other, namespace: shop}]}"} {
		docs += fmt.Sprintf("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r%d, namespace: stock}\nspec: %s\n", i, spec)
	}
	status, _ := statusOf(t, docs, "Gateway", "edge", nil)
	web, tls := part(status, "listeners/web").(map[string]any), part(status, "listeners/tls").(map[string]any)
	if web["attachedRoutes"] != int64(2) || fmt.Sprint(web["supportedKinds"]) != "[map[group:gateway.networking.k8s.io kind:HTTPRoute]]" {
		t.Errorf("%v", web)
	}
	if tls["attachedRoutes"] != int64(0) || fmt.Sprint(tls["supportedKinds"]) != "[map[group:gateway.networking.k8s.io kind:TLSRoute]]" {
		t.Errorf("%v", tls)
	}
	if fmt.Sprint(status["addresses"]) != "[map[type:IPAddress value:10.96.0.7]]" {
		t.Errorf("%v", status["addresses"])
	}
}

// TestOverlapThatIsOver: a condition that holds no more goes.
func TestOverlapThatIsOver(t *testing.T) {
	was := map[string]any{"listeners": []any{map[string]any{"name": "web", "conditions": []any{map[string]any{"type": "OverlappingTLSConfig", "status": "True"}}}}}
	status, _ := statusOf(t, gatewayOf("  - {name: web, port: 80, protocol: HTTP}\n"), "Gateway", "edge", was)
	if got := said(part(status, "listeners/web")); slices.ContainsFunc(got, func(c string) bool { return strings.HasPrefix(c, "Overlapping") }) {
		t.Error(got)
	}
}

// TestKeysDoNotShow: a private key is in no finding, and in nothing that is printed of a Gateway.
func TestKeysDoNotShow(t *testing.T) {
	text, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects := dialecttest.Objects(t, kinds, string(text))
	for _, o := range objects {
		part, found := dialect.Read(kinds, o, dialecttest.View(objects))
		for _, g := range part.Gateways {
			for _, l := range g.Listeners {
				for _, c := range l.Certs {
					if len(c.Key) == 0 {
						t.Fatal("no key")
					}
					for _, s := range []string{fmt.Sprint(part), fmt.Sprintf("%+v %#v %s", part, part, c.Key), fmt.Sprint(found)} {
						if strings.Contains(s, string(c.Key[40:52])) || strings.Contains(s, strings.Trim(fmt.Sprint([]byte(c.Key[40:52])), "[]")) {
							t.Error("a key shows")
						}
					}
				}
			}
		}
	}
}
