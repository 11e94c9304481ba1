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

	packed, whole *Object // the one that was unpacked last: what has changed is checked, and lowered soon after
}

// open is o with its tree.
func (r *round) open(o *Object) *Object {
	if r.packed != o {
		r.packed, r.whole = o, o.unpacked()
	}
	return r.whole
}

// remember keeps what k said before the round.
func (r *round) remember(k Key) {
	if _, done := r.before[k]; done {
		return
	}
	r.before[k] = mesh.Part{}
	if e := r.set.entries.get(k); e != nil {
		r.before[k] = e.part()
	}
}

func (r *round) delete(k Key) {
	s := r.set
	e := s.entries.get(k)
	if e == nil {
		r.looked(k)
		return
	}
	r.remember(k)
	s.forgetAsked(e)
	s.count(e.all(), -1)
	s.entries.delete(k)
	delete(r.dirty, k)
	delete(s.open, k)
	if ref := s.ref(e); e.kind == nil && s.strange[ref] == k {
		delete(s.strange, ref)
	}
	r.show(e, nil)
}

// looked takes note that somebody has looked for an object in vain.
func (r *round) looked(k Key) {
	_, sought := r.set.sought[k]
	if _, known := r.set.looked[k]; known || !sought {
		return
	}
	r.set.looked[k] = struct{}{}
	if asked := r.set.asked[dependency{Key: k}]; asked != nil {
		for e := range asked.by {
			r.dirty[e.key()] = true
		}
	}
}

func (r *round) put(o *Object) {
	s, k := r.set, o.Key()
	e := s.entries.get(k)
	if e == nil {
		e = &entry{kind: Find(s.kinds, k.Group, k.Kind)}
		s.index(e, o)
	} else if o = created(o, e.object.Created); o.Same(e.object) {
		e.moved(o)
		return
	}
	r.remember(k)
	delete(s.looked, k)
	e.object = o
	var flaws []mesh.Finding
	if e.kind == nil {
		_, flaws = kindOf(s.kinds, o)
	} else {
		flaws = check(e.kind, s.fields[e.kind], r.open(o))
	}
	s.remark(e, flaws, nil)
	r.dirty[k] = true
	if !anyError(flaws) {
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
	maps.DeleteFunc(r.set.indexed, func(x *Lookup, _ map[string][]*Object) bool {
		return x.Group == e.key().Group && x.Kind == e.key().Kind
	})
	for _, d := range append(listed(e.key()), dependency{Key: e.key()}) {
		delete(r.set.lists, d)
		if asked := r.set.asked[d]; asked != nil {
			for other := range asked.by {
				if other != e {
					r.dirty[other.key()] = true
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
			if e := r.set.entries.get(k); e != nil {
				r.remember(k)
				r.lower(e)
				r.set.watch(k)
			}
		}
	}
}

// lower reads the newest version of an object, and the last good one if that is not in force.
func (r *round) lower(e *entry) {
	r.set.forgetAsked(e)
	flaws := e.flaws()
	if e.kind == nil {
		e.says(mesh.Part{})
		r.set.remark(e, flaws, flaws)
		return
	}
	if e.kind.Status != nil {
		r.set.stirred[e.key()] = true
	}
	part, found := judge(e.kind, flaws, r.open(e.object), view{r.set, e})
	if !anyError(found) {
		e.says(part)
		r.set.remark(e, flaws, found)
		e.good = e.object
		r.show(e, e.object)
		return
	}
	part, found, shown := r.fallBack(e, part, found)
	e.says(part)
	r.set.remark(e, flaws, found)
	r.show(e, shown)
}

// fallBack brings the last good version of an object into force, if it is another than the newest, and returns it with what it and the findings
// say then.
func (r *round) fallBack(e *entry, part mesh.Part, found []mesh.Finding) (mesh.Part, []mesh.Finding, *Object) {
	if e.good == nil || e.good == e.object {
		return part, found, nil
	}
	last, wrong := lower(e.kind, e.good, view{r.set, e})
	if anyError(wrong) {
		return part, found, nil
	}
	found = slices.Clone(found)
	for i := range found {
		if found[i].Level == mesh.Error {
			found[i].Text += "; the last good version, of " + e.good.Source.String() + ", stays in force"
		}
	}
	return last, found, e.good
}

func (r *round) changes() map[Key]Change {
	out := map[Key]Change{}
	for k, old := range r.before {
		var now mesh.Part
		e := r.set.entries.get(k)
		if e != nil {
			now = e.part()
		}
		switch {
		case !reflect.DeepEqual(old, now):
			out[k] = Change{old, now}
		case e != nil: // the mesh finds what it is to forget by the place where it stands
			e.says(old)
		}
	}
	return out
}
