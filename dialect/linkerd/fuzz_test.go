package linkerd_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/authz"
)

// FuzzRead: whatever an object holds, reading it comes to an end, what is said of it names the object, and a proxy takes what it
// becomes.
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
		f.Add(o.Kind, o.Version, spec)
	}
	groups := map[string]string{"ServiceProfile": "linkerd.io"}
	f.Fuzz(func(t *testing.T, kind, version string, spec []byte) {
		group := "policy.linkerd.io"
		if g, ok := groups[kind]; ok {
			group = g
		}
		k := dialect.Find(kinds, group, kind)
		var tree any
		if k == nil || k.Lower == nil || json.Unmarshal(spec, &tree) != nil {
			return
		}
		o := &dialect.Object{Group: group, Version: version, Kind: kind, Namespace: "shop", Name: "it.shop.svc.cluster.local",
			Tree: map[string]any{"metadata": map[string]any{"name": "it.shop.svc.cluster.local"}, "spec": tree}}
		part, found := dialect.Read(kinds, o, dialecttest.View(append(around, o)))
		for i := range found {
			if found[i].Ref.Name != o.Name {
				t.Errorf("%s is said of nobody", found[i].String())
			}
		}
		for _, p := range part.Profiles {
			for i := range p.Rules {
				if err := p.Rules[i].Compile(); err != nil {
					t.Errorf("a proxy would refuse %s: %v", spec, err)
				}
			}
		}
		for _, a := range part.Authorizations {
			e := authz.Engine{Tiers: a.Tiers}
			if err := e.Compile(); err != nil || a.Closes == nil {
				t.Errorf("a proxy would refuse %s: %v", spec, err)
			}
		}
	})
}

// FuzzIdentity: a name that lets somebody pass lets pass nobody who is not authenticated.
func FuzzIdentity(f *testing.F) {
	for _, id := range []string{"*", "*.a.serviceaccount.identity.l.cluster.local", "a.b.serviceaccount.identity.l.td", "spiffe://a/ns/b/sa/c", "*.a.b", "a..b"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		tree := map[string]any{"identities": []any{id}}
		auth := &dialect.Object{Group: "policy.linkerd.io", Version: "v1alpha1", Kind: "MeshTLSAuthentication", Namespace: "shop", Name: "web", Tree: map[string]any{"spec": tree}}
		objects := append(dialecttest.Objects(t, kinds, server("books", open)+"\n---\n"+policy("it", required(webRef))), auth)
		part, _ := dialect.Read(kinds, objects[0], dialecttest.View(objects))
		e := authz.Engine{Tiers: part.Authorizations[0].Tiers, Closed: part.Authorizations[0].Closes}
		if err := e.Compile(); err != nil {
			t.Fatal(err)
		}
		if v := e.Judge(from("10.0.0.1"), nil); v.Outcome == 0 {
			t.Errorf("%q lets everybody pass", id)
		}
	})
}
