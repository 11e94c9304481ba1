package cilium_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unique"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// around is what policies of the tests may look at.
const around = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Namespace
metadata: {name: stock, labels: {team: b}}
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: office, labels: {place: here}}
spec: {externalCIDRs: [192.0.2.0/24, 198.51.100.0/24]}
---
`

func cnp(spec string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: it, namespace: shop}\nspec:\n" + indent(spec)
}

func ccnp(spec string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: it}\nspec:\n" + indent(spec)
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.Trim(s, "\n"), "\n", "\n  ") + "\n"
}

// in writes a CiliumNetworkPolicy for all of its namespace with a list of ingress rules.
func in(rules string) string { return cnp("endpointSelector: {}\ningress:\n" + rules) }

func out(rules string) string { return cnp("endpointSelector: {}\negress:\n" + rules) }

// lower reads the documents and returns the last one's part.
func lower(t *testing.T, docs string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, around+docs)
	return dialect.Read(kinds, objects[len(objects)-1], dialecttest.View(objects))
}

func ref(rule string) decision.Ref {
	return decision.Ref{Dialect: decision.Cilium, Kind: "CiliumNetworkPolicy", Namespace: "shop", Name: "it", Rule: rule}
}

// web is the workload whose policies are judged: of the namespace shop, with the port http at 8080.
var web = mesh.Workload{Name: "web", Namespace: "shop", Identity: unique.Make(identity.Of("cluster.local", "shop", "web")), Labels: []string{"app=web"},
	Ports: []mesh.WorkloadPort{{Name: "http", Number: 8080}}, Extra: &mesh.Extra{Datagrams: []mesh.WorkloadPort{{Name: "names", Number: 53}, {Name: "http", Number: 443}}}}

// Peers.
var (
	front   = traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.1:1"), ID: identity.Of("cluster.local", "shop", "front"), Labels: []string{"app=front"}}
	back    = traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.2:1"), ID: identity.Of("cluster.local", "shop", "back"), Labels: []string{"app=back"}}
	other   = traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.3:1"), ID: identity.Of("cluster.local", "stock", "front"), Labels: []string{"app=front"}}
	abroad  = traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.4:1"), ID: identity.Of("elsewhere", "shop", "front"), Labels: []string{"app=front"}}
	outside = traffic.Peer{Addr: netip.MustParseAddrPort("192.0.2.7:1")}
	nobody6 = traffic.Peer{Addr: netip.MustParseAddrPort("[2001:db8::1]:1")}
)

var everybody = map[string]*traffic.Peer{"front": &front, "back": &back, "other": &other, "abroad": &abroad, "outside": &outside, "outside6": &nobody6}

// call is one of TCP, to a port.
func call(port uint16) *traffic.Attrs {
	return &traffic.Attrs{Conn: &traffic.Conn{Original: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), port)}}
}

// datagrams is what is sent to a port by UDP.
func datagrams(port uint16) *traffic.Attrs {
	a := call(port)
	a.Conn.Datagrams = true
	return a
}

// get is "METHOD PATH" to port 8080, with headers in pairs.
func get(head string, headers ...string) *traffic.Attrs {
	a := call(8080)
	method, path, _ := strings.Cut(head, " ")
	a.Proto, a.Method, a.Authority = traffic.HTTP1, method, "web"
	a.Path, a.Query, _ = strings.Cut(path, "?")
	for i := 0; i < len(headers); i += 2 {
		a.Header.Receive(headers[i], headers[i+1])
	}
	return a
}

// engine merges what policies say of calls into web, or out of it. The zero Engine: nothing.
func engine(t *testing.T, out bool, docs ...string) *authz.Engine {
	t.Helper()
	return engineOf(t, mesh.Part{Workloads: []mesh.Workload{web}}, out, docs...)
}

// engineAtGateway is engine where web is the proxy of a gateway that listens for UDP.
func engineAtGateway(t *testing.T, out bool, docs ...string) *authz.Engine {
	t.Helper()
	g := mesh.Gateway{Name: "edge", Namespace: web.Namespace, Account: web.ID().ServiceAccount, Listeners: []mesh.Listener{{Port: 53, Entry: mesh.EntryUDP}}}
	return engineOf(t, mesh.Part{Workloads: []mesh.Workload{web}, Gateways: []mesh.Gateway{g}}, out, docs...)
}

func engineOf(t *testing.T, world mesh.Part, out bool, docs ...string) *authz.Engine {
	t.Helper()
	changes := []mesh.Change{{New: &world}}
	for _, doc := range docs {
		part, found := lower(t, doc)
		if slices.ContainsFunc(found, func(f mesh.Finding) bool { return f.Level == mesh.Error }) {
			t.Fatal(dialecttest.Show(found))
		}
		changes = append(changes, mesh.Change{New: &part})
	}
	s, _ := mesh.New().With(changes)
	w := s.Workloads.Get("shop/web")
	engines := s.Inbound(w).Authz
	if out {
		engines = s.Egress(w)
	}
	if len(engines) == 0 {
		return &authz.Engine{}
	}
	if err := engines[0].Compile(); err != nil || len(engines) > 1 {
		t.Fatal(err, len(engines))
	}
	return &engines[0]
}

// passes says whether a call of a peer gets in.
func passes(e *authz.Engine, from *traffic.Peer, a *traffic.Attrs) bool {
	a.Conn.Source = *from
	return e.Judge(a, nil).Outcome == decision.Pass
}

// reaches says whether a call to a peer gets out.
func reaches(e *authz.Engine, to *traffic.Peer, a *traffic.Attrs) bool {
	return e.Judge(a, to).Outcome == decision.Pass
}

// who lists those whose calls get in.
func who(e *authz.Engine, a *traffic.Attrs) string {
	var list []string
	for name, p := range everybody {
		if passes(e, p, a) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

const all = "abroad back front other outside outside6"
