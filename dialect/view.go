package dialect

import (
	"cmp"
	"slices"

	"github.com/weft-mesh/weft/decision"
)

// view is what one object's reader sees of a Set; what it asks for is noted.
type view struct {
	set *Set
	of  *entry
}

func (v view) Get(group, kind, namespace, name string) *Object {
	k := Key{group, kind, namespace, name}
	v.note(dependency{Key: k})
	if e := v.set.entries.get(k); e != nil {
		return e.shown
	}
	return nil
}

func (v view) Absent(group, kind, namespace, name string) bool {
	k := Key{group, kind, namespace, name}
	v.note(dependency{Key: k})
	_, looked := v.set.looked[k]
	return v.set.entries.get(k) == nil && (looked || v.set.sought == nil || v.set.seeks != sort{group, kind})
}

func (v view) List(group, kind, namespace string) []*Object {
	d := dependency{Key{Group: group, Kind: kind, Namespace: namespace}, true}
	v.note(d)
	if list, ok := v.set.lists[d]; ok {
		return list
	}
	var list []*Object
	for e := range v.set.entries.of(sort{group, kind}, namespace) {
		if e.shown != nil {
			list = append(list, e.shown)
		}
	}
	slices.SortFunc(list, func(a, b *Object) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	v.set.lists[d] = list
	return list
}

// Find notes that all of the kind were asked for: which of them have the key is not known before they change.
func (v view) Find(x *Lookup, key string) []*Object {
	list := v.List(x.Group, x.Kind, "")
	by, ok := v.set.indexed[x]
	if !ok {
		by = x.By(list)
		v.set.indexed[x] = by
	}
	return by[key]
}

// note: an object asks for few things, and for one thing, as a namespace, ask many.
func (v view) note(d dependency) {
	a := v.set.asked[d]
	if a == nil {
		a = &askers{of: d, by: map[*entry]struct{}{}}
		v.set.asked[d] = a
		v.set.seek(d, true)
	}
	if _, known := a.by[v.of]; !known {
		a.by[v.of] = struct{}{}
		v.of.asked = append(v.of.asked, a)
	}
}

func (s *Set) forgetAsked(e *entry) {
	for _, a := range e.asked {
		if delete(a.by, e); len(a.by) == 0 {
			delete(s.asked, a.of)
			s.seek(a.of, false)
		}
	}
	clear(e.asked)
	e.asked = e.asked[:0]
}

// listed is the lists that an object of a key is in.
func listed(k Key) []dependency {
	all := dependency{Key{Group: k.Group, Kind: k.Kind}, true}
	if k.Namespace == "" {
		return []dependency{all}
	}
	one := all
	one.Namespace = k.Namespace
	return []dependency{all, one}
}

func (s *Set) index(e *entry, o *Object) {
	e.object = o
	s.entries.set(e.key(), e)
	if e.kind == nil {
		s.strange[s.ref(e)] = e.key()
	}
}

// ref is the object's name as findings carry it.
func (s *Set) ref(e *entry) decision.Ref {
	if e.kind == nil {
		return e.object.Ref(dialectOf(s.kinds, e.object.Group))
	}
	return e.object.Ref(e.kind.Dialect)
}
