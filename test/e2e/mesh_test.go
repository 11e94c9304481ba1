package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// weft runs the program against the cluster; what it prints is in words that say each of some things.
func weft(t *testing.T, c *cluster.Test, args []string, says ...string) string {
	t.Helper()
	out, err := c.Run(args...)
	if err != nil {
		t.Fatalf("weft %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for _, s := range says {
		if !strings.Contains(out, s) {
			t.Errorf("weft %s does not say %q:\n%s", strings.Join(args, " "), s, out)
		}
	}
	return out
}

// settled waits until no pod of a namespace is about to end.
func settled(c *cluster.Test, namespace string) {
	c.Eventually("pods have ended", func() error {
		ending := c.Kubectl("-n", namespace, "get", "pods", "-o", `jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name} {end}`)
		if ending != "" {
			return fmt.Errorf("not yet: %s", ending)
		}
		return nil
	})
}

// strict refuses what comes in plaintext.
const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
`
