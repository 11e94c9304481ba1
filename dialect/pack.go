package dialect

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"

	"github.com/weft-mesh/weft/internal/abridge"
)

// Pack returns o with its tree as text, which takes a sixth of the memory: for kinds of which a cluster has many thousands, and whose
// readers decode them as a whole. What the object's own fields say is not written again. o comes from an API server, and so has all
// of apiVersion, kind, name and creationTimestamp; if it can't be packed it stays as it is.
func (o *Object) Pack() *Object {
	tree := maps.Clone(o.Tree)
	delete(tree, "apiVersion")
	delete(tree, "kind")
	if meta, ok := tree["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, key := range []string{"name", "namespace", "creationTimestamp"} {
			delete(meta, key)
		}
		tree["metadata"] = meta
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return o
	}
	packed := *o
	packed.Tree, packed.Packed = nil, abridge.Shorten(string(text), o.stem())
	return &packed
}

// stem is what an object is named after, less what was put behind that name for it to be the only one: a pod of a ReplicaSet says it again as its
// account, and a slice of a service for each of its pods.
func (o *Object) stem() string {
	stem := o.Name[:max(strings.LastIndexByte(o.Name, '-'), 0)]
	if before := strings.LastIndexByte(stem, '-'); before > 0 && o.Kind == "Pod" {
		stem = stem[:before]
	}
	return stem
}

// text is the packed text in full.
func (o *Object) text() []byte { return []byte(abridge.Full(o.Packed, o.stem())) }

// Whole returns the tree, of a packed object a fresh one.
func (o *Object) Whole() map[string]any {
	if o.Tree != nil || o.Packed == "" {
		return o.Tree
	}
	var tree map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.text(), &tree); err != nil {
		return nil // Pack wrote it: there is no such text
	}
	tree["apiVersion"], tree["kind"] = strings.TrimPrefix(o.Group+"/"+o.Version, "/"), o.Kind
	meta, ok := tree["metadata"].(map[string]any)
	if !ok {
		return tree
	}
	if meta["name"] = o.Name; o.Namespace != "" {
		meta["namespace"] = o.Namespace
	}
	meta["creationTimestamp"] = o.Created.UTC().Format(time.RFC3339)
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
