package dialect

import (
	"slices"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect/schema"
)

// Pruner takes out of the objects of one kind what nobody asks for: what the kind ignores with all below, and of the metadata what is
// the API server's own. What is read of a pruned object, and said of it, is the same: fields that have an effect stay, and so do those
// that have none and should, for the sake of their findings.
type Pruner struct {
	kind   *Kind
	schema *schema.Schema
	fields *field
	none   bool     // nobody reads more than metadata
	whole  []string // top-level fields that stay as they are
}

// NewPruner returns the Pruner of k's objects. The top-level fields that are named whole stay as they are, as "status" for who
// writes it.
func NewPruner(k *Kind, whole ...string) *Pruner {
	p := &Pruner{kind: k, schema: k.Schema, fields: fieldsOf(k), whole: whole}
	if p.schema == nil {
		p.schema = &schema.Schema{}
	}
	_, p.none = k.Ignored[""]
	p.none = p.none && k.Lower == nil
	return p
}

// kept is what stays in the tree of an object's metadata. Labels and annotations are fields of the object itself.
var kept = []string{"name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp"}

// applied is where kubectl apply keeps a copy of the whole object.
const applied = "kubectl.kubernetes.io/last-applied-configuration"

// Prune returns o with less. The two share values, and no map: a map that things are taken out of keeps its size.
func (p *Pruner) Prune(o *Object) *Object {
	less := *o
	less.Annotations = p.annotations(o.Annotations)
	less.Tree = make(map[string]any, len(o.Tree))
	for key, v := range o.Tree {
		switch {
		case key == "apiVersion", key == "kind", slices.Contains(p.whole, key):
			less.Tree[key] = v
		case key == "metadata":
			less.Tree[key] = pruneMetadata(v)
		case key == "data" && len(p.kind.Keys) > 0:
			less.Tree[key] = only(v, p.kind.Keys)
		case !p.none:
			p.field(less.Tree, key, v, p.schema, p.fields, false)
		}
	}
	return &less
}

func pruneMetadata(v any) any { return only(v, kept) }

// only leaves of a map what keys name.
func only(v any, keys []string) any {
	all, ok := v.(map[string]any)
	if !ok {
		return v
	}
	less := make(map[string]any, len(keys))
	for _, key := range keys {
		if v, ok := all[key]; ok {
			less[key] = v
		}
	}
	return less
}

// annotations keeps those that somebody reads. Kubernetes' own objects carry many that are for others.
func (p *Pruner) annotations(all map[string]string) map[string]string {
	ours := func(key string) bool {
		if p.kind.Dialect != decision.Core {
			return key != applied
		}
		return ofMesh(key) || slices.Contains(p.kind.Annotations, key)
	}
	var less map[string]string
	for key, v := range all {
		if !ours(key) {
			continue
		}
		if less == nil {
			less = map[string]string{}
		}
		less[key] = v
	}
	return less
}

// field puts into less what there is to keep of the field key of a map or object. s and f are those of what is around; inside:
// what is around is ignored with all below, but for what f names.
func (p *Pruner) field(less map[string]any, key string, v any, s *schema.Schema, f *field, inside bool) {
	step, inner := key, s.Inner(key)
	if s.Type == schema.MapType {
		step, inner = "{}", s.Element()
	}
	if inner == nil {
		less[key] = v // there is no such field, which is a finding
		return
	}
	if rest, ok := p.value(v, inner, f.step(step), inside); ok {
		less[key] = rest
	} else if slices.Contains(s.Required, key) {
		less[key] = v
	}
}

// value returns what there is to keep of v; false: nothing.
func (p *Pruner) value(v any, s *schema.Schema, f *field, inside bool) (any, bool) {
	switch {
	case f == nil:
		return v, !inside
	case (inside || f.ignored && f.all) && !f.matters():
		return nil, false
	case f.below == nil || f.effect && f.all:
		return v, true
	}
	inside = inside || f.ignored && f.all
	switch v := v.(type) {
	case map[string]any:
		less := make(map[string]any, min(len(v), len(f.below)))
		for key, x := range v {
			p.field(less, key, x, s, f, inside)
		}
		return less, true
	case []any:
		less := make([]any, len(v))
		for i, x := range v {
			less[i] = x
			if rest, ok := p.value(x, s.Element(), f.step("[]"), inside); ok {
				less[i] = rest
			}
		}
		return less, true
	}
	return v, true
}

// matters says whether f or a field below has an effect.
func (f *field) matters() bool {
	if f.effect {
		return true
	}
	for _, below := range f.below {
		if below.matters() {
			return true
		}
	}
	return false
}
