package dialecttest

import (
	"cmp"
	"slices"

	"github.com/weft-mesh/weft/dialect"
)

// View is a dialect.View of objects in a list.
type View []*dialect.Object

// Get returns the object of a name, or nil.
func (v View) Get(group, kind, namespace, name string) *dialect.Object {
	key := dialect.Key{Group: group, Kind: kind, Namespace: namespace, Name: name}
	if i := slices.IndexFunc(v, func(o *dialect.Object) bool { return o.Key() == key }); i >= 0 {
		return v[i]
	}
	return nil
}

// Absent says whether there is none in the list.
func (v View) Absent(group, kind, namespace, name string) bool {
	return v.Get(group, kind, namespace, name) == nil
}

// Find returns the objects of the kind that are under a key.
func (v View) Find(x *dialect.Lookup, key string) []*dialect.Object {
	return x.By(v.List(x.Group, x.Kind, ""))[key]
}

// List returns all objects of a kind, in one namespace or in all.
func (v View) List(group, kind, namespace string) (out []*dialect.Object) {
	for _, o := range v {
		if o.Group == group && o.Kind == kind && (namespace == "" || namespace == o.Namespace) {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b *dialect.Object) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}
