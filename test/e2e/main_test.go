// Package e2e tries on a real Kubernetes what weft promises there. Each file is a scenario, which reads from top to bottom as what
// somebody does and sees.
package e2e

import (
	"os"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
