package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// The API server does not reach the webhook. With failurePolicy Fail no pod that asks for the mesh is made; with Ignore it starts without
// its proxy. weft check says so, and what to do, and with that all is well again.
func TestWebhookDown(t *testing.T) {
	c := cluster.Shared(t)
	c.Install()
	ns, outside := c.Namespace("e2e-webhook", "weft.dev/inject=enabled"), c.Namespace("e2e-webhook-outside")
	c.Apply(ns, app("callee", "echo", 1)+app("caller", "caller", 1))
	c.Ready(ns, "deploy/callee", "deploy/caller")
	unreachable := func() {
		c.Kubectl("patch", "mutatingwebhookconfiguration", "weft-inject", "--type=json", "-p",
			`[{"op":"replace","path":"/webhooks/0/clientConfig/service/port","value":444},{"op":"replace","path":"/webhooks/1/clientConfig/service/port","value":444}]`)
	}
	names := func(app string) string {
		return c.Kubectl("-n", ns, "get", "pods", "-l", "app="+app, "-o", "jsonpath={.items[*].spec.initContainers[*].name}")
	}

	unreachable()
	load := c.Load(ns, "deploy/caller", "http://callee/")
	c.Apply(ns, app("late", "echo", 1))
	c.Apply(outside, app("late", "echo", 1))
	c.Ready(outside, "deploy/late") // who does not ask for the mesh has nothing to do with it
	c.Eventually("a new pod is refused", func() error {
		said := c.Kubectl("-n", ns, "get", "events", "--field-selector", "reason=FailedCreate", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(said, "inject.weft.dev") {
			return fmt.Errorf("events say %q", said)
		}
		return nil
	})
	says(t, c, "a pod that asks for the mesh gets its proxy", "the API server has to reach port 443 of Service weft-system/weft-control")
	weft(t, c, []string{"upgrade"})
	c.Kubectl("-n", ns, "rollout", "restart", "deploy/late") // a ReplicaSet waits longer with each refusal
	c.Ready(ns, "deploy/late")
	if got := names("late"); !strings.Contains(got, "weft-proxy") {
		t.Errorf("after weft upgrade, new pods have %q", got)
	}
	weft(t, c, []string{"check"}, "0 failed")

	weft(t, c, []string{"upgrade", "--set", "inject.failurePolicy=Ignore"})
	unreachable()
	c.Apply(ns, app("later", "echo", 1))
	c.Ready(ns, "deploy/later")
	if got := names("later"); got != "" {
		t.Errorf("it was to start without the mesh, and has %s", got)
	}
	says(t, c, "a pod that asks for the mesh gets its proxy", "not "+ns+"/later-", "restart them")
	weft(t, c, []string{"upgrade"})
	c.Kubectl("-n", ns, "rollout", "restart", "deploy/later")
	c.Ready(ns, "deploy/later")
	settled(c, ns)
	if got := names("later"); !strings.Contains(got, "weft-proxy") {
		t.Errorf("after a restart it has %q", got)
	}
	load.Lossless()
	weft(t, c, []string{"check"}, "0 failed", "every pod that is to have one has one")
}
