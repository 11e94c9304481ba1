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
	if e := v.set.entries[k]; e != nil {
		return e.shown
	}
	return nil
}

func (v view) List(group, kind, namespace string) []*Object {
	d := dependency{Key{Group: group, Kind: kind, Namespace: namespace}, true}
	v.note(d)
	if list, ok := v.set.lists[d]; ok {
		return list
	}
	var list []*Object
	for _, e := range v.set.byKind[d] {
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

func (v view) note(d dependency) {
	if v.of.asked == nil {
		v.of.asked = map[dependency]bool{}
	}
	v.of.asked[d] = true
	if v.set.asked[d] == nil {
		v.set.asked[d] = map[Key]bool{}
	}
	v.set.asked[d][v.of.key] = true
}

func (s *Set) forgetAsked(e *entry) {
	for d := range e.asked {
		if delete(s.asked[d], e.key); len(s.asked[d]) == 0 {
			delete(s.asked, d)
		}
	}
	e.asked = nil
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

// indexName tells apart the objects of a list.
func indexName(list dependency, k Key) string {
	if list.Namespace == "" {
		return k.Namespace + "/" + k.Name
	}
	return k.Name
}

func (s *Set) index(e *entry, o *Object) {
	e.object = o
	s.entries[e.key] = e
	s.byRef[s.ref(e)] = e.key
	for _, d := range listed(e.key) {
		if s.byKind[d] == nil {
			s.byKind[d] = map[string]*entry{}
		}
		s.byKind[d][indexName(d, e.key)] = e
	}
}

// ref is the object's name as findings carry it.
func (s *Set) ref(e *entry) decision.Ref {
	if e.kind == nil {
		return e.object.Ref(dialectOf(s.kinds, e.key.Group))
	}
	return e.object.Ref(e.kind.Dialect)
}
