package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// What others wrote to try servers of HTTP/2 and gRPC has to be content with a Gateway's listener too, as with the other sides of a proxy
// (make h2spec, make grpc-interop). Their programs run beside the cluster, as does gRPC's server.
func TestSuitesAtGateway(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns := c.Namespace("e2e-suites")
	server := interopServer(t, c)
	c.Apply(ns, app("echo", "echo", 1)+strings.ReplaceAll(suitesGateway, "ADDRESS", server.IP.String()))
	c.Apply(ns, strings.ReplaceAll(interopEndpoints(server), "ADDRESS", server.IP.String()))
	c.Kubectl("wait", "-n", ns, "--for=condition=Programmed", "gateway/suites", "--timeout=90s")
	c.Ready(ns, "deploy/echo")
	host := c.Kubectl("get", "-n", ns, "gateway", "suites", "-o", "jsonpath={.status.addresses[0].value}")

	// 146 cases; in one of them h2spec can't read the answer, see test/conformance/README.md.
	var out string
	c.Eventually("h2spec", func() (err error) {
		out, err = suite(t, "h2spec", "--host", host, "--port", "80", "--strict", "--timeout", "5", "http2/4.1")
		return err
	})
	out, _ = suite(t, "h2spec", "--host", host, "--port", "80", "--strict", "--timeout", "5")
	_, failures, _ := strings.Cut(out, "Failures:")
	if !strings.Contains(out, "146 tests, 145 passed, 0 skipped, 1 failed") || !strings.Contains(failures, "2: Sends invalid connection preface") {
		t.Errorf("h2spec: %s", failures)
	}

	for _, name := range []string{"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
		"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata", "unimplemented_method",
		"unimplemented_service", "orca_per_rpc", "orca_oob", "rpc_soak", "channel_soak"} {
		args := []string{"--server_host", host, "--server_port", "81", "--test_case", name, "--soak_overall_timeout_seconds", "60"}
		if strings.HasPrefix(name, "orca") { // they look at what a balancer was told
			args = append(args, "--service_config_json", `{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`)
		}
		if out, err := suite(t, "client", args...); err != nil {
			t.Errorf("gRPC %s: %v: %s", name, err, out)
		}
	}
}

// suite runs a program of the suites, which make builds.
func suite(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, suitePath(t, program), args...).CombinedOutput()
	return string(out), err
}

func suitePath(t *testing.T, program string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", ".cache", "suites", program))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// interopServer serves on this machine, where pods reach it, until the test ends.
func interopServer(t *testing.T, c *cluster.Test) *net.TCPAddr {
	t.Helper()
	at := net.ParseIP(strings.Fields(c.Kubectl("get", "endpointslices", "kubernetes", "-n", "default", "-o", "jsonpath={.endpoints[*].addresses[*]}"))[0])
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: at})
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close() // the program opens it itself
	_, port, _ := net.SplitHostPort(addr.String())
	cmd := exec.Command(suitePath(t, "server"), "--port", port)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return addr
}

func interopEndpoints(at *net.TCPAddr) string {
	_, port, _ := net.SplitHostPort(at.String())
	return strings.ReplaceAll(interopSlice, "PORT", port)
}

const interopSlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: interop-1, labels: {kubernetes.io/service-name: interop}}
addressType: IPv4
endpoints: [{addresses: [ADDRESS], conditions: {ready: true}}]
ports: [{name: grpc, port: PORT, protocol: TCP}]
`

const suitesGateway = `---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: suites}
spec:
  gatewayClassName: weft
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: grpc, port: 81, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo}
spec:
  parentRefs: [{name: suites, sectionName: http}]
  rules: [{backendRefs: [{name: echo, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: interop}
spec:
  ports: [{port: 80, name: grpc, appProtocol: kubernetes.io/h2c}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: interop}
spec:
  parentRefs: [{name: suites, sectionName: grpc}]
  rules: [{backendRefs: [{name: interop, port: 80}]}]
`
