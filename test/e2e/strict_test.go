package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// A namespace takes mutual TLS alone. Pods of another namespace of the mesh call it by that, under their own identity; a pod without a proxy, which calls in
// the clear, is refused by whichever name or address it comes, and the log of the callee's proxy says by which policy, and why.
func TestStrict(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio")
	shop, desk, outside := c.Namespace("strict-shop", "weft.dev/inject=enabled"), c.Namespace("strict-desk", "weft.dev/inject=enabled"), c.Namespace("strict-outside")
	c.Kubectl("annotate", "namespace", shop, "weft.dev/access-log=text")
	c.Apply(shop, app("callee", "echo", 1)+"---"+strict)
	for _, ns := range []string{desk, outside} {
		c.Apply(ns, app("caller", "caller", 1))
	}
	c.Ready(shop, "deploy/callee")
	c.Ready(desk, "deploy/caller")
	c.Ready(outside, "deploy/caller")

	pod := c.Kubectl("-n", shop, "get", "pods", "-l", "app=callee", "-o", "jsonpath={.items[0].status.podIP}")
	ways := []string{"http://callee." + shop + "/way-0", "http://callee-each." + shop + ":8080/way-1", "http://" + pod + ":8080/way-2"}
	c.Eventually("plaintext is refused", func() error {
		if a := c.Call(outside, "deploy/caller", ways[0]); a.Status != 403 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	for i, url := range ways {
		if a := c.Call(desk, "deploy/caller", url); a.Status != 200 || !strings.Contains(a.Body, "URI=spiffe://cluster.local/ns/"+desk+"/sa/default") {
			t.Errorf("from the mesh to %s: %+v", url, a)
		}
		if a := c.Call(outside, "deploy/caller", url); a.Status != 403 {
			t.Errorf("in the clear to %s: %+v", url, a)
		}
		c.Eventually("the log says why", func() error {
			const why = ", deny because PeerAuthentication strict-shop/strict (istio): unauthenticated"
			log := c.Kubectl("-n", shop, "logs", "deploy/callee", "-c", "weft-proxy")
			for line := range strings.Lines(log) {
				if strings.Contains(line, fmt.Sprintf(" GET /way-%d 403 ", i)) && strings.HasSuffix(line, why+"\n") {
					return nil
				}
			}
			return fmt.Errorf("no call to %s ends with %q:\n%s", url, why, log)
		})
	}
}
