package gatewayapi_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestGateways: what commonly goes wrong at gateways, and what the conformance suite asserts, each call by decision and through proxies.
func TestGateways(t *testing.T) { meshtest.RunTranscripts(t, "testdata/gateway/*.txtar") }

// TestMesh: what the conformance suite's tests of meshes assert (sigs.k8s.io/gateway-api/conformance v1.6.3, tests/mesh), one transcript for
// each, with what several have in common written once.
func TestMesh(t *testing.T) { meshtest.RunTranscripts(t, "testdata/mesh/*.txtar") }
