package istio_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
)

// FuzzRead: whatever an object holds, reading it comes to an end, and what is said of it names the object.
func FuzzRead(f *testing.F) {
	sample, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		f.Fatal(err)
	}
	around := dialecttest.Objects(f, kinds, string(sample))
	for _, o := range around {
		spec, err := json.Marshal(o.Tree["spec"])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(o.Group, o.Kind, spec)
	}
	f.Fuzz(func(t *testing.T, group, kind string, spec []byte) {
		k := dialect.Find(kinds, group, kind)
		var tree any
		if k == nil || k.Lower == nil || json.Unmarshal(spec, &tree) != nil {
			return
		}
		o := &dialect.Object{Group: group, Version: "v1", Kind: kind, Namespace: "shop", Name: "it",
			Tree: map[string]any{"metadata": map[string]any{"name": "it"}, "spec": tree}}
		part, found := dialect.Read(kinds, o, dialecttest.View(around))
		for i := range found {
			if found[i].Ref.Name != "it" {
				t.Errorf("%s is said of nobody", found[i].String())
			}
		}
		for _, route := range part.Routes {
			for i := range route.Rules {
				if err := route.Rules[i].Compile(); err != nil {
					t.Errorf("a proxy would refuse %s: %v", spec, err)
				}
			}
		}
	})
}
