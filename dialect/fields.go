package dialect

import (
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect/schema"
)

// field is a node of the tree of all paths that a Kind speaks of.
type field struct {
	below   map[string]*field
	effect  bool   // this very field has an effect
	ignored bool   // it is right to have none
	all     bool   // what effect or ignored says is true of all below
	reason  string // why it is ignored
	why     string // it could have an effect and has none
	deepWhy bool   // some field below has a why
	known   bool   // this field or one below has an effect or is ignored
}

func fieldsOf(k *Kind) *field {
	root := &field{}
	for _, p := range slices.Concat(k.Fields, k.Kept) {
		at, all := root.reach(p, (*field).setKnown)
		at.effect, at.all = true, at.all || all
	}
	for p, reason := range k.Ignored {
		at, all := root.reach(p, (*field).setKnown)
		at.ignored, at.reason, at.all = true, reason, at.all || all
	}
	for p, why := range k.Unsupported {
		at, _ := root.reach(p, (*field).setDeepWhy)
		at.why = why
	}
	return root
}

func (f *field) setKnown()   { f.known = true }
func (f *field) setDeepWhy() { f.deepWhy = true }

// reach returns the node of path, and whether path speaks of all below it; on is called for each node on the way.
func (f *field) reach(path string, on func(*field)) (*field, bool) {
	path, all := strings.CutSuffix(path, ".*")
	for _, step := range schema.Steps(path) {
		on(f)
		if f.below == nil {
			f.below = map[string]*field{}
		}
		if f.below[step] == nil {
			f.below[step] = &field{}
		}
		f = f.below[step]
	}
	if path != "" {
		on(f)
	}
	return f, all
}

// step returns the node below, or nil; of a nil node too.
func (f *field) step(step string) *field {
	if f == nil {
		return nil
	}
	return f.below[step]
}

// supported says whether a plain value here, or an element of a list or map of them, has an effect or needs none.
func (f *field) supported() bool { return f != nil && (f.effect || f.ignored) }

// lost says whether nothing at or below f has an effect, and no field below has its own explanation.
func (f *field) lost() bool { return f == nil || !f.known && (f.why != "" || !f.deepWhy) }

// Below puts a path before each of a list of fields.
func Below(path string, fields ...string) (out []string) {
	for _, f := range fields {
		out = append(out, path+"."+f)
	}
	return out
}
