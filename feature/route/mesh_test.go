package route_test

import (
	"math"
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestSharesOnTheMesh: of many calls each backend gets its share, within five standard deviations, which chance leaves once in two
// million times.
func TestSharesOnTheMesh(t *testing.T) {
	m := meshtest.New(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: shop}]
  rules: [{backendRefs: [{name: a, port: 80, weight: 90}, {name: b, port: 80, weight: 9}, {name: c, port: 80, weight: 1}]}]
`)
	m.Run("frontend", "shop", "a", "b", "c")
	const n = 2000
	hits := map[string]int{}
	for range n {
		hits[m.Get("frontend", "http://shop/").App]++
	}
	for who, p := range map[string]float64{"default/a": 0.9, "default/b": 0.09, "default/c": 0.01} {
		if want := n * p; math.Abs(float64(hits[who])-want) > 5*math.Sqrt(want*(1-p)) {
			t.Errorf("%s got %d of %d calls, its share is %g", who, hits[who], n, p)
		}
	}
}
