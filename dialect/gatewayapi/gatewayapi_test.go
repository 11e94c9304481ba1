package gatewayapi_test

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// shop is what the routes of the tests speak of.
const shop = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: more, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: v1, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: stock}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {type: ExternalName, externalName: example.com, ports: [{port: 80}]}
---
`

const (
	reviews = "reviews.shop.svc.cluster.local"
	v1Host  = "v1.shop.svc.cluster.local"
	v2Host  = "v2.shop.svc.cluster.local"
	ratings = "ratings.stock.svc.cluster.local"
)

// lower reads shop and the documents, and returns the last one's part.
func lower(t *testing.T, docs string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, shop+docs)
	return dialect.Read(kinds, objects[len(objects)-1], dialecttest.View(objects))
}

func object(kind, spec string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: it, namespace: shop}\nspec:\n  " +
		strings.ReplaceAll(strings.Trim(spec, "\n"), "\n", "\n  ") + "\n"
}

// rulesOf lowers rules of an HTTPRoute of reviews.
func rulesOf(t *testing.T, rules string) ([]mesh.Rule, []mesh.Finding) {
	t.Helper()
	part, found := lower(t, object("HTTPRoute", "parentRefs: [{group: \"\", kind: Service, name: reviews}]\nrules:\n"+rules))
	if len(part.Routes) == 0 {
		return nil, found
	}
	return part.Routes[0].Rules, found
}

func ref(rule string) decision.Ref {
	return decision.Ref{Dialect: decision.GatewayAPI, Kind: "HTTPRoute", Namespace: "shop", Name: "it", Rule: rule}
}
