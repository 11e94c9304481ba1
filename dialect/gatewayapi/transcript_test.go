package gatewayapi_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestGateways: what commonly goes wrong at gateways, and what the conformance suite asserts, each call by decision and through proxies.
func TestGateways(t *testing.T) { meshtest.RunTranscripts(t, "testdata/gateway/*.txtar") }
