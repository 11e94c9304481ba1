package breaker_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestOnTheMesh: what is over the limit of a DestinationRule's connectionPool gets 503 at once, because of it; what is in flight
// does not notice, and its end makes room.
func TestOnTheMesh(t *testing.T) {
	m := meshtest.New(t, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db}
spec: {host: db, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}
`)
	m.Run("frontend", "other", "shop", "db ports=5432 protocol=tcp")
	const call = "from frontend GET http://shop/"
	one, two := m.Hold(call), m.Hold(call)
	if x := m.Call(call); x.Status != 503 || x.By.Ref.String() != "DestinationRule default/shop trafficPolicy.connectionPool (istio)" {
		t.Errorf("over the limit: %d because %v", x.Status, x.By)
	}
	if x := m.Call("from other GET http://shop/"); x.Status != 200 {
		t.Errorf("the limit of one caller's proxy is not another's: %d because %v", x.Status, x.By)
	}
	if x := one.Release(); x.Status != 200 {
		t.Errorf("%+v", x)
	}
	if x := m.Call(call); x.Status != 200 {
		t.Errorf("there is room again: %d because %v", x.Status, x.By)
	}
	two.Release()

	open := m.Hold("from frontend TCP db:5432")
	if x := m.Call("from frontend TCP db:5432"); x.App != "" {
		t.Errorf("a second connection passes: %+v", x)
	}
	open.Release()
}
