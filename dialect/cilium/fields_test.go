package cilium_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/cilium"
	"github.com/weft-mesh/weft/dialect/core"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

var kinds = slices.Concat(cilium.Kinds("cluster.local"), core.Kinds("cluster.local"))

// TestFieldsHaveTheEffectThatIsClaimed: every field that a kind lists changes what is made of the object, below spec and below specs.
func TestFieldsHaveTheEffectThatIsClaimed(t *testing.T) {
	text, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	around, policy, _ := strings.Cut(string(text), "apiVersion: cilium.io/v2\nkind: KIND")
	for kind, namespace := range map[string]string{"CiliumNetworkPolicy": ", namespace: shop", "CiliumClusterwideNetworkPolicy": ""} {
		one := "apiVersion: cilium.io/v2\nkind: " + kind + strings.Replace(policy, ", namespace: shop", namespace, 1)
		two := strings.Replace(strings.Replace(one, "name: all", "name: more", 1), "\nspec:\n  ", "\nspecs:\n- ", 1)
		t.Run(kind, func(t *testing.T) {
			dialecttest.CheckFields(t, cilium.Kinds("cluster.local"), around+one+"---\n"+two)
		})
	}
}

// corpus is other people's configuration, where it is at hand.
const corpus = "../../../shared/corpus"

// TestCorpus: every file is read, and no object is refused but those named here.
func TestCorpus(t *testing.T) {
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("no corpus here")
	}
	err := filepath.WalkDir(filepath.Join(corpus, "cilium"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".yaml") {
			t.Run(d.Name(), func(t *testing.T) { readFile(t, path) })
		}
		return err
	})
	if err != nil {
		t.Error(err)
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
			if testing.Verbose() {
				t.Log(found[i].Level, found[i].String())
			}
		}
		if k := dialect.Find(kinds, o.Group, o.Kind); k == nil || part.Empty() && len(found) == 0 {
			t.Errorf("%s %s says nothing, and nothing is said of it", o.Kind, o.Name)
		}
	}
}
