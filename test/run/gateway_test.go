package run

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
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
spec: {gatewayClassName: weft, listeners: [{name: http, port: PORT, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: b, port: 9080}]}]}
`

// TestGateway: a gateway of this machine calls as the account of its own, its ports move with the object, and it ends by a signal.
func TestGateway(t *testing.T) {
	m, one, other := begin(t), free(t), free(t)
	at := func(addr string) string {
		_, port, _ := net.SplitHostPort(addr)
		return strings.ReplaceAll(edge, "PORT", port)
	}
	g := m.weft("gateway", "edge")
	g.says("no Gateway default/edge of weft's is in force")
	b := m.run("b")
	m.apply("edge", at(one))
	answers := func(addr string) {
		t.Helper()
		eventually(t, func() error {
			resp, err := client.Get("http://" + addr + "/")
			if err != nil {
				return fmt.Errorf("%w: %s", err, g.out)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 200 || !strings.Contains(string(body), "b-1") {
				return fmt.Errorf("%s, %v: %s", resp.Status, err, body)
			}
			return nil
		})
	}
	answers(one)
	m.edges(func(out string) bool { return strings.Contains(out, "default/edge-weft-1") })
	m.apply("edge", at(other))
	answers(other)
	eventually(t, func() error {
		c, err := net.Dial("tcp", one)
		if err == nil {
			c.Close()
			return fmt.Errorf("%s is still open", one)
		}
		return nil
	})
	if p := m.weft("proxy", "upgrade", "edge-weft-1"); p.code() != 1 || !strings.Contains(p.out.String(), "cannot be handed over") {
		t.Errorf("exit code %d: %s", p.code(), p.out)
	}
	answers(other)
	if g.signal(syscall.SIGTERM); g.code() != 0 {
		t.Errorf("exit code %d: %s", g.code(), g.out)
	}
	if c, err := net.Dial("tcp", other); err == nil {
		c.Close()
		t.Error("its port is open after its end")
	}
	b.end()
}

// TestGatewayRefuses: what is wrong is told before anything is started.
func TestGatewayRefuses(t *testing.T) {
	m := newMesh(t, -1)
	for args, says := range map[string]string{"": "name a Gateway, as: weft gateway edge", "a/b/c": "want NAME or NAMESPACE/NAME", "a b": "name one Gateway",
		"edge --address here": "want an address of this machine", "edge --trusted-proxy x": "want ADDRESS", "edge": "no control plane"} {
		p := m.weft(append([]string{"gateway"}, strings.Fields(args)...)...)
		if p.code() == 0 || !strings.Contains(p.out.String(), says) {
			t.Errorf("weft gateway %s: exit code %d: %s, want %q", args, p.code(), p.out, says)
		}
	}
}
