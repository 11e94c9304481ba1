package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/mesh"
)

// despite is what lowering finds in an object in which something is wrong already, so that its author meets all mistakes at once.
// It is read without what is wrong. What is said of the places around is left out then, and so is what is but good to know: it may
// be said only because something is not there.
func despite(k *Kind, flaws []mesh.Finding, o *Object, v View) []mesh.Finding {
	var wrong []string
	for _, f := range flaws {
		switch {
		case f.Level != mesh.Error || f.Field == "apiVersion" || f.Field == "metadata.name":
		case around("metadata", f.Field):
			return nil
		default:
			wrong = append(wrong, f.Field)
		}
	}
	rest := fitting(k, o.unpacked())
	if rest == nil {
		return nil
	}
	_, found := lower(k, rest, v)
	return slices.DeleteFunc(found, func(f mesh.Finding) bool {
		return len(wrong) > 0 && (f.Level == mesh.Info || slices.ContainsFunc(wrong, func(w string) bool { return around(f.Field, w) }))
	})
}

// around says whether path is other, or a field that other stands in.
func around(path, other string) bool {
	rest, ok := strings.CutPrefix(other, path)
	return ok && (path == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// maxCuts bounds the work on an object in which nearly everything is wrong.
const maxCuts = 32

// fitting is as much of o as fits its kind's Schema; nil: too little does.
func fitting(k *Kind, o *Object) *Object {
	if k.Schema == nil {
		return o
	}
	tree, fields := o.Tree, fieldsOf(k)
	for range maxCuts {
		c := checker{kind: k}
		c.object(nil, k.Schema, fields, tree, said{})
		if c.wrong == nil {
			rest := *o
			rest.Tree, rest.Packed = tree, ""
			return &rest
		}
		less, ok := without(tree, c.wrong.path())
		if !ok {
			return nil
		}
		tree, _ = less.(map[string]any)
	}
	return nil
}

// without returns v without what stands at path. False: v itself has to go, since it lacks what path asks for, or is a list, whose
// other elements would be taken for each other.
func without(v any, path []*place) (any, bool) {
	if len(path) == 0 {
		return nil, false
	}
	switch v := v.(type) {
	case map[string]any:
		key := path[0].key
		if v[key] == nil {
			return nil, false
		}
		out := maps.Clone(v)
		if rest, ok := without(v[key], path[1:]); ok {
			out[key] = rest
		} else {
			delete(out, key)
		}
		return out, true
	case []any:
		rest, ok := without(v[path[0].index], path[1:])
		if !ok {
			return nil, false
		}
		out := slices.Clone(v)
		out[path[0].index] = rest
		return out, true
	}
	return nil, false
}
