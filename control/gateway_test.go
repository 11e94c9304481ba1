package control

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/source"
)

const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft}
spec: {controllerName: weft.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: weft, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: reviews, port: 9080}]}]}
`

// TestGatewayIsForItsOwnProxies: a gateway's configuration, which holds private keys, is for workloads of its account in its namespace
// alone, whatever others say of themselves.
func TestGatewayIsForItsOwnProxies(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices+"---"+edge)))
	p := run(t, options(t, state(t), f))
	named := func(namespace, account string) func(*Registration) {
		return func(r *Registration) {
			r.Namespace, r.Account, r.Service = namespace, account, ""
			r.Labels = map[string]string{"gateway.networking.k8s.io/gateway-name": "edge"}
		}
	}
	name := config.Name(config.KindGateway, "default/edge")
	for _, x := range []struct {
		namespace, account string
		there              bool
	}{{"default", "edge-weft", true}, {"default", "reviews", false}, {"elsewhere", "edge-weft", false}} {
		proxy := p.proxy(p.register("gateway", "v1", named(x.namespace, x.account)))
		proxy.want(name)
		if r := proxy.get()[name]; r.Gone == x.there {
			t.Errorf("%s/%s: %+v", x.namespace, x.account, r)
		}
	}
}

// TestGatewayIsSentAgain: when it, its routes or what they refer to have changed, and not for anything else.
func TestGatewayIsSentAgain(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices+"---"+edge)))
	p := run(t, options(t, state(t), f))
	x := p.proxy(p.register("", "v1", func(r *Registration) { r.Name, r.Account = "edge-weft", "edge-weft" }))
	name := config.Name(config.KindGateway, "default/edge")
	x.want(name)
	x.get()
	for _, step := range []struct {
		what, from, to string
		again          bool
	}{
		{"nothing", "", "", false},
		{"a listener", "port: 80,", "port: 81,", true},
		{"a route", "name: reviews, port", "name: ratings, port", true},
		{"the class", "weft.dev/gateway-controller", "example.com/other", true},
	} {
		f.emit(t, source.Event{Put: parse(t, twoServices+"---"+strings.ReplaceAll(edge, step.from, step.to))})
		if !step.again {
			x.nothing()
			continue
		}
		if got := x.get(); len(got) != 1 || got[name].Gone != (step.what == "the class") {
			t.Errorf("%s: %+v", step.what, got)
		}
	}
}

// TestGatewayIsForWhoHasProvedTheAccount: what others write of a pod's account, in an object of its name, gives it no keys.
func TestGatewayIsForWhoHasProvedTheAccount(t *testing.T) {
	const entry = `
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-1, namespace: shop}
spec: {address: 10.0.0.9, serviceAccount: edge-weft}
`
	c := newCity()
	f := newFeed(synced(parse(t, reviewsPod+"---"+strings.ReplaceAll(edge, "metadata: {name: edge}", "metadata: {name: edge, namespace: shop}"))))
	p := run(t, c.options(t, 0, f))
	f.emit(t, source.Event{Put: parse(t, entry)})
	s, err := p.open("reviews-1")
	if err != nil {
		t.Fatal(err)
	}
	name := config.Name(config.KindGateway, "shop/edge")
	x := &proxy{t: t, s: s}
	x.want(name)
	if r := x.get()[name]; !r.Gone {
		t.Errorf("account reviews gets %+v", r)
	}
}
