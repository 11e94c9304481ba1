package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// With the CNI plugin, pods of a namespace that allows no privileges are in the mesh. The plugin is there while weft-node is not, and comes
// back into a network's configuration that somebody writes anew; a pod that started without it does not run, and is made anew; pods that
// are not in the mesh notice nothing of all that; and an uninstall leaves the node as it was.
func TestCNI(t *testing.T) {
	c := cluster.Shared(t)
	on := func(argv ...string) string {
		t.Helper()
		out, err := c.Nodes[0].Command(t.Context(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const conflist = "/etc/cni/net.d/10-weft.conflist"
	was := on("cat", conflist)
	c.Install("--cni", "--crds", "istio")
	weft(t, c, []string{"check"}, "weft-node: available on 1 of 1 nodes", "0 failed")

	shop := c.Namespace("shop", "weft.dev/inject=enabled", "pod-security.kubernetes.io/enforce=restricted")
	outside := c.Namespace("outside")
	c.Apply(shop, confined(app("callee", "echo", 1)+app("caller", "caller", 1))+"---"+strict)
	c.Apply(outside, app("caller", "caller", 1))
	c.Ready(shop, "deploy/callee", "deploy/caller")
	c.Ready(outside, "deploy/caller")
	if names := c.Kubectl("-n", shop, "get", "pods", "-o", "jsonpath={.items[*].spec.initContainers[*].name}"); names != "weft-proxy weft-proxy" {
		t.Errorf("beside their applications pods have %s", names)
	}
	protected := func(when string) {
		t.Helper()
		if a := c.Call(shop, "deploy/caller", "http://callee/"); a.Status != 200 {
			t.Errorf("%s, in the mesh: %+v", when, a)
		}
		c.Eventually(when+", plaintext is refused", func() error {
			if a := c.Call(outside, "deploy/caller", "http://callee.shop/"); a.Status != 403 {
				return fmt.Errorf("%+v", a)
			}
			return nil
		})
	}
	protected("at first")
	restart := func(ns, deployment string) {
		t.Helper()
		c.Kubectl("-n", ns, "rollout", "restart", deployment)
		c.Ready(ns, deployment)
	}

	// Somebody writes the network's configuration anew.
	restore := func() { t.Helper(); on("sh", "-c", "printf %s \"$0\" >"+conflist, was) }
	restore()
	c.Eventually("the plugin is back", func() error {
		if text := on("cat", conflist); !strings.Contains(text, "weft-cni") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})

	// While weft-node is down, pods of the mesh start all the same, and other pods do.
	away := func(selector string) {
		t.Helper()
		c.Kubectl("-n", "weft-system", "patch", "daemonset/weft-node", "--type=merge", "-p", `{"spec":{"template":{"spec":{"nodeSelector":`+selector+`}}}}`)
	}
	away(`{"none": "none"}`)
	c.Eventually("weft-node is away", func() error {
		if names := c.Kubectl("-n", "weft-system", "get", "pods", "-l", "app.kubernetes.io/name=weft-node", "-o", "name"); names != "" {
			return fmt.Errorf("%s", names)
		}
		return nil
	})
	restart(shop, "deploy/callee")
	restart(outside, "deploy/caller")
	protected("without weft-node")

	// If the plugin is not there either, a pod of the mesh does not run, and says why. Nobody else is kept from starting.
	restore()
	restart(outside, "deploy/caller")
	c.Kubectl("-n", shop, "delete", "pods", "-l", "app=callee", "--wait=false")
	c.Eventually("a pod without redirection does not run", func() error {
		said := c.Kubectl("-n", shop, "get", "pods", "-l", "app=callee", "-o", "jsonpath={.items[*].status.initContainerStatuses[*].lastState.terminated.message}")
		if !strings.Contains(said, "nothing redirects what the pod sends and gets") {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	if ready := c.Kubectl("-n", shop, "get", "deploy/callee", "-o", "jsonpath={.status.readyReplicas}"); ready != "" && ready != "0" {
		t.Errorf("%s pods run without redirection", ready)
	}
	away(`{"none": null}`)
	c.Ready("weft-system", "daemonset/weft-node")
	c.Ready(shop, "deploy/callee") // made anew by the control plane
	protected("after all")

	weft(t, c, []string{"uninstall"}, "weft is uninstalled")
	if text := on("cat", conflist); strings.Contains(text, "weft-cni") {
		t.Errorf("the plugin is left in %s", text)
	}
	if names := on("sh", "-c", "ls -A /etc/cni/net.d /opt/cni/bin"); strings.Contains(names, "weft-cni") || strings.Contains(names, "before-weft") {
		t.Errorf("there is still %s", names)
	}
	if left := c.Kubectl("get", "daemonsets,roles,rolebindings,clusterroles,clusterrolebindings,serviceaccounts", "-A", "-o", "name", "-l", "app.kubernetes.io/part-of=weft"); left != "" {
		t.Errorf("there is still %s", left)
	}
	restart(outside, "deploy/caller")
}

// confined has applications fit into the level restricted of Pod security.
func confined(yaml string) string {
	return strings.NewReplacer(
		"      containers:\n", "      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}\n      containers:\n",
		"        image: ", "        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n        image: ").Replace(yaml)
}
