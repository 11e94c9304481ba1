package gatewayapi_test

import (
	"encoding/base64"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// vouching is ConfigMaps and Secrets of the namespace shop, one that may be had of stock, and one that may not.
func vouching(t *testing.T) string {
	t.Helper()
	fields, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pair := regexp.MustCompile(`data: \{tls\.crt: ([A-Za-z0-9+/=]+), tls\.key: ([A-Za-z0-9+/=]+)\}`).FindStringSubmatch(string(fields))
	if pair == nil {
		t.Fatal("no certificate in fields.yaml")
	}
	cert, err := base64.StdEncoding.DecodeString(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	ca := "{ca.crt: \"" + strings.ReplaceAll(string(cert), "\n", "\\n") + "\"}"
	docs := ""
	for _, x := range [][3]string{{"ConfigMap", "shop", "ca"}, {"ConfigMap", "stock", "ca"}, {"ConfigMap", "stock", "closed"}} {
		docs += "apiVersion: v1\nkind: " + x[0] + "\nmetadata: {name: " + x[2] + ", namespace: " + x[1] + "}\ndata: " + ca + "\n---\n"
	}
	docs += "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: empty, namespace: shop}\ndata: {}\n---\n"
	docs += "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nonsense, namespace: shop}\ndata: {ca.crt: hello}\n---\n"
	docs += "apiVersion: v1\nkind: Secret\nmetadata: {name: pair, namespace: shop}\ndata: {tls.crt: " + pair[1] + ", tls.key: " + pair[2] + "}\n---\n"
	return docs + `
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: ca, namespace: stock}
spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}], to: [{group: "", kind: ConfigMap, name: ca}]}
---
`
}

// withTLS is the Gateway edge with spec.tls, and listeners for HTTP at 80 and HTTPS at 443 and 444.
func withTLS(t *testing.T, tls string) string {
	g := gatewayOf("  - {name: web, port: 80, protocol: HTTP}\n  - {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: pair}]}}\n" +
		"  - {name: more, port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: pair}]}}\n")
	return strings.Replace(g, "gatewayClassName: weft\n", "gatewayClassName: weft\n  tls: "+tls+"\n", 1) + vouching(t)
}

// TestCallers: what is asked of callers is said by port; of authorities those count that can be had, and without any the listener stays shut.
func TestCallers(t *testing.T) {
	const (
		ok   = "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts Programmed=True/Programmed"
		shut = "Accepted=False/NoValidCACertificate ResolvedRefs=False/"
		rest = " Conflicted=False/NoConflicts Programmed=False/Invalid"
	)
	refs := func(list ...string) string {
		return "{validation: {caCertificateRefs: [" + strings.Join(list, ", ") + "]}}"
	}
	const ca, none, kind = "{group: '', kind: ConfigMap, name: ca}", "{group: '', kind: ConfigMap, name: none}", "{group: '', kind: Service, name: v1}"
	for _, x := range []struct {
		name, tls, listener, want string
		roots                     int
		ask                       mesh.Ask
	}{
		{"nothing is asked", "{}", "tls", ok, -1, 0},
		{"by default", "{frontend: {default: " + refs(ca) + "}}", "tls", ok, 1, mesh.AskValid},
		{"in the clear", "{frontend: {default: " + refs(ca) + "}}", "web", ok, -1, 0},
		{"by a port of its own", "{frontend: {default: " + refs(ca) + ", perPort: [{port: 444, tls: " + refs(ca, ca) + "}]}}", "more", ok, 2, mesh.AskValid},
		{"by another's port", "{frontend: {default: " + refs(ca) + ", perPort: [{port: 444, tls: " + refs(none) + "}]}}", "tls", ok, 1, mesh.AskValid},
		{"a port that is asked for nothing", "{frontend: {default: " + refs(ca) + ", perPort: [{port: 444, tls: {}}]}}", "more", ok, -1, 0},
		{"any certificate", "{frontend: {default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [" + ca + "]}}}}", "tls", ok, 1, mesh.AskAndIgnore},
		{"of another namespace", "{frontend: {default: " + refs("{group: '', kind: ConfigMap, name: ca, namespace: stock}") + "}}", "tls", ok, 1, mesh.AskValid},
		{"without a grant", "{frontend: {default: " + refs("{group: '', kind: ConfigMap, name: closed, namespace: stock}") + "}}", "tls", shut + "RefNotPermitted" + rest, -2, 0},
		{"that is not there", "{frontend: {default: " + refs(none) + "}}", "tls", shut + "InvalidCACertificateRef" + rest, -2, 0},
		{"that does not matter in the clear", "{frontend: {default: " + refs(none) + "}}", "web", ok, -1, 0},
		{"without its key", "{frontend: {default: " + refs("{group: '', kind: ConfigMap, name: empty}") + "}}", "tls", shut + "InvalidCACertificateRef" + rest, -2, 0},
		{"that is none", "{frontend: {default: " + refs("{group: '', kind: ConfigMap, name: nonsense}") + "}}", "tls", shut + "InvalidCACertificateRef" + rest, -2, 0},
		{"of another kind", "{frontend: {default: " + refs(kind) + "}}", "tls", shut + "InvalidCACertificateKind" + rest, -2, 0},
		{"any, where no authority can be had", "{frontend: {default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [" + none + "]}}}}", "tls", shut + "InvalidCACertificateRef" + rest, -2, 0},
		{"one of two", "{frontend: {default: " + refs(none, ca) + "}}", "tls",
			"Accepted=True/Accepted ResolvedRefs=False/InvalidCACertificateRef Conflicted=False/NoConflicts Programmed=True/Programmed", 1, mesh.AskValid},
	} {
		t.Run(x.name, func(t *testing.T) {
			docs := withTLS(t, x.tls)
			status, _ := statusOf(t, docs, "Gateway", "edge", nil)
			if got := strings.Join(said(part(status, "listeners/"+x.listener)), " "); got != x.want {
				t.Errorf("%s\nwant %s", got, x.want)
			}
			g := gatewayIn(t, docs)
			i := slices.IndexFunc(g.Listeners, func(l mesh.Listener) bool { return l.Name == x.listener })
			switch {
			case x.roots == -2:
				if i >= 0 {
					t.Error("the listener is open")
				}
			case i < 0:
				t.Error("the listener is not open")
			case x.roots < 0:
				if c := g.Listeners[i].Callers; c != nil {
					t.Errorf("%+v", c)
				}
			default:
				if c := g.Listeners[i].Callers; c == nil || len(c.Roots) != x.roots || c.Ask != x.ask {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func gatewayIn(t *testing.T, docs string) mesh.Gateway {
	t.Helper()
	parts, _ := parts(t, docs, "Gateway", "edge")
	if len(parts.Gateways) != 1 {
		t.Fatalf("%+v", parts)
	}
	return parts.Gateways[0]
}

// parts is what is made of an object, and said of it.
func parts(t *testing.T, docs, kind, name string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, shop+docs)
	i := slices.IndexFunc(objects, func(o *dialect.Object) bool { return o.Kind == kind && o.Name == name })
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	return dialect.Read(kinds, objects[i], dialecttest.View(objects))
}

// TestGatewayTLS: conditions of the whole Gateway.
func TestGatewayTLS(t *testing.T) {
	const ok = "Accepted=True/Accepted Programmed=True/Programmed ResolvedRefs="
	backend := func(ref string) string { return "{backend: {clientCertificateRef: " + ref + "}}" }
	for _, x := range []struct {
		name, tls, want string
		shown           bool
	}{
		{"a certificate for backends", backend("{name: pair}"), ok + "True/ResolvedRefs", true},
		// GatewayInvalidTLSBackendConfiguration
		{"that is not there", backend("{name: none}"), ok + "False/InvalidClientCertificateRef", false},
		{"of another group", backend("{group: wrong.example, kind: Secret, name: pair}"), ok + "False/InvalidClientCertificateRef", false},
		{"of another kind", backend("{kind: ConfigMap, name: ca}"), ok + "False/InvalidClientCertificateRef", false},
		{"that cannot be read", backend("{name: broken}"), ok + "False/InvalidClientCertificateRef", false},
		{"without a grant", backend("{name: cert, namespace: stock}"), ok + "False/RefNotPermitted", false},
		{"any callers", "{frontend: {default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}",
			ok + "True/ResolvedRefs InsecureFrontendValidationMode=True/ConfigurationChanged", false},
		{"callers of no authority", "{frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: none}]}}}}",
			"Accepted=True/ListenersNotValid Programmed=True/Programmed ResolvedRefs=False/InvalidCACertificateRef", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			docs := withTLS(t, x.tls)
			status, _ := statusOf(t, docs, "Gateway", "edge", nil)
			if got := strings.Join(said(status), " "); got != x.want {
				t.Errorf("%s\nwant %s", got, x.want)
			}
			if g := gatewayIn(t, docs); (g.Cert != nil) != x.shown {
				t.Errorf("%+v", g.Cert)
			}
		})
	}
	// "This condition is removed as soon as FrontendValidationModeType is changed back"
	was := map[string]any{"conditions": []any{map[string]any{"type": "InsecureFrontendValidationMode", "status": "True"}, map[string]any{"type": "example.com/own"}}}
	if status, _ := statusOf(t, withTLS(t, "{}"), "Gateway", "edge", was); strings.Contains(strings.Join(said(status), " "), "Insecure") || !strings.Contains(strings.Join(said(status), " "), "example.com/own") {
		t.Error(said(status))
	}
}

// policies are BackendTLSPolicies by name, the first the oldest.
func policies(specs ...string) (docs string) {
	for i, s := range specs {
		docs += "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p" + string(rune('0'+i)) + ", namespace: shop, generation: 3, creationTimestamp: \"2026-01-0" +
			string(rune('1'+i)) + "T00:00:00Z\"}\nspec: " + s + "\n"
	}
	return docs
}

const used = "  - {name: web, port: 80, protocol: HTTP}\n"

const usedBy = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: it, namespace: shop}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: reviews, port: 9080}]}]}\n"

