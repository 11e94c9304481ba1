package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// A node of two is gone from one moment to the next, as if somebody had pulled its cable: nobody says goodbye, and no packet is answered.
// Calls that were under way there are lost, those that come after go elsewhere; once Kubernetes has noticed, its pods are endpoints no more.
func TestNodeDown(t *testing.T) {
	c := cluster.Fresh(t, cluster.Options{Nodes: 2})
	c.Install()
	ns := c.Namespace("e2e-node", "weft.dev/inject=enabled")
	c.Apply(ns, app("callee", "echo", 4)+app("caller", "caller", 2))
	c.Ready(ns, "deploy/callee", "deploy/caller")
	// The control plane's node stays, and a caller's on it.
	where := func(ns, app string) string {
		return c.Kubectl("-n", ns, "get", "pods", "-l", app, "-o", `jsonpath={range .items[*]}{.metadata.name}={.spec.nodeName} {end}`)
	}
	_, stays, _ := strings.Cut(strings.TrimSpace(where("weft-system", "app.kubernetes.io/name=weft-control")), "=")
	goes := slices.IndexFunc(c.Nodes, func(n cluster.Node) bool { return n.Name != stays })
	var caller string
	for pod := range strings.FieldsSeq(where(ns, "app=caller")) {
		if name, node, _ := strings.Cut(pod, "="); node == stays {
			caller = name
		}
	}
	if caller == "" {
		t.Fatalf("no caller on %s: %s", stays, where(ns, "app=caller"))
	}
	url := "http://" + c.Kubectl("-n", ns, "get", "service/callee", "-o", "jsonpath={.spec.clusterIP}") + "/delay?ms=20" // names may be answered on the node that goes
	var loads []*cluster.Load
	for range 4 {
		loads = append(loads, c.Load(ns, caller, url), c.Load(ns, caller, url, "--new-connection-per-request=false"))
	}
	time.Sleep(2 * time.Second) // calls go to both nodes
	down := time.Now()
	c.Unplug(goes)
	c.Kubectl("wait", "--for=condition=Ready=Unknown", "node/"+c.Nodes[goes].Name, "--timeout=60s")
	noticed := time.Now()
	c.Eventually("its pods are endpoints no more", func() error {
		return nil
	})
	time.Sleep(3 * time.Second)

	lost, slow, all, last := 0, 0, 0, time.Duration(0)
	for _, l := range loads {
		for _, a := range l.End() {
			all++
			gone := a.Header.Get("X-Bookinfo-Version") == c.Nodes[goes].Name
			switch {
			case a.Status != 200:
				lost++
				last = max(last, a.At.Sub(down))
				t.Logf("lost %v after: took %v: %d %s %s", a.At.Sub(down), a.Took, a.Status, a.Error, a.Body)
			case gone && a.At.After(down):
				t.Errorf("%s answered %v after it was gone", c.Nodes[goes].Name, a.At.Sub(down))
			case a.Took > time.Second:
				slow++
				t.Logf("slow %v after: took %v", a.At.Sub(down), a.Took)
			}
		}
	}
	t.Logf("noticed after %v; of %d calls %d were lost, the last begun %v after, and %d took longer than 1 s", noticed.Sub(down), all, lost, last, slow)
}
