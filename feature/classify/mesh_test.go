package classify_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestOnTheMesh: the first class that matches an answer decides whether it is a failure, and the record names it; what no class
// matches is judged by the mesh's own rule. (Linkerd's API says that it were a success.)
func TestOnTheMesh(t *testing.T) {
	m := meshtest.New(t, `
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: shop.default.svc.cluster.local}
spec:
  routes:
    - name: books
      condition: {method: GET, pathRegex: /books}
      responseClasses:
        - condition: {status: {min: 404, max: 404}}
          isFailure: true
        - condition: {status: {min: 400, max: 503}}
          isFailure: false
`)
	m.Run("frontend", "shop")
	for _, x := range []struct {
		path   string
		status string
		failed bool
		class  string
	}{
		{"/books", "404", true, "routes[0].responseClasses[0]"},
		{"/books", "503", false, "routes[0].responseClasses[1]"},
		{"/books", "504", true, ""},
		{"/books", "200", false, ""},
		{"/films", "404", false, ""},
		{"/films", "503", true, ""},
	} {
		a := m.Get("frontend", "http://shop"+x.path, "answering="+x.status)
		class := ""
		if a.Caller.Class != nil {
			class = a.Caller.Class.Rule
		}
		if a.Caller.Failed != x.failed || class != x.class {
			t.Errorf("%s of %s: failed %v by %q, want %v by %q", x.status, x.path, a.Caller.Failed, class, x.failed, x.class)
		}
	}
}
