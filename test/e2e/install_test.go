package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Somebody tries weft: looks whether it can be installed, installs it, puts a namespace into the mesh, has it require mutual TLS, and takes
// weft away again. Then nothing of it is left, and pods start without it.
func TestInstall(t *testing.T) {
	c := cluster.Shared(t)
	weft(t, c, []string{"check"}, "before installing", "weft is not installed yet", "0 failed")
	c.Install("--crds", "gateway-api,istio")
	weft(t, c, []string{"check"}, "weft-control: 1 of 1 replicas are available", "a pod that asks for the mesh gets its proxy", "0 failed")

	shop, outside := c.Namespace("shop", "weft.dev/inject=enabled"), c.Namespace("outside")
	c.Apply(shop, app("callee", "echo", 1)+app("caller", "caller", 1)+"---"+strict)
	c.Apply(outside, app("caller", "caller", 1))
	c.Ready(shop, "deploy/callee", "deploy/caller")
	c.Ready(outside, "deploy/caller")

	// Inside of the mesh calls pass; plaintext from outside is refused.
	if a := c.Call(shop, "deploy/caller", "http://callee/"); a.Status != 200 {
		t.Errorf("in the mesh: %+v", a)
	}
	c.Eventually("plaintext is refused", func() error {
		if a := c.Call(outside, "deploy/caller", "http://callee.shop/"); a.Status == 200 {
			return fmt.Errorf("it passes: %+v", a)
		}
		return nil
	})
	if a := c.Call(shop, "deploy/caller", "http://callee/"); a.Status != 200 {
		t.Errorf("in the mesh, with mutual TLS: %+v", a)
	}
	weft(t, c, []string{"check"}, "they are ready", "they are of this version", "0 failed")

	// An upgrade keeps what was set before, and what the leader wrote into the same objects; what is not needed any more goes.
	weft(t, c, []string{"upgrade", "--ha", "--set", "inject.drain=7s"})
	c.Kubectl("-n", "weft-system", "get", "poddisruptionbudget/weft-control")
	weft(t, c, []string{"check"}, "weft-control: 2 of 2 replicas are available", "0 failed")
	weft(t, c, []string{"upgrade", "--set", "control.ha=false"})
	if left := c.Kubectl("-n", "weft-system", "get", "poddisruptionbudgets", "-o", "name"); left != "" {
		t.Errorf("there is still %s", left)
	}
	if text := c.Kubectl("-n", "weft-system", "get", "configmap/weft-inject", "-o", "yaml"); !strings.Contains(text, "drain: 7s") {
		t.Errorf("what was set before is forgotten: %s", text)
	}
	weft(t, c, []string{"check"}, "weft-control: 1 of 1 replicas are available", "0 failed")
	if a := c.Call(shop, "deploy/caller", "http://callee/"); a.Status != 200 {
		t.Errorf("after upgrades: %+v", a)
	}

	// Nothing is left.
	weft(t, c, []string{"uninstall"}, "shop/callee-", "shop/caller-", "weft is uninstalled")
	for _, kinds := range []string{"all,configmaps,secrets,leases,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets",
		"clusterroles,clusterrolebindings,mutatingwebhookconfigurations,gatewayclasses"} {
		if left := c.Kubectl("get", kinds, "-A", "-o", "name", "-l", "app.kubernetes.io/part-of=weft"); left != "" {
			t.Errorf("there is still %s", left)
		}
	}
	c.Kubectl("wait", "--for=delete", "namespace/weft-system", "--timeout=60s")
	if left := c.Kubectl("get", "configmaps", "-A", "-o", "name", "--field-selector", "metadata.name=weft-root"); left != "" {
		t.Errorf("there is still %s", left)
	}
	c.Kubectl("-n", shop, "rollout", "restart", "deploy/callee")
	c.Ready(shop, "deploy/callee")
	c.Eventually("new pods have no proxy", func() error {
		names := c.Kubectl("-n", shop, "get", "pods", "-l", "app=callee", "-o", "jsonpath={.items[*].spec.initContainers[*].name}")
		if strings.Contains(names, "weft-proxy") {
			return fmt.Errorf("they have %s", names)
		}
		return nil
	})
	weft(t, c, []string{"check"}, "weft is not installed yet")
	c.Kubectl("delete", "customresourcedefinitions", "-l", "app.kubernetes.io/part-of=weft") // which weft leaves to its user
}
