package dialect

import (
	"maps"
	"reflect"
	"slices"

	"github.com/weft-mesh/weft/mesh"
)

// maxRounds bounds how far a change can travel: an object whose version in force changes makes those lower again that
// asked for it. Real objects ask for others that ask for nobody, so two rounds are the rule; only a circle of objects that
// undo each other would go on.
const maxRounds = 8

// round is one Apply.
type round struct {
	set    *Set
	before map[Key]mesh.Part
	dirty  map[Key]bool // to be lowered
}

// remember keeps what k said before the round.
func (r *round) remember(k Key) {
	if _, done := r.before[k]; done {
		return
	}
	r.before[k] = mesh.Part{}
	if e := r.set.entries[k]; e != nil {
		r.before[k] = e.part
	}
}

func (r *round) delete(k Key) {
	s := r.set
	e := s.entries[k]
	if e == nil {
		return
	}
	r.remember(k)
	s.forgetAsked(e)
	delete(s.entries, k)
	delete(r.dirty, k)
	if ref := s.ref(e); e.kind == nil && s.strange[ref] == k {
		delete(s.strange, ref)
	}
	for _, d := range listed(k) {
		delete(s.byKind[d], e)
	}
	r.show(e, nil)
}

func (r *round) put(o *Object) {
	s, k := r.set, o.Key()
	e := s.entries[k]
	if e == nil {
		e = &entry{key: k, kind: Find(s.kinds, k.Group, k.Kind)}
		s.index(e, o)
	} else if o = created(o, e.object.Created); o.Same(e.object) {
		e.moved(o)
		return
	}
	r.remember(k)
	e.object = o
	if e.kind == nil {
		_, e.flaws = kindOf(s.kinds, o)
	} else {
		e.flaws = check(e.kind, s.fields[e.kind], o)
	}
	r.dirty[k] = true
	if !anyError(e.flaws) {
		r.show(e, o) // until it is lowered there is no better guess
	}
}

// moved takes over a version that says the same and stands elsewhere.
func (e *entry) moved(o *Object) {
	if e.shown == e.object {
		e.shown = o
	}
	if e.good == e.object {
		e.good = o
	}
	e.object = o
}

// show changes what others see of an object, and marks who asked.
func (r *round) show(e *entry, o *Object) {
	if e.shown == o {
		return
	}
	e.shown = o
	for _, d := range append(listed(e.key), dependency{Key: e.key}) {
		delete(r.set.lists, d)
		if asked := r.set.asked[d]; asked != nil {
			for other := range asked.by {
				if other != e {
					r.dirty[other.key] = true
				}
			}
		}
	}
}

// settle lowers what is dirty until nothing is.
func (r *round) settle() {
	for n := 0; len(r.dirty) > 0 && n < maxRounds; n++ {
		now := slices.SortedFunc(maps.Keys(r.dirty), Key.Compare)
		r.dirty = map[Key]bool{}
		for _, k := range now {
			if e := r.set.entries[k]; e != nil {
				r.remember(k)
				r.lower(e)
			}
		}
	}
}

// lower reads the newest version of an object, and the last good one if that is not in force.
func (r *round) lower(e *entry) {
	r.set.forgetAsked(e)
	e.part, e.found = mesh.Part{}, e.flaws
	if e.kind == nil {
		return
	}
	if e.kind.Status != nil {
		r.set.stirred[e.key] = true
	}
	e.part, e.found = judge(e.kind, e.flaws, e.object, view{r.set, e})
	if !anyError(e.found) {
		e.good = e.object
		r.show(e, e.object)
		return
	}
	r.show(e, r.fallBack(e))
}

// fallBack brings the last good version of an object into force, if it is another than the newest, and returns it.
func (r *round) fallBack(e *entry) *Object {
	if e.good == nil || e.good == e.object {
		return nil
	}
	part, found := lower(e.kind, e.good, view{r.set, e})
	if anyError(found) {
		return nil
	}
	e.part = part
	e.found = slices.Clone(e.found)
	for i := range e.found {
		if e.found[i].Level == mesh.Error {
			e.found[i].Text += "; the last good version, of " + e.good.Source.String() + ", stays in force"
		}
	}
	return e.good
}

func (r *round) changes() map[Key]Change {
	out := map[Key]Change{}
	for k, old := range r.before {
		var now mesh.Part
		if e := r.set.entries[k]; e != nil {
			now = e.part
		}
		if !reflect.DeepEqual(old, now) {
			out[k] = Change{old, now}
		}
	}
	return out
}
