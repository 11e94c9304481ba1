package e2e

import (
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Somebody who has no mesh follows the page that says how to install weft, from the first look to the end.
func TestKubernetesPage(t *testing.T) {
	c := cluster.Shared(t)
	c.Uninstall()
	shop := c.Namespace("shop")
	c.Apply(shop, app("web", "echo", 1))
	c.Ready(shop, "deploy/web")
	follow(t, c, "docs/kubernetes.md")
}

// He applies the Gateway that its page begins with.
func TestGatewaysPage(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api", "--set", "gateways.service=ClusterIP")
	c.Finally("delete", "--ignore-not-found", "httproute/shop", "gateway/edge")
	follow(t, c, "docs/gateways.md")
}
