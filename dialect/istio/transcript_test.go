package istio_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestGatewayTranscripts: what Istio's Gateways and the VirtualServices that are bound to them say, each call by decision and through proxies.
func TestGatewayTranscripts(t *testing.T) { meshtest.RunTranscripts(t, "testdata/gateway/*.txtar") }
