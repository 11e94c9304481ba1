package istio_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// shop is what the objects of the tests call.
const shop = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {ports: [{port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {ports: [{port: 9080}, {port: 9081}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]
---
`

const reviews = "reviews.default.svc.cluster.local"

// lower reads shop and one document more, and returns that one's part.
func lower(t *testing.T, doc string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, shop+doc)
	return dialect.Read(kinds, objects[len(objects)-1], dialecttest.View(objects))
}

// object writes a document of a kind; a spec of one line or more.
func object(group, kind, spec string) string {
	return "apiVersion: " + group + "/v1\nkind: " + kind + "\nmetadata: {name: it, namespace: default}\nspec:\n" + indent(spec)
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.Trim(s, "\n"), "\n", "\n  ") + "\n"
}

func virtualService(spec string) string {
	return object("networking.istio.io", "VirtualService", spec)
}

// http writes a VirtualService of reviews with a list of rules.
func http(rules string) string { return virtualService("hosts: [reviews]\nhttp:\n" + rules) }

// rulesOf lowers http's rules.
func rulesOf(t *testing.T, rules string) []mesh.Rule {
	t.Helper()
	part, found := lower(t, http(rules))
	if len(part.Routes) != 1 {
		t.Fatalf("%d routes, wanted 1: %s", len(part.Routes), dialecttest.Show(found))
	}
	return part.Routes[0].Rules
}

// ref is a rule of the object that object writes.
func ref(kind, rule string) decision.Ref {
	return decision.Ref{Dialect: decision.Istio, Kind: kind, Namespace: "default", Name: "it", Rule: rule}
}

// request is a call with a head, "METHOD PATH", and headers in pairs.
func request(head string, headers ...string) *traffic.Attrs {
	method, path, _ := strings.Cut(head, " ")
	path, query, _ := strings.Cut(path, "?")
	a := &traffic.Attrs{Conn: &traffic.Conn{Original: netip.MustParseAddrPort("10.0.0.9:9080")}, Proto: traffic.HTTP1,
		Method: method, Path: path, Query: query, Scheme: "http", Authority: "reviews:9080"}
	for i := 0; i < len(headers); i += 2 {
		a.Header.Receive(headers[i], headers[i+1])
	}
	return a
}
