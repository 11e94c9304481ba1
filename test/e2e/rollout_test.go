package e2e

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// While calls go on, at a Gateway and in the mesh, everything on their way is replaced in turn: what is called, what calls, the control plane,
// the Gateway's proxy. No call is lost.
func TestRollouts(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--ha", "--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns, outside := c.Namespace("e2e-rollout", "weft.dev/inject=enabled"), c.Namespace("e2e-rollout-outside")
	c.Apply(ns, app("callee", "echo", 2)+app("middle", "caller", 2)+app("load", "caller", 1)+"---"+strict+"---"+rolloutGateway)
	c.Apply(outside, app("load", "caller", 1))
	c.Ready(ns, "deploy/callee", "deploy/middle", "deploy/load")
	c.Ready(outside, "deploy/load")
	c.Kubectl("wait", "-n", ns, "--for=condition=Programmed", "gateway/edge", "--timeout=90s")
	edge := "http://" + c.Kubectl("get", "-n", ns, "gateway", "edge", "-o", "jsonpath={.status.addresses[0].value}")
	c.Kubectl("-n", ns, "scale", "deploy/edge-weft", "--replicas=2")
	c.Ready(ns, "deploy/edge-weft")

	replaced := func(what, namespace, deployment string, loads func(*cluster.Test) []*cluster.Load) {
		t.Run(what, func(t *testing.T) {
			c := c.In(t)
			all := loads(c)
			c.Kubectl("-n", namespace, "rollout", "restart", deployment)
			c.Ready(namespace, deployment)
			settled(c, namespace)
			for _, l := range all {
				l.Lossless()
			}
		})
	}
	// Each call has a connection of its own, or all have one; the middle makes a call for each that it gets.
	mesh := func(c *cluster.Test) []*cluster.Load {
		return []*cluster.Load{
			c.Load(ns, "deploy/load", "http://callee/delay?ms=20"),
			c.Load(ns, "deploy/load", "http://callee/delay?ms=20", "--new-connection-per-request=false"),
			c.Load(ns, "deploy/load", "http://middle/http?url=http://callee/delay?ms=20"),
		}
	}
	replaced("callee", ns, "deploy/callee", mesh)
	replaced("caller", ns, "deploy/middle", mesh)
	replaced("control plane", "weft-system", "deploy/weft-control", mesh)
	replaced("gateway", ns, "deploy/edge-weft", func(c *cluster.Test) []*cluster.Load {
		return []*cluster.Load{
			c.Load(outside, "deploy/load", edge+"/delay?ms=20"),
			c.Load(outside, "deploy/load", edge+"/delay?ms=20", "--new-connection-per-request=false"),
		}
	})
	if restarts := c.Kubectl("-n", ns, "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(restarts, "0 ") != "" {
		t.Errorf("containers were restarted: %s", restarts)
	}
}

const rolloutGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weft
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: callee}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: callee, port: 80}]}]
`
