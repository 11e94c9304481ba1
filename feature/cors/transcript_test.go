package cors_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

func TestTranscripts(t *testing.T) { meshtest.RunTranscripts(t, "testdata/*.txtar") }
