package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Somebody brings an authority whose Secret says a trust domain, and no value of the chart does: a pod by the webhook and a pod by weft inject have
// identities of it, and one calls the other by mutual TLS. Then the chart says another: that is told with both names, and the mesh goes on as it was.
func TestTrustDomain(t *testing.T) {
	c := cluster.Shared(t)
	company := newAuthority(t, "company", "shop.example", nil)
	c.Kubectl("create", "namespace", "weft-system")
	c.Apply("weft-system", newAuthority(t, "mesh", "shop.example", company).secret())
	c.Install()
	weft(t, c, []string{"check"}, "all say the same trust domain", "shop.example", "0 failed")

	hooked, piped := c.Namespace("e2e-domain", "weft.dev/inject=enabled"), c.Namespace("e2e-domain-piped")
	c.Apply(hooked, app("echo", "echo", 1)+app("caller", "caller", 1))
	injected, err := c.RunWith(app("caller", "caller", 1), "inject", "--quiet", "-")
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(piped, injected)
	c.Ready(hooked, "deploy/echo", "deploy/caller")
	c.Ready(piped, "deploy/caller")
	calls := func() {
		t.Helper()
		for _, from := range []string{hooked, piped} {
			want := "URI=spiffe://shop.example/ns/" + from + "/sa/default"
			if a := c.Call(from, "deploy/caller", "http://echo."+hooked+"/"); a.Status != 200 || !strings.Contains(a.Body, want) {
				t.Errorf("from %s: %+v, want the caller %s", from, a, want)
			}
		}
	}
	calls()

	if out, err := c.Run("upgrade", "--set", "trustDomain=other.example", "--timeout", "20s"); err == nil {
		t.Errorf("a mesh is moved to another trust domain: %s", out)
	}
	const says = `its authority.json says trust domain "shop.example", and the chart's value trustDomain says "other.example"`
	if out, err := c.Run("check"); err == nil || !strings.Contains(out, says) {
		t.Errorf("weft check does not say so: %v\n%s", err, out)
	}
	c.Eventually("the new replica says why it does not start", func() error {
		for _, pod := range strings.Fields(c.Kubectl("-n", "weft-system", "get", "pods", "-l", "app.kubernetes.io/name=weft-control", "-o", "name")) {
			if out, _ := c.Cluster.Kubectl(t.Context(), "-n", "weft-system", "logs", pod); strings.Contains(out, says) && strings.Contains(out, "delete the Secret") {
				return nil
			}
		}
		return fmt.Errorf("none does")
	})
	c.Kubectl("-n", hooked, "rollout", "restart", "deploy/echo", "deploy/caller") // the replica of before gives them proxies of its own trust domain
	c.Ready(hooked, "deploy/echo", "deploy/caller")
	settled(c, hooked)
	calls()
	weft(t, c, []string{"upgrade", "--set", "trustDomain="})
	weft(t, c, []string{"check"}, "0 failed")
	calls()
}
