package mesh_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/mesh"
)

// kube-proxy's own words (pkg/proxy/topology.go, topologyModeFromHints): "every ready endpoint has a node hint, and at least one endpoint is
// hinted for this node"; "otherwise, if every ready endpoint has a zone hint, and at least one endpoint is hinted for this node's zone";
// "otherwise ... no topology". Linkerd's rule of zones is the same.
func TestNear(t *testing.T) {
	for _, x := range []struct{ name, endpoints, want string }{ // ZONES/NODES of each, ! if it drains
		{"no hints", "/ /", "0 1"},
		{"this zone", "a/ b/", "0"},
		{"one without", "a/ b/ /", "0 1 2"},
		{"none of this zone", "b/ c/", "0 1"},
		{"several zones", "b,a/ b/ c,a/", "0 2"},
		{"this node", "a/n a/m b/m", "0"},
		{"a node before a zone", "b/n a/m a/m", "0"},
		{"none of this node", "a/m b/m", "0"},
		{"nodes of some alone", "a/n a/ b/", "0 1"},
		{"neither", "b/m c/m", "0 1"},
		{"who drains says nothing", "!/ a/ b/", "0 1"},
		{"who drains is not enough", "!a/ b/", "0 1"},
		{"who drains stays beside those of this zone", "a/ !b/ b/", "0 1"},
		{"all drain", "!a/ !b/", "0 1"},
		{"nobody", "", ""},
	} {
		var all []mesh.Endpoint
		for i, text := range strings.Fields(x.endpoints) {
			rest, draining := strings.CutPrefix(text, "!")
			zones, nodes, _ := strings.Cut(rest, "/")
			list := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) }
			all = append(all, mesh.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{0, 0, 0, byte(i)}), 1), Draining: draining, Zones: list(zones), Nodes: list(nodes)})
		}
		var got []string
		for _, e := range mesh.Near(all, "n", "a") {
			got = append(got, fmt.Sprint(e.Addr.Addr().As4()[3]))
		}
		if s := strings.Join(got, " "); s != x.want {
			t.Errorf("%s: %q, want %q", x.name, s, x.want)
		}
	}
}
