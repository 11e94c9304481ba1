package istio_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func peerAuthentication(namespace, spec string) string {
	return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: it, namespace: " + namespace + "}\nspec: " + spec
}

func TestPeerAuthentication(t *testing.T) {
	pa := ref("PeerAuthentication", "")
	root := pa
	root.Namespace = "istio-system"
	web := &match.Selector{Labels: []string{"app=web"}}
	for _, c := range []struct {
		namespace, spec string
		want            mesh.PeerMode
	}{
		{"default", "{mtls: {mode: STRICT}}", mesh.PeerMode{Ref: pa, Namespace: "default", Mode: mtls.Strict}},
		{"default", "{selector: {matchLabels: {}}, mtls: {mode: DISABLE}}", mesh.PeerMode{Ref: pa, Namespace: "default", Mode: mtls.Disable}},
		{"default", "{}", mesh.PeerMode{Ref: pa, Namespace: "default"}},
		{"istio-system", "{mtls: {mode: PERMISSIVE}}", mesh.PeerMode{Ref: root, Mode: mtls.Permissive}},
		{"default", `{selector: {matchLabels: {app: web}}, portLevelMtls: {"8080": {mode: DISABLE}, "9090": {}}}`, mesh.PeerMode{Ref: pa, Namespace: "default",
			Selector: web, Ports: []mtls.Port{{Ref: pa.At("portLevelMtls.8080"), Port: 8080, Mode: mtls.Disable}, {Ref: pa.At("portLevelMtls.9090"), Port: 9090}}}},
	} {
		part, found := lower(t, peerAuthentication(c.namespace, c.spec))
		dialecttest.None(t, found)
		if len(part.PeerModes) != 1 {
			t.Fatalf("%s: %d modes", c.spec, len(part.PeerModes))
		}
		c.want.Created = part.PeerModes[0].Created
		if d := dialecttest.Diff(c.want, part.PeerModes[0]); d != "" {
			t.Errorf("%s: %s", c.spec, d)
		}
	}
}

// TestRootPeerAuthenticationWithSelectorIsIgnored: as in Istio's code, though its API's text says otherwise.
func TestRootPeerAuthenticationWithSelectorIsIgnored(t *testing.T) {
	part, found := lower(t, peerAuthentication("istio-system", "{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}"))
	dialecttest.Want(t, found, mesh.Warning, "spec.selector", "no effect")
	if !part.Empty() {
		t.Errorf("it has an effect: %+v", part)
	}
}

// TestStrayPeerAuthentication: a field that is not known may have been the mode or the selector; calls in the clear are refused.
func TestStrayPeerAuthentication(t *testing.T) {
	for _, spec := range []string{"{mode: STRICT}", "{mtls: {mod: STRICT}}", "{selectr: {matchLabels: {a: b}}, mtls: {mode: DISABLE}}",
		`{selector: {matchLabels: {a: b}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {"80": {mode: DISABLE, x: y}}}`} {
		part, found := lower(t, peerAuthentication("default", spec))
		dialecttest.Want(t, found, mesh.Warning, "spec", "calls in the clear are refused")
		if m := part.PeerModes[0]; m.Mode != mtls.Strict || m.Ports != nil {
			t.Errorf("%s: %+v", spec, m)
		}
	}
}

func TestPeerAuthenticationMistakes(t *testing.T) {
	for _, c := range []struct {
		spec  string
		level mesh.Level
		field string
		says  string
	}{
		{`{portLevelMtls: {"80": {mode: DISABLE}}}`, mesh.Error, "spec.portLevelMtls", "beside a selector"},
		{`{selector: {matchLabels: {a: b}}, portLevelMtls: {"0": {mode: DISABLE}}}`, mesh.Error, "spec.portLevelMtls.0", "1 to 65535"},
		{"{selector: {matchLabels: {a: b}}, portLevelMtls: {http: {mode: DISABLE}}}", mesh.Error, "spec.portLevelMtls.http", "a whole number"},
		{"{mtls: {mode: strict}}", mesh.Error, "spec.mtls.mode", "did you mean STRICT?"},
		{"{mode: STRICT}", mesh.Warning, "spec.mode", "did you mean mtls.mode?"},
		{"{selector: {labels: {a: b}}}", mesh.Warning, "spec.selector.labels", "did you mean selector.matchLabels?"},
	} {
		_, found := lower(t, peerAuthentication("default", c.spec))
		dialecttest.Want(t, found, c.level, c.field, c.says)
	}
}
