package transcript

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shop = `-- mesh/shop.yaml --
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
    - match: [{uri: {prefix: /split}}]
      route:
        - {destination: {host: shop, subset: v1}, weight: 75}
        - {destination: {host: shop, subset: v2}, weight: 25}
    - match: [{uri: {prefix: /copy}}]
      route: [{destination: {host: shop}}]
      mirror: {host: audit}
      headers: {request: {set: {x-a: "1"}}}
    - match: [{uri: {prefix: /slow}}]
      timeout: 1s
      route: [{destination: {host: shop}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
-- workloads --
frontend
shop-v1 service=shop version=v1
shop-v2 service=shop version=v2
audit
-- calls --
from frontend GET http://shop/split => 75% 200 shop subset v1 | 25% 200 shop subset v2
`

func run(t *testing.T, text string) []Failure {
	t.Helper()
	f, err := Parse("t", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	_, failed, err := f.Run()
	if err != nil {
		t.Fatal(err)
	}
	return failed
}

// TestExpectations: each part of an outcome is looked at; what does not hold is told with what came of the call.
func TestExpectations(t *testing.T) {
	for _, x := range []struct{ line, got string }{
		{"from frontend GET http://shop/copy => 200 shop copied to audit because VirtualService default/shop http[1] sees x-a=1 path=/copy", ""},
		{"from frontend GET http://shop/copy => 201", "200 shop"},
		{"from frontend GET http://shop/copy => 200 stock", "200 shop"},
		{"from frontend GET http://shop/copy => 200 copied to stock", "copied to audit"},
		{"from frontend GET http://shop/copy => 200 because VirtualService default/other", "because VirtualService default/shop http[1]"},
		{"from frontend GET http://shop/copy => 200 sees x-a=2", `x-a="1"`},
		{"from frontend GET http://shop/copy => 200 sees x-a=", `x-a="1"`},
		{"from frontend GET http://shop/copy => 200 attempts 2", "200 shop"},
		{"from frontend GET http://shop/copy failing=1 => 200 attempts 2", ""},
		{"from frontend GET http://shop/copy failing=3 => 503 attempts 3 because mesh default, connect failed", ""},
		{"from frontend GET http://shop/slow taking=2s => 504 because VirtualService default/shop http[2], timed out", ""},
		{"from frontend GET http://shop/slow taking=500ms => 200", ""},
		{"from frontend GET http://shop/split => 50% 200 subset v1 | 50% 200 subset v2", "75% 200 shop subset v1"},
		{"from frontend GET http://shop/split => 75% 200 subset v1", "25% 200 shop subset v2"},
		{"from frontend GET http://shop/split => 200 shop because VirtualService default/shop", ""},
		{"from frontend GET http://shop/split => 200 subset v1", "25% 200 shop subset v2"},
		{"from frontend GET http://shop/ => 404 because VirtualService default/shop, no route (istio)", ""},
		{"from frontend GET http://shop/ => refused", ""},
		{"from outside GET http://shop/ to shop-v1 => 200", ""},
		{"from outside GET http://shop/ to shop-v1 answering=418 => 418", ""},
	} {
		failed := run(t, shop+x.line+"\n")
		switch {
		case x.got == "" && len(failed) > 0:
			t.Errorf("%s: %v", x.line, &failed[0])
		case x.got != "" && (len(failed) != 1 || !strings.Contains(failed[0].Got, x.got)):
			t.Errorf("%s: %v, wanted to hear of %s", x.line, failed, x.got)
		}
	}
}

// TestFindings: those that are expected have to be there, and no other warning or error; notes may be there unasked.
func TestFindings(t *testing.T) {
	const notes = `-- a.yaml --
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: shop, subset: v9}}]}]
-- workloads --
shop
-- findings --
`
	const subset = "a.yaml:6 spec.http[0].route[0].destination.subset\n"
	if failed := run(t, notes+subset); len(failed) > 0 {
		t.Error(&failed[0])
	}
	if failed := run(t, notes+subset+"a.yaml:6 get 404\n"); len(failed) > 0 {
		t.Error(&failed[0])
	}
	if failed := run(t, notes); len(failed) != 1 || failed[0].Want != "no such finding" {
		t.Errorf("one that is not expected: %v", failed)
	}
	if failed := run(t, notes+subset+"a.yaml:9 nothing\n"); len(failed) != 1 || failed[0].Got != "no such finding" {
		t.Errorf("one that is not there: %v", failed)
	}
}

// TestUnknownNames: a call from or to a workload that is not there cannot be judged.
func TestUnknownNames(t *testing.T) {
	for _, line := range []string{"from nobody GET http://shop/ => 200", "from outside GET http://shop/ to nobody => 200"} {
		f, err := Parse("t", []byte(shop+line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Run(); err == nil || !strings.Contains(err.Error(), `there is no workload "nobody"`) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

const names = `-- mesh/names.yaml --
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft}
spec: {controllerName: weft.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: weft, listeners: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53, protocol: TCP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: udp}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: names, port: 53}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: tcp}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: names, port: 53}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: younger}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: others, port: 53}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: names}
spec: {selector: {app: for-udp}, ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: others}
spec: {selector: {app: others}, ports: [{name: dns, port: 53, protocol: UDP}]}
-- workloads --
for-udp
others
-- calls --
from outside UDP edge.example:53 via default/edge => ok names because UDPRoute default/udp rules[0] (gateway-api)
from outside TCP edge.example:53 via default/edge => refused because TCPRoute default/tcp rules[0]
from outside UDP edge.example:54 via default/edge => refused
`

// TestDatagrams: a gateway's port of UDP is another one than that of its number for TCP, and so is a Service's; of two UDPRoutes of a
// listener the older one counts. Between services there is nothing to say of UDP.
func TestDatagrams(t *testing.T) {
	for _, x := range run(t, names) {
		t.Error(x.String())
	}
	if _, err := Parse("t", []byte(shop+"from frontend UDP shop:53 => ok\n")); err == nil || !strings.Contains(err.Error(), "gateways alone") {
		t.Error(err)
	}
}

// TestDatagramsAreJudged: what policies of each dialect say of UDP and TCP to the same port number of a gateway. By decisions alone: meshtest
// sends no datagrams; proxy's own tests do.
func TestDatagramsAreJudged(t *testing.T) {
	files, err := filepath.Glob("../../feature/authz/testdata/datagrams/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range run(t, string(text)) {
			t.Errorf("%s: %s", file, x.String())
		}
	}
}
