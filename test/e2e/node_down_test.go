package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// A node of two is gone from one moment to the next, as if somebody had pulled its cable: nobody says goodbye, and no packet is answered.
// Calls that wait for it are noticed to wait in vain after some 8 s, and made again elsewhere, as GET may be; so is what could not connect
// within 4 s. With two pods there that makes up to four calls of each caller that take so long. Once Kubernetes has noticed too, nobody calls
// there any more. A POST that was under way at one of the two pods is lost: nobody knows whether it was done.
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
	each := [][]string{{}, {"--new-connection-per-request=false"}, {"--method=POST"}, {"--method=POST", "--new-connection-per-request=false"}}
	var loads []*cluster.Load
	for _, args := range append(each, each...) {
		loads = append(loads, c.Load(ns, caller, url, append([]string{"--timeout=30s"}, args...)...))
	}
	time.Sleep(2 * time.Second) // calls go to both nodes
	down := time.Now()
	c.Unplug(goes)
	c.Kubectl("wait", "--for=condition=Ready=Unknown", "node/"+c.Nodes[goes].Name, "--timeout=60s")
	c.Eventually("its pods are endpoints no more", func() error {
		ready := c.Kubectl("-n", ns, "get", "endpointslices", "-l", "kubernetes.io/service-name=callee", "-o",
			`jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.nodeName} {end}`)
		if strings.Contains(ready, c.Nodes[goes].Name) {
			return fmt.Errorf("endpoints are on %s", ready)
		}
		return nil
	})
	noticed := time.Now()
	time.Sleep(10 * time.Second) // what is under way ends

	for i, l := range loads {
		lost, slow, longest, all := 0, 0, time.Duration(0), l.End()
		for _, a := range all {
			since := a.At.Sub(down).Round(time.Millisecond)
			if a.Status != 200 {
				lost++
				t.Logf("lost, begun %v after the node was gone, took %v: %d %s %s", since, a.Took, a.Status, a.Error, a.Body)
			}
			if a.Took > 3*time.Second {
				slow++
				longest = max(longest, a.Took)
			}
			if a.At.After(noticed.Add(2*time.Second)) && (a.Status != 200 || a.Took > 3*time.Second) {
				t.Errorf("a call %v after the node was gone, which everybody had noticed by then: %+v", since, a)
			}
		}
		t.Logf("%v: of %d calls %d were lost, %d took longer than 3 s, the longest %v", each[i%len(each)], len(all), lost, slow, longest)
		if post := i%len(each) >= 2; lost > 0 && !post || lost > 2 || slow > 4 || longest > 15*time.Second {
			t.Errorf("%v: of %d calls %d were lost, %d took longer than 3 s, the longest %v", each[i%len(each)], len(all), lost, slow, longest)
		}
	}
	t.Logf("Kubernetes noticed after %v", noticed.Sub(down))
	if !t.Failed() {
		c.Stop() // rather than wait for pods that nobody ends
	}
}
