package core_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const (
	inboundPolicy = "config.linkerd.io/default-inbound-policy: "
	identityPorts = "config.linkerd.io/proxy-require-identity-inbound-ports: "
)

// annotated is a running pod with annotations, in a namespace with others.
func annotated(pod, namespace string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, annotations: {%s}}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {%s}}
`, pod, namespace)
}

// Who may call a pod at a port that no Server is for, and because of what.
func TestOtherwise(t *testing.T) {
	// callers that have an identity or none, in the cluster or outside: "KN" is one that has, in it
	near, far, id := netip.MustParseAddrPort("10.1.2.3:1"), netip.MustParseAddrPort("203.0.113.9:1"), identity.Of(td, "shop", "web")
	callers := map[string]traffic.Peer{"KN": {Addr: near, ID: id}, "-N": {Addr: near}, "K-": {Addr: far, ID: id}, "--": {Addr: far}}
	const all, none = "KN -N K- --", ""
	const podPolicy, podPorts = "Pod shop/web config.linkerd.io/default-inbound-policy (core)", "Pod shop/web config.linkerd.io/proxy-require-identity-inbound-ports (core)"
	for _, x := range []struct {
		pod, namespace string
		at80, at81     string // who may call these ports
		because        string // who may not does not
		found          string
	}{
		{"", "", all, all, "", ""},
		{inboundPolicy + "all-unauthenticated", "", all, all, "", ""},
		{inboundPolicy + "''", "", all, all, "", ""},
		{inboundPolicy + "audit", "", all, all, "", ""},
		{inboundPolicy + "all-authenticated", "", "KN K-", "KN K-", podPolicy, ""},
		{inboundPolicy + "cluster-unauthenticated", "", "KN -N", "KN -N", podPolicy, ""},
		{inboundPolicy + "cluster-authenticated", "", "KN", "KN", podPolicy, ""},
		{inboundPolicy + "deny", "", none, none, podPolicy, ""},
		{"", inboundPolicy + "deny", none, none, "Namespace shop config.linkerd.io/default-inbound-policy (core)", ""},
		// "pod > namespace > cluster"
		{inboundPolicy + "all-authenticated", inboundPolicy + "deny", "KN K-", "KN K-", podPolicy, ""},
		{inboundPolicy + "all-unauthenticated", inboundPolicy + "deny", all, all, "", ""},
		{inboundPolicy + "Deny", "", none, none, podPolicy, `warning metadata.annotations["config.linkerd.io/default-inbound-policy"]: "Deny" is no policy`},
		{"", inboundPolicy + "Deny", none, none, "Namespace shop config.linkerd.io/default-inbound-policy (core)",
			`warning metadata.annotations["config.linkerd.io/default-inbound-policy"]: "Deny" is no policy`}, // the namespace's, once
		// "Only tightens Allow-type default policies"
		{identityPorts + "'80, 90-99'", "", "KN K-", all, podPorts, ""},
		{identityPorts + "79-80", inboundPolicy + "audit", all, all, "", ""},
		{identityPorts + "'80'", inboundPolicy + "deny", none, none, "Namespace shop config.linkerd.io/default-inbound-policy (core)", ""},
		{identityPorts + "'80'", inboundPolicy + "all-authenticated", "KN K-", "KN K-", "Namespace shop config.linkerd.io/default-inbound-policy (core)", ""},
		{identityPorts + "'80'", inboundPolicy + "cluster-unauthenticated", "KN", "KN -N", podPorts, ""},
		{identityPorts + "''", identityPorts + "'80'", all, all, "", ""},
		{"", identityPorts + "'80'", "KN K-", all, "Namespace shop config.linkerd.io/proxy-require-identity-inbound-ports (core)", ""},
		{identityPorts + "http", "", "KN K-", "KN K-", podPorts, `warning metadata.annotations["config.linkerd.io/proxy-require-identity-inbound-ports"]: "http" is neither`},
		{identityPorts + "'90-80'", "", "KN K-", "KN K-", podPorts, `warning metadata.annotations["config.linkerd.io/proxy-require-identity-inbound-ports"]: "90-80" is neither`},
	} {
		t.Run(strings.ReplaceAll(x.pod+" in "+x.namespace, "config.linkerd.io/", ""), func(t *testing.T) {
			parts, found := lower(t, annotated(x.pod, x.namespace))
			expect(t, found, x.found)
			in := (&mesh.Snapshot{}).Inbound(&parts[0].Workloads[0])
			if open := x.because == "" && !strings.Contains(x.pod+x.namespace, "audit"); open != (parts[0].Workloads[0].Extra == nil) {
				t.Errorf("%+v", parts[0].Workloads[0].Extra)
			}
			for port, may := range map[uint16]string{80: x.at80, 81: x.at81} {
				for name, from := range callers {
					v := judged(t, in.Authz, from, port)
					if pass := v.Outcome == decision.Pass; pass != strings.Contains(may, name) {
						t.Errorf("%s at %d passes: %v", name, port, pass)
					}
					if v.Outcome == decision.Deny && port == 80 && name == "--" && v.Ref.String() != x.because {
						t.Errorf("because %s, want %s", v.Ref, x.because)
					}
				}
			}
		})
	}
}

func judged(t *testing.T, engines []authz.Engine, from traffic.Peer, port uint16) (v decision.Verdict) {
	t.Helper()
	for _, e := range engines {
		if err := e.Compile(); err != nil {
			t.Fatal(err)
		}
		if e.On(port) {
			v = e.Judge(&traffic.Attrs{Conn: &traffic.Conn{Source: from, Original: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port)}}, nil)
		}
	}
	return v
}

// The pods of a namespace share what its annotation says.
func TestOtherwiseIsShared(t *testing.T) {
	one := annotated("", inboundPolicy+"deny")
	parts, _ := dialecttest.Lower(t, kinds, one+"---"+strings.SplitN(strings.Replace(one, "name: web", "name: api", 1), "---", 2)[0])
	a, b := parts[0].Workloads[0].Extra.Otherwise, parts[2].Workloads[0].Extra.Otherwise
	if a == nil || a != b {
		t.Errorf("%p and %p", a, b)
	}
}
