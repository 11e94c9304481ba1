package istio_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/identity"
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
		t.Fatalf("%d routes, wanted 1: %s", len(part.Routes), show(found))
	}
	return part.Routes[0].Rules
}

// ref is a rule of the object that object writes.
func ref(kind, rule string) decision.Ref {
	return decision.Ref{Dialect: decision.Istio, Kind: kind, Namespace: "default", Name: "it", Rule: rule}
}

func show(found []mesh.Finding) string {
	var b strings.Builder
	for i := range found {
		b.WriteString("\n" + found[i].Level.String() + " " + found[i].String())
	}
	return b.String()
}

// wantFinding fails unless there is a finding of a level, at a field, that says something.
func wantFinding(t *testing.T, found []mesh.Finding, level mesh.Level, field, says string) {
	t.Helper()
	for i := range found {
		if f := &found[i]; f.Level == level && f.Field == field && strings.Contains(f.Text+"; "+f.Remedy, says) {
			return
		}
	}
	t.Errorf("no %s at %s says %q:%s", level, field, says, show(found))
}

// wantNone fails where something was found.
func wantNone(t *testing.T, found []mesh.Finding) {
	t.Helper()
	if len(found) > 0 {
		t.Errorf("nothing was to be found:%s", show(found))
	}
}

// unexported fields are what policies make of themselves when they are readied.
func unexported(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && strings.ToUpper(f.Name()[:1]) != f.Name()[:1]
}

func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.FilterPath(unexported, cmp.Ignore()), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b identity.ID) bool { return a == b }))
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
