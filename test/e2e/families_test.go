package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// What holds by IPv4 holds by IPv6, in a cluster that has both: a Service of two families and one of IPv6 alone are called through the
// proxies, by mutual TLS, whichever address the caller has of them; so is a pod, by its own address and by its Service's headless name; what is
// outside of the mesh is called as it is; and plaintext is refused where mutual TLS is required.
func TestFamilies(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "istio")
	shop, outside := c.Namespace("e2e-families", "weft.dev/inject=enabled"), c.Namespace("e2e-families-outside")
	for _, ns := range []string{shop, outside} {
		c.Apply(ns, app("callee", "echo", 2)+app("caller", "caller", 1)+"---"+strings.ReplaceAll(families, "NAMESPACE", ns))
		c.Ready(ns, "deploy/callee", "deploy/caller")
	}
	get := func(ns, what, path string) []string {
		t.Helper()
		return strings.Fields(c.Kubectl("-n", ns, "get", what, "-o", "jsonpath={"+path+"}"))
	}
	six := func(addrs []string) string {
		t.Helper()
		for _, a := range addrs {
			if ip, err := netip.ParseAddr(a); err == nil && ip.Is6() {
				return "[" + a + "]"
			}
		}
		t.Fatalf("%v has no address of IPv6: this cluster is of one family", addrs)
		return ""
	}
	ways := map[string][]string{} // by namespace, of calling its application
	for _, ns := range []string{shop, outside} {
		both := get(ns, "service/both", ".spec.clusterIPs[*]")
		if len(both) != 2 {
			t.Fatalf("a Service of both families has the addresses %v", both)
		}
		pod := strings.TrimSpace(c.Kubectl("-n", ns, "get", "pods", "-l", "app=callee", "-o", "jsonpath={.items[0].metadata.name}"))
		ways[ns] = []string{
			"http://both." + ns + "/",
			"http://" + both[0] + "/",
			"http://" + six(both) + "/",
			"http://six." + ns + "/",
			"http://six-each." + ns + ":8080/",
			"http://" + six(get(ns, "pod/"+pod, ".status.podIPs[*].ip")) + ":8080/",
			"http://six-alias." + ns + "/",
		}
	}
	called := func(from, to string, status int, principal string) {
		t.Helper()
		for _, url := range ways[to] {
			a := c.Call(from, "deploy/caller", url, "--timeout=10s")
			if has := strings.Contains(a.Body, "URI=spiffe://"); a.Status != status || has != (principal != "") || !strings.Contains(a.Body, principal) {
				t.Errorf("from %s to %s: %+v, want %d and the caller %q", from, url, a, status, principal)
			}
		}
	}
	me := "URI=spiffe://cluster.local/ns/" + shop + "/sa/default"
	called(shop, shop, 200, me)
	called(shop, outside, 200, "")
	called(outside, shop, 200, "")

	c.Apply(shop, strict)
	c.Eventually("plaintext by IPv6 is refused", func() error {
		if a := c.Call(outside, "deploy/caller", "http://six."+shop+"/"); a.Status != 403 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	called(outside, shop, 403, "")
	called(shop, shop, 200, me)

	// Outside of the cluster there is nobody's proxy, by whichever family, and under whichever name.
	for _, host := range []string{cluster.HostIP, cluster.HostIP6} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "from ", r.Host, r.Header) })}
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		// The name that the cluster's DNS has of any address: fd77-0--1.default.pod.cluster.local.
		name := strings.NewReplacer(".", "-", ":", "-").Replace(host)
		c.Apply(shop, strings.ReplaceAll(away, "ADDRESS", name))
		c.Eventually("the name of what is outside of the cluster leads there", func() error {
			for _, url := range []string{"http://" + net.JoinHostPort(host, port) + "/", "http://away-" + name + ":" + port + "/"} {
				if a := c.Call(shop, "deploy/caller", url, "--timeout=10s"); a.Status != 200 || strings.Contains(a.Body, "spiffe://") {
					return fmt.Errorf("%s: %+v", url, a)
				}
			}
			return nil
		})
	}
}

const families = `
apiVersion: v1
kind: Service
metadata: {name: both}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: callee}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec:
  ipFamilies: [IPv6]
  selector: {app: callee}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: six-each}
spec:
  ipFamilies: [IPv6]
  clusterIP: None
  selector: {app: callee}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: six-alias}
spec: {type: ExternalName, externalName: six.NAMESPACE.svc.cluster.local}
`

const away = `
apiVersion: v1
kind: Service
metadata: {name: away-ADDRESS}
spec: {type: ExternalName, externalName: ADDRESS.default.pod.cluster.local}
`