func TestBackendTLS(t *testing.T) {
	const (
		ca    = "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"
		whole = "targetRefs: [{group: '', kind: Service, name: reviews}]"
		one   = "targetRefs: [{group: '', kind: Service, name: reviews, sectionName: http}]"
		ok    = "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"
	)
	of := func(target, rest string) string {
		return "{" + target + ", validation: {hostname: a.example, " + rest + "}}"
	}
	for _, x := range []struct {
		name     string
		policies []string // the last is looked at
		want     string
		made     int
		mode     traffic.Security
	}{
		{"a Service", []string{of(whole, ca)}, ok, 1, traffic.Simple},
		{"a port", []string{of(one, ca)}, ok, 1, traffic.Simple},
		{"authorities of the system", []string{of(whole, "wellKnownCACertificates: System")}, ok, 1, traffic.Simple},
		// BackendTLSPolicyInvalidCACertificateRef, BackendTLSPolicyInvalidKind
		{"an authority that is not there", []string{of(whole, "caCertificateRefs: [{group: '', kind: ConfigMap, name: none}]")}, "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidCACertificateRef", 1, traffic.Barred},
		{"without its key", []string{of(whole, "caCertificateRefs: [{group: '', kind: ConfigMap, name: empty}]")}, "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidCACertificateRef", 1, traffic.Barred},
		{"of another kind", []string{of(whole, "caCertificateRefs: [{group: invalid.io, kind: InvalidKind, name: ca}]")}, "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidKind", 1, traffic.Barred},
		{"one of two", []string{of(whole, "caCertificateRefs: [{group: '', kind: ConfigMap, name: none}, {group: '', kind: ConfigMap, name: ca}]")}, "Accepted=True/Accepted ResolvedRefs=False/InvalidCACertificateRef", 1, traffic.Simple},
		// BackendTLSPolicyConflictResolution
		{"an older one of the Service", []string{of(whole, ca), of(whole, ca)}, "Accepted=False/Conflicted ResolvedRefs=True/ResolvedRefs", 0, 0},
		{"an older one of the port", []string{of(one, ca), of(one, ca)}, "Accepted=False/Conflicted ResolvedRefs=True/ResolvedRefs", 0, 0},
		{"an older one of the Service, for a port", []string{of(whole, ca), of(one, ca)}, ok, 1, traffic.Simple},
		{"an older one of a port, for the Service", []string{of(one, ca), of(whole, ca)}, ok, 1, traffic.Simple},
		{"no such port", []string{of("targetRefs: [{group: '', kind: Service, name: reviews, sectionName: none}]", ca)}, "Accepted=False/TargetNotFound ResolvedRefs=True/ResolvedRefs", 0, 0},
		{"another target too", []string{of("targetRefs: [{group: '', kind: Service, name: none}, {group: '', kind: Service, name: reviews}]", ca)}, ok, 1, traffic.Simple},
		{"what the API refuses", []string{of(whole, ca+", wellKnownCACertificates: System")}, "Accepted=False/Invalid ResolvedRefs=True/ResolvedRefs", 0, 0},
		{"a wildcard", []string{strings.Replace(of(whole, ca), "a.example", "'*.example'", 1)}, "Accepted=False/Invalid ResolvedRefs=True/ResolvedRefs", 0, 0},
		{"a name of no type", []string{of(whole, ca+", subjectAltNames: [{type: URI, hostname: a}]")}, "Accepted=False/Invalid ResolvedRefs=True/ResolvedRefs", 0, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			docs := gatewayOf(used) + vouching(t) + usedBy + policies(x.policies...)
			last := "p" + string(rune('0'+len(x.policies)-1))
			status, _ := statusOf(t, docs, "BackendTLSPolicy", last, nil)
			list, _ := status["ancestors"].([]any)
			if len(list) != 1 {
				t.Fatalf("%v", status)
			}
			if got := strings.Join(said(list[0]), " "); got != x.want {
				t.Errorf("%s\nwant %s", got, x.want)
			}
			made, found := parts(t, docs, "BackendTLSPolicy", last)
			if len(made.Originations) != x.made || x.made > 0 && made.Originations[0].Secure.Mode != x.mode {
				t.Errorf("%+v %v", made.Originations, found)
			}
			if (x.want != ok) != (len(found) > 0) && x.name != "another target too" {
				t.Errorf("%v", found)
			}
		})
	}
	made, _ := parts(t, gatewayOf(used)+vouching(t)+policies(of(one, ca+", subjectAltNames: [{type: Hostname, hostname: B.example}, {type: URI, uri: 'spiffe://A/b'}]")), "BackendTLSPolicy", "p0")
	if o := made.Originations; len(o) != 1 || o[0].Host != "reviews.shop.svc.cluster.local" || o[0].Port != 80 || o[0].Secure.SNI != "a.example" ||
		strings.Join(o[0].Secure.Names, " ") != "b.example spiffe://A/b" || len(o[0].Secure.Roots) != 1 {
		t.Errorf("%+v", o)
	}
}

