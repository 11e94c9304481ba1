package istio_test

import (
	"os"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/istio"
)

// kinds are Istio's, and the core's Service, which is not lowered here.
var kinds = append(istio.Kinds("cluster.local"), dialect.Kind{Name: "Service", Versions: []string{"v1"}})

// TestFieldsHaveTheEffectThatIsClaimed: every field that a kind lists changes what is made of the object.
func TestFieldsHaveTheEffectThatIsClaimed(t *testing.T) {
	sample, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dialecttest.CheckFields(t, kinds, string(sample))
}
