package linkerd_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/dialect/linkerd"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const td = "cluster.local"

// kinds are Linkerd's, the Gateway API's, whose routes Servers take, and the core's Service, which is not lowered here.
var kinds = slices.Concat(linkerd.Kinds(td), gatewayapi.Kinds(td), []dialect.Kind{{Name: "Service", Versions: []string{"v1"}}})

// books is the service of the tests' profiles.
const books = "apiVersion: v1\nkind: Service\nmetadata: {name: books, namespace: shop}\n---\n"

// lower reads documents and returns the part of the first one that is not the Service, and all that is said of it.
func lower(t *testing.T, docs ...string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, books+strings.Join(docs, "\n---\n"))
	return dialect.Read(kinds, objects[1], dialecttest.View(objects))
}

// object writes a document of a kind of policy.linkerd.io in the namespace shop.
func object(version, kind, name, spec string) string {
	return "apiVersion: policy.linkerd.io/" + version + "\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: shop}\nspec:\n  " +
		strings.ReplaceAll(strings.Trim(spec, "\n"), "\n", "\n  ")
}

func server(name, spec string) string { return object("v1beta3", "Server", name, spec) }

func policy(name, spec string) string { return object("v1alpha1", "AuthorizationPolicy", name, spec) }

func serverAuthorization(name, spec string) string {
	return object("v1beta1", "ServerAuthorization", name, spec)
}

func meshTLS(name, spec string) string {
	return object("v1alpha1", "MeshTLSAuthentication", name, spec)
}

func networks(name, spec string) string {
	return object("v1alpha1", "NetworkAuthentication", name, spec)
}

func ref(kind, name, rule string) decision.Ref {
	return decision.Ref{Dialect: decision.Linkerd, Kind: kind, Namespace: "shop", Name: name, Rule: rule}
}

// expect compares findings with lines of "LEVEL FIELD: TEXT", in which text is what the finding says somewhere.
func expect(t *testing.T, found []mesh.Finding, want string) {
	t.Helper()
	left := strings.Split(strings.TrimSpace(want), "\n")
	for i := range found {
		f := &found[i]
		said := false
		for j, line := range left {
			head, text, _ := strings.Cut(line, ": ")
			if head == f.Level.String()+" "+f.Field && strings.Contains(f.Text+"; "+f.Remedy, text) {
				left[j], said = "", true
				break
			}
		}
		if !said {
			t.Errorf("not expected: %s %s", f.Level, f)
		}
	}
	for _, line := range left {
		if line != "" {
			t.Errorf("nothing says %q:%s", line, dialecttest.Show(found))
		}
	}
}

// request is a call with a head, "METHOD PATH".
func request(head string) *traffic.Attrs {
	method, path, _ := strings.Cut(head, " ")
	return &traffic.Attrs{Conn: &traffic.Conn{Original: netip.MustParseAddrPort("10.0.0.9:8080")}, Proto: traffic.HTTP1, Method: method, Path: path}
}

// from is a call by "ADDRESS PRINCIPAL"; without a principal it is not authenticated.
func from(who string) *traffic.Attrs {
	a := request("GET /")
	addr, principal, known := strings.Cut(who, " ")
	a.Source.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 40000)
	if known {
		p := strings.Split(principal, "/")
		a.Source.ID, a.Secure = identity.Of(p[0], p[2], p[4]), true
	}
	return a
}
