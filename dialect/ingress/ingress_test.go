package ingress_test

import (
	"os"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/ingress"
	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestTranscripts: each sentence of the Ingress's reference that says where a call goes, by decision and through proxies.
func TestTranscripts(t *testing.T) { meshtest.RunTranscripts(t, "testdata/*.txtar") }

// TestFieldsHaveTheEffectThatIsClaimed: every field that a kind lists changes what is made of the object.
func TestFieldsHaveTheEffectThatIsClaimed(t *testing.T) {
	sample, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dialecttest.CheckFields(t, append(ingress.Kinds("cluster.local"), dialect.Kind{Name: "Service", Versions: []string{"v1"}}), string(sample))
}
