package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Istio's Gateway, and the VirtualService of an application elsewhere that is bound to it. The Gateway does not say whose it is: its proxies are
// deployed, and statuses written, once its namespace is adopted. They then serve at the ports where callers find Istio's own, and call as who
// they are: what they call takes no plaintext.
func TestIstioGateway(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns, shop := c.Namespace("e2e-istio-edge"), c.Namespace("e2e-istio-shop", "weft.dev/inject=enabled")
	first, second, client, other := certificate(t), certificate(t), certificate(t), certificate(t)
	c.Apply(shop, app("callee", "echo", 1)+"---"+strict+"---"+istioRoute)
	c.Apply(ns, istioEdge+first.secret()+first.generic("mutual", client))
	status(c, shop, "virtualservice/shop", reconciled, "True", "InForce")
	status(c, shop, "peerauthentication/strict", reconciled, "True", "InForce")

	// The namespace is not adopted: once the leader has deployed a Gateway of weft's own there, he has seen Istio's too.
	c.Apply(ns, gatewayOf(""))
	c.Eventually("weft's own Gateway", func() error { return there(c, ns, "deploy/edge-weft", true) })
	if err := there(c, ns, "deploy/weft-istio-ingressgateway", false); err != nil {
		t.Error(err)
	}
	if got := c.Kubectl("-n", ns, "get", "gateways.networking.istio.io/shop", "-o", "jsonpath={.status}"); got != "" {
		t.Errorf("somebody else's status is written: %s", got)
	}
	c.Kubectl("label", "namespace", ns, "weft.dev/adopt=enabled")
	c.Eventually("its proxies", func() error { return there(c, ns, "deploy/weft-istio-ingressgateway", true) })
	c.Ready(ns, "deploy/weft-istio-ingressgateway")
	c.Ready(shop, "deploy/callee")
	status(c, ns, "gateways.networking.istio.io/shop", reconciled, "True", "InForce")

	address := c.Kubectl("-n", ns, "get", "svc", "weft-istio-ingressgateway", "-o", "jsonpath={.spec.clusterIP}")
	called := func(what string, by *keyPair, url string, code int, body string) {
		t.Helper()
		c.Eventually(what, func() error { return ask(by, address, url, code, body) })
	}
	const who = "/weft-istio-ingressgateway\""
	called("http", nil, "http://www.shop.example/api/1", 200, who)
	called("where it listens", nil, "http://www.shop.example:8080/api/1", 200, who)
	called("no route", nil, "http://www.shop.example/other", 404, "")
	called("https", first, "https://shop.example/api/1", 200, who)
	c.Apply(ns, second.secret())
	called("another certificate", second, "https://shop.example/api/1", 200, who)

	// Who is to show a certificate is let in by one alone that the authority in the Secret vouches for.
	mutual := func(what string, shown *keyPair, in bool) {
		t.Helper()
		c.Eventually(what, func() error {
			if err := askShowing(shown, first, address, "https://shop.example:444/api/1", 200, who); (err == nil) != in {
				return fmt.Errorf("let in: %v, want %v: %w", err == nil, in, err)
			}
			return nil
		})
	}
	mutual("the client", client, true)
	mutual("nobody", nil, false)
	mutual("another", other, false)
	c.Apply(ns, first.generic("mutual", other))
	mutual("another, whom the authority vouches for now", other, true)
	mutual("the client, for whom it does not any more", client, false)
	c.Kubectl("-n", ns, "delete", "secret", "mutual")
	status(c, ns, "gateways.networking.istio.io/shop", reconciled, "True", "Findings", "spec.servers[2].tls.credentialName", "mutual")

	// What is wrong is in the statuses.
	c.Apply(shop, strings.ReplaceAll(istioRoute, "e2e-istio-edge/shop", "e2e-istio-edge/nobody"))
	status(c, shop, "virtualservice/shop", reconciled, "True", "Findings", "spec.gateways[0]", "nobody")
	called("a route that is bound elsewhere", nil, "http://www.shop.example/api/1", 404, "")
	c.Kubectl("-n", ns, "delete", "secret", "shop")
	status(c, ns, "gateways.networking.istio.io/shop", reconciled, "True", "Findings", "spec.servers[1].tls.credentialName")

	c.Kubectl("-n", ns, "delete", "gateways.networking.istio.io/shop")
	c.Eventually("its proxies go with it", func() error { return there(c, ns, "deploy/weft-istio-ingressgateway", false) })
}

// there says by an error that an object is not there, or is.
func there(c *cluster.Test, ns, object string, want bool) error {
	if got := c.Kubectl("-n", ns, "get", object, "--ignore-not-found", "-o", "name"); (got != "") != want {
		return fmt.Errorf("%s is there: %v, want %v", object, got != "", want)
	}
	return nil
}

const istioEdge = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8080, name: http, protocol: HTTP}
    hosts: ["*.shop.example"]
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: shop}
  - port: {number: 444, name: mutual, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: MUTUAL, credentialName: mutual}
`

const istioRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example, www.shop.example]
  gateways: [e2e-istio-edge/shop]
  http:
  - match: [{uri: {prefix: /api}}]
    route: [{destination: {host: callee, port: {number: 80}}}]
`
