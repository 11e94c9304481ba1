package linkerd_test

import (
	"os"
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/linkerd"
)

// TestFieldsHaveTheEffectThatIsClaimed: every field that a kind lists changes what is made of the object, or of the Server that
// it is for.
func TestFieldsHaveTheEffectThatIsClaimed(t *testing.T) {
	sample, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dialecttest.CheckFields(t, linkerd.Kinds(td), string(sample))
}
