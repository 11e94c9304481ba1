package dialecttest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

// CheckFields is the honesty check of the kinds, among those given, that occur in the YAML documents: each path in Fields
// has to occur there, and at one place at least a change of the value there has to change the part or the findings of its
// object, or the part of an object that looks at it. Otherwise the test fails: the field is listed as supported and has no
// effect. For a path that ends in ".*" that is so for every field below that occurs. Documents of other kinds are there for
// View; they name their namespace.
func CheckFields(t testing.TB, kinds []dialect.Kind, yaml string) {
	t.Helper()
	objects := Objects(t, kinds, yaml)
	for i := range kinds {
		if k := &kinds[i]; k.Lower != nil && slices.ContainsFunc(objects, of(k)) {
			checkKind(t, kinds, k, objects)
		}
	}
}

func of(k *dialect.Kind) func(*dialect.Object) bool {
	return func(o *dialect.Object) bool { return o.Group == k.Group && o.Kind == k.Name }
}

func checkKind(t testing.TB, kinds []dialect.Kind, k *dialect.Kind, objects []*dialect.Object) {
	t.Helper()
	effect := map[string]bool{} // by the pattern of every leaf that a path covers
	parts, _ := read(kinds, objects)
	for i, o := range objects {
		if of(k)(o) {
			e := experiment{kinds: kinds, kind: k, objects: objects, at: i, effect: effect, parts: parts}
			_, e.found = dialect.Read(kinds, o, View(objects))
			if e.failed() {
				t.Errorf("%s %s: the sample is not in force: %v", k.Name, o.Name, e.found)
			}
			e.walk("", o.Tree)
		}
	}
	for _, path := range k.Fields {
		e := experiment{kind: &dialect.Kind{Fields: []string{path}}}
		met := false
		for leaf, changed := range effect {
			if e.lists(leaf) {
				met = true
				if !changed {
					t.Errorf("%s: %s is listed as supported, and changing it changes nothing", k.Name, leaf)
				}
			}
		}
		if !met {
			t.Errorf("%s: %s is listed as supported, and no sample has it", k.Name, path)
		}
	}
}

// experiment changes one object, field by field.
type experiment struct {
	kinds   []dialect.Kind
	kind    *dialect.Kind
	objects []*dialect.Object
	at      int // of the object
	effect  map[string]bool
	parts   []mesh.Part // of all objects, unchanged
	found   []mesh.Finding
}

func (e *experiment) failed() bool {
	return slices.ContainsFunc(e.found, func(f mesh.Finding) bool { return f.Level == mesh.Error })
}

// lists says whether a leaf's pattern is covered by a path of Fields.
func (e *experiment) lists(leaf string) bool {
	return slices.ContainsFunc(e.kind.Fields, func(path string) bool {
		if stem, all := strings.CutSuffix(path, ".*"); all {
			rest, below := strings.CutPrefix(leaf, stem)
			return below && (rest == "" || strings.ContainsRune(".[{", rune(rest[0])))
		}
		return leaf == path || trimElem(leaf) == trimElem(path)
	})
}

func trimElem(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(path, "[]"), "{}")
}

// walk tries every plain value below v, which stands at a pattern; in maps of the schema, "{}" stands for the key.
func (e *experiment) walk(pattern string, v any) {
	s := e.kind.Schema.At(pattern)
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if pattern == "" && slices.Contains([]string{"apiVersion", "kind", "metadata"}, key) {
				continue
			}
			at := strings.TrimPrefix(pattern+"."+key, ".")
			if s != nil && s.Type == schema.MapType {
				at = pattern + "{}"
			}
			e.leaf(at, inner, func(to any) { v[key] = to })
		}
	case []any:
		for i, inner := range v {
			e.leaf(pattern+"[]", inner, func(to any) { v[i] = to })
		}
	}
}

// leaf changes a plain value through put, looks, and puts it back.
func (e *experiment) leaf(pattern string, v any, put func(any)) {
	switch v.(type) {
	case map[string]any, []any:
		e.walk(pattern, v)
		return
	}
	if v == nil || !e.lists(pattern) || e.effect[pattern] {
		return
	}
	e.effect[pattern] = slices.ContainsFunc(others(e.kind.Schema.At(pattern), v), func(other any) bool {
		put(other)
		defer put(v)
		return e.differs()
	})
}

// differs says whether the object, as it is now, is valid and has another part or other findings than before.
func (e *experiment) differs() bool {
	o := fresh(e.objects[e.at])
	objects := slices.Clone(e.objects)
	objects[e.at] = o
	if _, found := dialect.Read(unlowered(e.kind), o, nil); slices.ContainsFunc(found, func(f mesh.Finding) bool { return f.Level == mesh.Error }) {
		return false
	}
	part, found := dialect.Read(e.kinds, o, View(objects))
	return !reflect.DeepEqual(part, e.parts[e.at]) || !reflect.DeepEqual(found, e.found) || e.reaches(objects)
}

// reaches says whether any other object has another part than before, since it looks at the changed one.
func (e *experiment) reaches(changed []*dialect.Object) bool {
	for i, o := range changed {
		if part, _ := dialect.Read(e.kinds, o, View(changed)); i != e.at && !reflect.DeepEqual(part, e.parts[i]) {
			return true
		}
	}
	return false
}

// unlowered is the kind without its Lower: what is left is the comparison with its schema.
func unlowered(k *dialect.Kind) []dialect.Kind {
	only := *k
	only.Lower = nil
	return []dialect.Kind{only}
}

// fresh copies an object, so that no reader that remembers objects by pointer is fooled.
func fresh(o *dialect.Object) *dialect.Object {
	c := *o
	text, err := json.Marshal(o.Tree)
	if err != nil {
		panic(err)
	}
	if c.Tree, err = reparse(text); err != nil {
		panic(err)
	}
	return &c
}
