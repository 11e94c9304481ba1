package dialect

import (
	"encoding/json"
	"maps"
	"reflect"

	kjson "sigs.k8s.io/json"
)

// Pack returns o with its tree as text, which takes a third of the memory: for kinds of which a cluster has many thousands, and whose
// readers decode them as a whole. If o can't be packed it stays as it is.
func (o *Object) Pack() *Object {
	text, err := json.Marshal(o.Tree)
	if err != nil {
		return o
	}
	packed := *o
	packed.Tree, packed.Packed = nil, string(text)
	return &packed
}

// Whole returns the tree, of a packed object a fresh one.
func (o *Object) Whole() map[string]any {
	if o.Tree != nil || o.Packed == "" {
		return o.Tree
	}
	var tree map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(o.Packed), &tree); err != nil {
		return nil // Pack wrote it: there is no such text
	}
	return tree
}

// unpacked is o with its tree, as readers expect it.
func (o *Object) unpacked() *Object {
	if o.Tree != nil || o.Packed == "" {
		return o
	}
	whole := *o
	whole.Tree = o.Whole()
	return &whole
}

// Same says whether two versions of an object say the same, wherever they stand.
func (o *Object) Same(other *Object) bool {
	return o.Version == other.Version && o.Created.Equal(other.Created) && maps.Equal(o.Labels, other.Labels) &&
		maps.Equal(o.Annotations, other.Annotations) && o.sameTree(other)
}

func (o *Object) sameTree(other *Object) bool {
	if o.Packed != "" && other.Packed != "" {
		return o.Packed == other.Packed // Pack sorts keys
	}
	return reflect.DeepEqual(o.Whole(), other.Whole())
}
