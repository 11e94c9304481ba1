package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// previous is the commit that upgrades are tried from: the last release, and until there is one, the first that ran on Kubernetes with
// gateways. $WEFT_PREVIOUS is another.
const previous = "9822f0070d"

// While calls go on, the control plane is upgraded from the build before, and proxies after it; then the control plane goes back to the build
// before, and forth again. No call is lost, and proxies of either build take changes from a control plane of either.
func TestUpgrade(t *testing.T) {
	c := cluster.Shared(t)
	commit := os.Getenv("WEFT_PREVIOUS")
	if commit == "" {
		commit = previous
	}
	version, before, err := c.Previous(t.Context(), commit)
	if errors.Is(err, cluster.ErrNoCommit) {
		t.Skipf("there is nothing to upgrade from: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.InstallBy(before, "--ha", "--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns := c.Namespace("e2e-upgrade", "weft.dev/inject=enabled")
	c.Apply(ns, app("callee", "echo", 2)+app("middle", "caller", 2)+app("load", "caller", 1)+"---"+strict)
	c.Ready(ns, "deploy/callee", "deploy/middle", "deploy/load")
	loads := []*cluster.Load{
		c.Load(ns, "deploy/load", "http://callee/delay?ms=20"),
		c.Load(ns, "deploy/load", "http://callee/delay?ms=20", "--new-connection-per-request=false"),
		c.Load(ns, "deploy/load", "http://middle/http?url=http://callee/delay?ms=20"),
	}
	changes := 0
	change := func(what string) { // a path that is denied from now on
		t.Helper()
		changes++
		path := fmt.Sprintf("/forbidden/%d", changes)
		c.Apply(ns, strings.ReplaceAll(forbidden, "/forbidden", path))
		c.Eventually("a change takes effect: "+what, func() error {
			if a := c.Call(ns, "deploy/load", "http://callee"+path); a.Status != 403 {
				return fmt.Errorf("%+v", a)
			}
			return nil
		})
	}
	proxies := func() string {
		return c.Kubectl("-n", ns, "get", "pods", "-l", "app=callee", "-o", `jsonpath={.items[*].metadata.annotations.weft\.dev/injected}`)
	}

	change("both of the build before")
	weft(t, c, []string{"upgrade"})
	weft(t, c, []string{"check"}, "0 failed", "they are of this version", version)
	change("old proxies, new control plane")
	for _, d := range []string{"deploy/callee", "deploy/middle"} {
		c.Kubectl("-n", ns, "rollout", "restart", d)
		c.Ready(ns, d)
	}
	settled(c, ns)
	if got := proxies(); got != c.Version+" "+c.Version {
		t.Errorf("proxies are of %s, want %s", got, c.Version)
	}
	change("both new, and an old one calls")

	if out, err := c.RunAs(before, "upgrade"); err != nil {
		t.Fatal(out, err)
	}
	settled(c, "weft-system")
	change("new proxies, old control plane")
	weft(t, c, []string{"upgrade"})
	settled(c, "weft-system")
	change("and forth again")
	for _, l := range loads {
		l.Lossless()
	}
	c.Kubectl("-n", ns, "rollout", "restart", "deploy/load")
	c.Ready(ns, "deploy/load")
	settled(c, ns)
	weft(t, c, []string{"check"}, "0 warnings, 0 failed")
}
