package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// What the package source/kube takes an API server to say, a real one says: its tests that have no server of their own, on this cluster.
func TestSourceKube(t *testing.T) {
	c := cluster.Shared(t)
	dir, err := cluster.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^TestReal", "./source/kube")
	test.Dir, test.Env = dir, append(os.Environ(), "WEFT_KUBECONFIG="+c.Kubeconfig)
	if out, err := test.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
