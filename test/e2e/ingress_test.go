package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// An Ingress of the class that weft brings is served by proxies in weft's own namespace, which know the control plane by its authority there,
// and call as who they are. A class of another controller is left alone, and so is what has the name of a class's proxies already.
func TestIngress(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns := c.Namespace("e2e-ingress", "weft.dev/inject=enabled")
	for _, class := range []string{"e2e-foreign", "e2e-taken"} {
		c.Kubectl("delete", "ingressclass", class, "--ignore-not-found") // of a run that was killed
		c.Finally("delete", "ingressclass", class, "--ignore-not-found")
	}
	first, second := certificate(t), certificate(t)
	c.Apply(ns, app("callee", "echo", 1)+"---"+strict+"---"+ingressClasses+ingressOf("shop", "weft")+ingressOf("foreign", "e2e-foreign")+first.secret())
	c.Eventually("its proxies", func() error { return there(c, "weft-system", "deploy/weft-ingress-weft", true) })
	c.Ready("weft-system", "deploy/weft-ingress-weft")
	c.Ready(ns, "deploy/callee")
	if err := there(c, "weft-system", "configmap/weft-root", true); err != nil {
		t.Error(err)
	}

	address := func(ingress string) string {
		return c.Kubectl("-n", ns, "get", "ingress", ingress, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	}
	c.Eventually("its address", func() error {
		if want := c.Kubectl("-n", "weft-system", "get", "svc", "weft-ingress-weft", "-o", "jsonpath={.spec.clusterIP}"); address("shop") != want {
			return fmt.Errorf("%q, want %q", address("shop"), want)
		}
		return nil
	})
	at := address("shop")
	called := func(what string, by *keyPair, url string, code int, body string) {
		t.Helper()
		c.Eventually(what, func() error { return ask(by, at, url, code, body) })
	}
	const who = "/ns/weft-system/sa/weft-ingress-weft\""
	called("http", nil, "http://shop.example/api/1", 200, who)
	called("no path", nil, "http://shop.example/other", 404, "")
	called("a host of another controller's", nil, "http://foreign.example/api/1", 404, "")
	called("https", first, "https://shop.example/api/1", 200, who)
	c.Apply(ns, second.secret())
	called("another certificate", second, "https://shop.example/api/1", 200, who)
	if got := address("foreign"); got != "" {
		t.Errorf("another controller's Ingress is at %s", got)
	}

	// A class has its proxies where it says. What has their name there, and is not owned by the class, stays as it is.
	c.Apply(ns, app("weft-ingress-e2e-taken", "echo", 1))
	was := c.Kubectl("-n", ns, "get", "deploy", "weft-ingress-e2e-taken", "-o", "jsonpath={.spec}")
	c.Apply(ns, ingressOf("taken", "e2e-taken"))
	c.Eventually("it is said whose name the class has", func() error {
		if log := c.Kubectl("-n", "weft-system", "logs", "deploy/weft-control"); !strings.Contains(log, "Deployment "+ns+"/weft-ingress-e2e-taken") {
			return errors.New("it is not in the control plane's log")
		}
		return nil
	})
	if now := c.Kubectl("-n", ns, "get", "deploy", "weft-ingress-e2e-taken", "-o", "jsonpath={.spec}"); now != was {
		t.Errorf("the Deployment was changed: %s", now)
	}
	c.Kubectl("-n", ns, "delete", "deploy/weft-ingress-e2e-taken", "svc/weft-ingress-e2e-taken")
	c.Eventually("its proxies, once the name is free", func() error {
		owner := c.Kubectl("-n", ns, "get", "deploy", "weft-ingress-e2e-taken", "--ignore-not-found", "-o", "jsonpath={.metadata.ownerReferences[*].name}")
		if owner != "e2e-taken" {
			return fmt.Errorf("owned by %q", owner)
		}
		return nil
	})
	c.Kubectl("delete", "ingressclass", "e2e-taken")
	c.Eventually("its proxies go with it", func() error { return there(c, ns, "deploy/weft-ingress-e2e-taken", false) })

	// Without an Ingress nobody pays for an address.
	c.Kubectl("-n", ns, "delete", "ingress", "shop")
	c.Eventually("the proxies go with the last Ingress", func() error { return there(c, "weft-system", "deploy/weft-ingress-weft", false) })
}

const ingressClasses = `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: e2e-foreign}
spec: {controller: example.com/another}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: e2e-taken, annotations: {weft.dev/gateway-namespace: e2e-ingress}}
spec: {controller: weft.dev/ingress-controller}
`

// ingressOf is an Ingress of a class, for the host NAME.example.
func ingressOf(name, class string) string {
	return fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s}
spec:
  ingressClassName: %s
  tls: [{hosts: [%[1]s.example], secretName: shop}]
  rules:
  - host: %[1]s.example
    http: {paths: [{path: /api, pathType: Prefix, backend: {service: {name: callee, port: {number: 80}}}}]}
`, name, class)
}