// TestAncestors: a policy has a status of each Gateway of weft's with a route that leads to its target; what others say stays.
func TestAncestors(t *testing.T) {
	policy := policies("{targetRefs: [{group: '', kind: Service, name: reviews}], validation: {hostname: a, wellKnownCACertificates: System}}")
	theirs := map[string]any{"ancestors": []any{map[string]any{"controllerName": "example.com/other"}}}
	if s, _ := statusOf(t, gatewayOf(used)+policy, "BackendTLSPolicy", "p0", theirs); len(s["ancestors"].([]any)) != 1 {
		t.Errorf("no route leads there: %v", s)
	}
	if s, _ := statusOf(t, gatewayOf(used)+strings.Replace(usedBy, "name: edge", "name: other", 1)+policy, "BackendTLSPolicy", "p0", theirs); len(s["ancestors"].([]any)) != 1 {
		t.Errorf("another controller's Gateway: %v", s)
	}
	s, _ := statusOf(t, gatewayOf(used)+usedBy+policy, "BackendTLSPolicy", "p0", theirs)
	list := s["ancestors"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["controllerName"] != "example.com/other" {
		t.Fatalf("%v", list)
	}
	ours := list[1].(map[string]any)
	if ref := ours["ancestorRef"].(map[string]any); ref["name"] != "edge" || ref["namespace"] != "shop" || ref["kind"] != "Gateway" {
		t.Errorf("%v", ref)
	}
	if c := ours["conditions"].([]any)[0].(map[string]any); c["observedGeneration"] != int64(3) {
		t.Errorf("%v", c)
	}
	s, _ = statusOf(t, gatewayOf(used)+policy, "BackendTLSPolicy", "p0", s) // the route is gone
	if list := s["ancestors"].([]any); len(list) != 1 {
		t.Errorf("%v", list)
	}
}
