package meshtest_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestTranscripts is of the rules for when several dialects speak, and of what belongs to no feature.
func TestTranscripts(t *testing.T) { meshtest.RunTranscripts(t, "testdata/*.txtar") }
