package meshtest_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestPlaces: what a service leads to may stand where nobody started it for the mesh, and be named by a WorkloadEntry or an
// EndpointSlice. Without an identity it is called in the clear.
func TestPlaces(t *testing.T) {
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "old") }))
	defer old.Close()
	_, port, err := net.SplitHostPort(old.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]string{
		"WorkloadEntry": `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: old}
spec: {address: 127.0.0.1, labels: {app: old}}`,
		"EndpointSlice": `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: old-1, labels: {kubernetes.io/service-name: old}}
addressType: IPv4
ports: [{name: http, port: ` + port + `}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]`,
	} {
		t.Run(kind, func(t *testing.T) {
			selector := "selector: {app: old}, "
			if kind == "EndpointSlice" { // it is given, in place of a selector's
				selector = ""
			}
			m := meshtest.New(t, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: old}\nspec: {%sports: [{name: http, port: 80, targetPort: %s}]}\n", selector, port))
			m.Run("frontend")
			if a := m.Get("frontend", "http://old/"); a.Status != 503 {
				t.Errorf("without a place: %+v", a)
			}
			m.Apply(object)
			if a := m.Get("frontend", "http://old/"); a.Status != 200 || a.Caller.Secure || a.Caller.Service != "old.default.svc.cluster.local" {
				t.Errorf("%d, secure %v, %s, %v", a.Status, a.Caller.Secure, a.Caller.Service, a.Caller.Err)
			}
			m.Delete(object)
			if a := m.Get("frontend", "http://old/"); a.Status != 503 {
				t.Errorf("when it is gone: %+v", a)
			}
		})
	}
}
