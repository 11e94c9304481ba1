package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// The control plane is gone. Pods go on with what they know, and weft check says what is the matter; a pod that asks for the mesh is not
// made, one that has its proxy already (by weft inject) waits. When the control plane is back, what waited starts, and what was changed
// meanwhile takes effect.
func TestControlDown(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio")
	ns := c.Namespace("e2e-down", "weft.dev/inject=enabled")
	c.Apply(ns, app("callee", "echo", 2)+app("caller", "caller", 1)+app("other", "caller", 1))
	c.Ready(ns, "deploy/callee", "deploy/caller", "deploy/other")
	if a := c.Call(ns, "deploy/other", "http://callee/"); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	load := c.Load(ns, "deploy/caller", "http://callee/")
	kept := c.Load(ns, "deploy/caller", "http://callee/", "--new-connection-per-request=false")

	c.Kubectl("-n", "weft-system", "scale", "deploy/weft-control", "--replicas=0")
	settled(c, "weft-system")
	says(t, c, "weft-control: 0 of 0 replicas are available: pods go on with what they know", "scale deployment/weft-control --replicas=1",
		"a pod that asks for the mesh gets its proxy", "none of its replicas is available")
	c.Apply(ns, forbidden)
	for _, what := range []string{"deploy/caller", "deploy/other"} { // a proxy that has not called before asks the control plane: it knows this Service
		if a := c.Call(ns, what, "http://callee/forbidden"); a.Status != 200 {
			t.Errorf("from %s while the control plane is gone: %+v", what, a)
		}
	}

	// The webhook's policy is Fail: the API server refuses, and says so where one looks for it.
	c.Kubectl("-n", ns, "scale", "deploy/callee", "--replicas=3")
	c.Eventually("a new pod is refused", func() error {
		said := c.Kubectl("-n", ns, "get", "events", "--field-selector", "reason=FailedCreate", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(said, "inject.weft.dev") {
			return fmt.Errorf("events say %q", said)
		}
		return nil
	})
	// One that has its proxy waits for it, before its application starts.
	byHand := c.Namespace("e2e-down-by-hand")
	c.Apply(byHand, injected(t, c, app("callee", "echo", 1)))
	c.Eventually("the pod is there", func() error {
		if phase := c.Kubectl("-n", byHand, "get", "pods", "-o", "jsonpath={.items[*].status.phase}"); phase != "Pending" {
			return fmt.Errorf("its phase is %q", phase)
		}
		return nil
	})

	if phase := c.Kubectl("-n", byHand, "get", "pods", "-o", "jsonpath={.items[*].status.phase}"); phase != "Pending" {
		t.Errorf("a pod whose proxy has nobody to ask is %s", phase)
	}
	c.Kubectl("-n", "weft-system", "scale", "deploy/weft-control", "--replicas=1")
	c.Ready("weft-system", "deploy/weft-control")
	c.Ready(byHand, "deploy/callee")
	c.Eventually("what was changed takes effect", func() error {
		if a := c.Call(ns, "deploy/other", "http://callee/forbidden"); a.Status != 403 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	c.Ready(ns, "deploy/callee") // a ReplicaSet waits longer with each refusal
	load.Lossless()
	kept.Lossless()
	weft(t, c, []string{"check"}, "0 failed")
}

// says is what weft check says of a cluster where something is wrong.
func says(t *testing.T, c *cluster.Test, words ...string) {
	t.Helper()
	out, err := c.Run("check")
	if err == nil {
		t.Errorf("weft check finds nothing wrong:\n%s", out)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("weft check does not say %q:\n%v", w, err)
		}
	}
}

// injected is a manifest with the proxy, as weft inject gives it.
func injected(t *testing.T, c *cluster.Test, manifest string) string {
	t.Helper()
	out, err := c.RunWith(manifest, "inject", "--quiet", "-")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const forbidden = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: forbidden}
spec:
  action: DENY
  selector: {matchLabels: {app: callee}}
  rules: [{to: [{operation: {paths: [/forbidden]}}]}]
`
