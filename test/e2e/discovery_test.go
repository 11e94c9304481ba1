package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Callers in the mesh find what Kubernetes' discovery says, by mutual TLS: a pod of a StatefulSet by its name, a Service by another name
// (ExternalName), pods that are not ready of a Service that wants them, and of several endpoints those that are meant for the caller's zone.
func TestDiscovery(t *testing.T) {
	c := cluster.Shared(t)
	c.Kubectl("label", "node", "node1", "topology.kubernetes.io/zone=a", "--overwrite")
	t.Cleanup(func() {
		if _, err := c.Cluster.Kubectl(context.Background(), "label", "node", "node1", "topology.kubernetes.io/zone-"); err != nil {
			t.Error(err)
		}
	})
	c.Install("--crds", "istio")
	ns := c.Namespace("e2e-discovery", "weft.dev/inject=enabled")
	c.Apply(ns, app("caller", "caller", 1)+app("callee", "echo", 2)+"---"+named+"---"+strict)
	c.Ready(ns, "deploy/caller", "deploy/callee")
	c.Eventually("the pods of the StatefulSet run", func() error {
		if n := len(strings.Fields(c.Kubectl("-n", ns, "get", "pods", "-l", "app=named", "-o", "jsonpath={.items[*].status.containerStatuses[0].state.running.startedAt}"))); n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	me := "URI=spiffe://cluster.local/ns/" + ns + "/sa/default"
	reaches := func(url string, instances ...string) {
		t.Helper()
		c.Eventually(url+" is answered by "+strings.Join(instances, " and "), func() error {
			got := map[string]bool{}
			for _, a := range c.Calls(ns, "deploy/caller", url, "--count=20", "--timeout=10s") {
				if a.Status != 200 || !strings.Contains(a.Body, me) {
					return fmt.Errorf("%+v", a)
				}
				got[a.Header.Get("X-Bookinfo-Instance")] = true
			}
			for _, i := range instances {
				if !got[i] || len(got) != len(instances) {
					return fmt.Errorf("answers came from %v", got)
				}
			}
			return nil
		})
	}
	pods := strings.Fields(c.Kubectl("-n", ns, "get", "pods", "-l", "app=callee", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {end}"))

	// They are never ready, and their Service has all that there are.
	reaches("http://named-1.named:8080/", "named-1")
	reaches("http://named-0.named."+ns+".svc.cluster.local:8080/", "named-0")
	reaches("http://unready/", "named-0", "named-1")
	// A Service that does not want them has none of them, beside pods that are ready.
	c.Kubectl("-n", ns, "label", "pods", "-l", "app in (callee, named)", "mixed=yes")
	reaches("http://mixed/", pods[0], pods[2])
	// Another name of a Service in the cluster is under that Service's rules.
	reaches("http://alias/", pods[0], pods[2])

	// Of two endpoints, one is meant for this zone; when that is gone the other is called.
	slice := func(zone string) string {
		return strings.NewReplacer("ADDRESS", pods[map[string]int{"a": 1, "b": 3}[zone]], "POD", pods[map[string]int{"a": 0, "b": 2}[zone]], "ZONE", zone).Replace(hinted)
	}
	c.Apply(ns, zoned+slice("a")+slice("b"))
	reaches("http://zoned/", pods[0])
	c.Kubectl("-n", ns, "delete", "endpointslice", "zoned-a")
	reaches("http://zoned/", pods[2])
}

const named = `
apiVersion: v1
kind: Service
metadata: {name: named}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: named}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: unready}
spec:
  publishNotReadyAddresses: true
  selector: {app: named}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: mixed}
spec:
  selector: {mixed: "yes"}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: callee.e2e-discovery.svc.cluster.local}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: named}
spec:
  serviceName: named
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: named}}
  template:
    metadata: {labels: {app: named}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: named
        image: ` + cluster.Samples + `
        args: [echo, -port, "8080"]
        readinessProbe: {httpGet: {path: /status/503, port: 8080}, periodSeconds: 1}
`

const zoned = `
apiVersion: v1
kind: Service
metadata: {name: zoned}
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
`

const hinted = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: zoned-ZONE, labels: {kubernetes.io/service-name: zoned}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [ADDRESS], targetRef: {kind: Pod, name: POD}, hints: {forZones: [{name: ZONE}]}}]
`

// Pods whose application ends at SIGTERM, with calls under way, are replaced without loss if it is asked to wait first.
func TestRolloutOfAbruptApplication(t *testing.T) {
	c := cluster.Shared(t)
	c.Install()
	ns := c.Namespace("e2e-abrupt", "weft.dev/inject=enabled")
	abrupt := strings.NewReplacer("metadata: {labels: {app: callee}}", `metadata: {labels: {app: callee}, annotations: {weft.dev/pre-stop-sleep: 4s}}`,
		`"8080"]`, `"8080", -grace, 1ms]`).Replace(app("callee", "echo", 2))
	c.Apply(ns, abrupt+app("load", "caller", 1))
	c.Ready(ns, "deploy/callee", "deploy/load")
	var loads []*cluster.Load
	for range 6 { // of calls that take long, and that nobody makes again once the callee may have begun with them
		loads = append(loads, c.Load(ns, "deploy/load", "http://callee/delay?ms=1500", "--method=POST"))
	}
	c.Kubectl("-n", ns, "rollout", "restart", "deploy/callee")
	c.Ready(ns, "deploy/callee")
	settled(c, ns)
	answers, lost := 0, 0
	for _, l := range loads {
		for _, a := range l.End() {
			if answers++; a.Status != 200 {
				t.Logf("%+v", a)
				lost++
			}
		}
	}
	if lost > 0 || answers < 12 {
		t.Errorf("%d of %d calls were lost", lost, answers)
	}
}
