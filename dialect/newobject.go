package dialect

import (
	"maps"
	"strings"
	"time"
)

// NewObject makes an object of a tree, of which nothing has been checked: apiVersion and kind are taken for granted, and of the metadata
// what fits. k is its kind, or nil if nobody knows it: it tells whether objects have a namespace. seen is the creation time of an
// object that names none. The tree becomes the object's.
func NewObject(k *Kind, apiVersion, kind string, tree map[string]any, seen time.Time) *Object {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	meta, _ := tree["metadata"].(map[string]any)
	o := &Object{Group: group, Version: version, Kind: kind, Tree: tree, Created: seen, Labels: stringsOf(meta["labels"]),
		Annotations: stringsOf(meta["annotations"])}
	o.Name, _ = meta["name"].(string)
	o.Namespace, _ = meta["namespace"].(string)
	if written, _ := meta["creationTimestamp"].(string); written != "" {
		if t, err := time.Parse(time.RFC3339, written); err == nil {
			o.Created = t
		}
	}
	switch {
	case k == nil:
	case k.Cluster:
		o.Namespace = ""
	case o.Namespace == "":
		o.Namespace = "default"
	}
	return o
}

// stringsOf returns the strings of a map; whatever else it holds is a finding when the object is read.
func stringsOf(v any) map[string]string {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(m))
	for k := range maps.Keys(m) {
		if s, ok := m[k].(string); ok {
			out[k] = s
		}
	}
	return out
}
