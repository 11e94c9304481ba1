package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// A pod with a proxy is called by mutual TLS however it is called, and one without in the clear; that one is known by its labels when it
// calls; probes are answered under strict mutual TLS, Jobs end, and a rolling restart under load loses no call.
func TestSidecar(t *testing.T) {
	c := cluster.Shared(t)
	c.Install()
	c.Apply("default", peerAuthentications)
	shop, outside := c.Namespace("shop", "weft.dev/inject=enabled"), c.Namespace("outside")
	c.Apply(shop, app("echo", "echo", 2)+app("caller", "caller", 1)+"---"+job)
	c.Apply(outside, app("echo", "echo", 2)+app("caller", "caller", 1))
	for _, ns := range []string{shop, outside} {
		c.Ready(ns, "deploy/echo", "deploy/caller")
	}
	pod := func(ns string) string {
		return strings.Fields(c.Kubectl("-n", ns, "get", "pods", "-l", "app=echo", "-o", "jsonpath={.items[*].status.podIP}"))[0]
	}
	ways := func(to string) []string {
		return []string{"http://echo." + to + "/", "http://echo-each." + to + ":8080/", "http://" + pod(to) + ":8080/"}
	}
	called := func(from, url string, status int, principal string) {
		t.Helper()
		a := c.Call(from, "deploy/caller", url)
		if has := strings.Contains(a.Body, "URI=spiffe://"); a.Status != status || has != (principal != "") || !strings.Contains(a.Body, principal) {
			t.Errorf("from %s to %s: %+v, want %d and the caller %q", from, url, a, status, principal)
		}
	}
	me := "URI=spiffe://cluster.local/ns/" + shop + "/sa/default"
	for _, url := range ways(shop) {
		called(shop, url, 200, me)
	}
	for _, url := range ways(outside) {
		called(shop, url, 200, "")
	}
	for _, url := range ways(shop) {
		called(outside, url, 200, "")
	}
	c.Kubectl("-n", shop, "wait", "--for=condition=complete", "job/once", "--timeout=60s")

	// Selectors of a NetworkPolicy mean pods without a proxy too, by the labels that they have at the moment.
	c.Apply(shop, scraped)
	for _, x := range []struct {
		label  string
		status int
	}{{"scrapes=no", 403}, {"scrapes=yes", 200}, {"scrapes-", 403}} {
		c.Kubectl("-n", outside, "label", "--overwrite", "pods", "-l", "app=caller", x.label)
		c.Eventually("a pod without a proxy is known by "+x.label, func() error {
			if a := c.Call(outside, "deploy/caller", "http://echo."+shop+"/"); a.Status != x.status {
				return fmt.Errorf("%+v", a)
			}
			return nil
		})
	}
	called(shop, "http://echo/", 200, me)
	c.Kubectl("-n", shop, "delete", "networkpolicy", "scraped")

	c.Apply(shop, strict)
	c.Eventually("plaintext is refused", func() error {
		if a := c.Call(outside, "deploy/caller", "http://echo."+shop+"/"); a.Status != 403 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	for _, url := range ways(shop) {
		called(outside, url, 403, "")
	}
	for _, url := range ways(shop) {
		called(shop, url, 200, me)
	}

	// The kubelet's probes pass all the while, and pods that are replaced take no call with them.
	calls := make(chan []cluster.Answer)
	go func() {
		calls <- c.Calls(shop, "deploy/caller", "http://echo/delay?ms=20", "--count=500", "--timeout=10s")
	}()
	c.Kubectl("-n", shop, "rollout", "restart", "deploy/echo")
	c.Ready(shop, "deploy/echo")
	lost, instances := 0, map[string]bool{}
	for _, a := range <-calls {
		if a.Status != 200 {
			lost++
			t.Logf("%+v", a)
		}
		instances[a.Header.Get("X-Bookinfo-Instance")] = true
	}
	if lost > 0 || len(instances) < 3 {
		t.Errorf("%d of 500 calls were lost, answers came from %v", lost, instances)
	}
	if restarts := c.Kubectl("-n", shop, "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(restarts, "0 ") != "" {
		t.Errorf("containers were restarted: %s", restarts)
	}
	c.Kubectl("delete", "crd", "peerauthentications.security.istio.io", "--wait=false")
}

// scraped lets in callers of its own namespace, and pods of any that have a label.
const scraped = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: scraped}
spec:
  podSelector: {matchLabels: {app: echo}}
  ingress: [{from: [{podSelector: {matchLabels: {app: caller}}}, {namespaceSelector: {}, podSelector: {matchLabels: {scrapes: "yes"}}}]}]
`

// peerAuthentications is the least of Istio's kind that a cluster needs to know to take such objects.
const peerAuthentications = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: peerauthentications.security.istio.io}
spec:
  group: security.istio.io
  names: {kind: PeerAuthentication, plural: peerauthentications, singular: peerauthentication}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// job ends, although its proxy would go on.
const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    metadata: {labels: {app: once}}
    spec:
      restartPolicy: Never
      containers:
      - {name: once, image: ` + cluster.Samples + `, command: [/client], args: ["http://echo/"]}
`
