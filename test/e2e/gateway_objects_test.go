package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Who may write a Gateway cannot have weft take what is somebody else's: where its Deployment's name is taken, nothing is made, and the
// Gateway says why. Once the name is free it serves, and it gets the proxies that it asks for, and an autoscaler for more.
func TestGatewayObjects(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns := c.Namespace("e2e-gateway-objects")
	c.Apply(ns, app("edge-weft", "echo", 1))
	was := c.Kubectl("get", "-n", ns, "deploy", "edge-weft", "-o", "jsonpath={.spec}")
	c.Apply(ns, gatewayOf(""))
	said := func() string {
		return c.Kubectl("get", "-n", ns, "gateway", "edge", "-o", `jsonpath={.status.conditions[?(@.type=="Programmed")].message}`)
	}
	c.Eventually("it says whose name it has", func() error {
		if got := said(); !strings.Contains(got, "Deployment "+ns+"/edge-weft") {
			return fmt.Errorf("Programmed: %q", got)
		}
		return nil
	})
	if now := c.Kubectl("get", "-n", ns, "deploy", "edge-weft", "-o", "jsonpath={.spec}"); now != was {
		t.Errorf("the Deployment was changed: %s", now)
	}
	if made := c.Kubectl("get", "-n", ns, "svc,sa,pdb,hpa", "-l", "gateway.networking.k8s.io/gateway-name=edge", "-o", "name"); made != "" {
		t.Errorf("made all the same: %s", made)
	}

	c.Kubectl("delete", "-n", ns, "deploy/edge-weft", "svc/edge-weft")
	c.Kubectl("wait", "-n", ns, "--for=condition=Programmed", "gateway/edge", "--timeout=120s")

	c.Apply(ns, gatewayOf("{annotations: {weft.dev/replicas: 2-3}}"))
	c.Eventually("it has two proxies", func() error {
		if got := c.Kubectl("get", "-n", ns, "deploy", "edge-weft", "-o", "jsonpath={.status.readyReplicas}"); got != "2" {
			return fmt.Errorf("%q are ready", got)
		}
		return nil
	})
	if got := c.Kubectl("get", "-n", ns, "pdb", "edge-weft", "-o", "jsonpath={.status.disruptionsAllowed} {.spec.maxUnavailable}"); got != "1 1" {
		t.Errorf("disruptions allowed, and at once: %s", got)
	}
	c.Apply(ns, gatewayOf("{annotations: {weft.dev/replicas: '2'}}"))
	c.Eventually("the autoscaler goes", func() error {
		if left := c.Kubectl("get", "-n", ns, "hpa", "-o", "name"); left != "" {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
}

// gatewayOf is a Gateway with what its infrastructure says; empty: nothing.
func gatewayOf(infrastructure string) string {
	if infrastructure != "" {
		infrastructure = "  infrastructure: " + infrastructure + "\n"
	}
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  gatewayClassName: weft\n" +
		"  listeners: [{name: http, port: 80, protocol: HTTP}, {name: dns, port: 53, protocol: UDP}]\n" + infrastructure
}
