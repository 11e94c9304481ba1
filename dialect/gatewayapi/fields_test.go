package gatewayapi_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/core"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/mesh"
)

var kinds = slices.Concat(gatewayapi.Kinds("cluster.local"), core.Kinds("cluster.local"))

// TestFieldsHaveTheEffectThatIsClaimed: every field that a kind lists changes what is made of the object.
func TestFieldsHaveTheEffectThatIsClaimed(t *testing.T) {
	sample, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dialecttest.CheckFields(t, gatewayapi.Kinds("cluster.local"), string(sample))
}

// corpus is other people's configuration, where it is at hand.
const corpus = "../../../shared/corpus"

// TestCorpus: every file is read, no object is refused but those named here, and whatever is attached to a Service is lowered.
func TestCorpus(t *testing.T) {
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("no corpus here")
	}
	for _, dir := range []string{"gateway-api", "istio/bookinfo/gateway-api", "istio/helloworld/gateway-api"} {
		err := filepath.WalkDir(filepath.Join(corpus, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".yaml") {
				t.Run(path, func(t *testing.T) { readFile(t, path) })
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func readFile(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	objects := dialecttest.Objects(t, kinds, string(text))
	for _, o := range objects {
		part, found := dialect.Read(kinds, o, dialecttest.View(objects))
		for i := range found {
			if found[i].Level == mesh.Error {
				t.Errorf("%s", found[i].String())
			}
		}
		if k := dialect.Find(kinds, o.Group, o.Kind); k == nil || k.Dialect.String() == "gateway-api" && part.Empty() && len(found) == 0 {
			t.Errorf("%s %s says nothing, and nothing is said of it", o.Kind, o.Name)
		}
	}
}
