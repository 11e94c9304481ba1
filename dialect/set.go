package dialect

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/mesh"
)

// Set is all objects, what each says, and what there is to say of them. It is changed by Apply, whose work grows with what the
// change touches: the objects in it, and those whose readers asked for them. One goroutine at a time may use a Set.
//
// Last good: a version of an object that has Error findings does not displace the last one that had none. Other objects see
// the version that is in force.
type Set struct {
	kinds   []Kind
	fields  map[*Kind]*field
	entries entries
	strange map[decision.Ref]Key             // objects whose kind nobody knows
	lists   map[dependency][]*Object         // answers of List, until an object of the kind changes
	indexed map[*Lookup]map[string][]*Object // answers of Find, as long
	asked   map[dependency]*askers           // who asked for what
	reports map[string][]Located
	stirred map[Key]bool        // objects whose status may have changed
	open    map[Key]bool        // objects of which Unguarded says something
	said    [mesh.Error + 1]int // findings about objects, by level

	seeks  sort // see Seek
	sought map[Key]struct{}
	looked map[Key]struct{} // for those, in vain
	anew   bool

	// Adopts says whether weft writes the statuses of objects that do not name who is to, by their Namespace, which is not nil. Nil: of none.
	Adopts func(namespace *Object) bool
}

// Change is what an object said before and says now.
type Change struct{ Old, New mesh.Part }

// entry is what is known of one key. Of a cluster's 100,000 Pods each has one.
type entry struct {
	kind   *Kind   // nil: nobody knows it
	object *Object // the newest version
	good   *Object // the last version that was once in force; nil: none
	shown  *Object // what other objects see; nil: nothing

	remarks *remarks  // nil: there is nothing to say
	said    any       // its part in force: the one workload, service or set of endpoints that is all of it, a *mesh.Part of 264 bytes, or nil
	asked   []*askers // that it is among
}

// remarks are findings of the newest version.
type remarks struct {
	flaws []mesh.Finding // without looking at others
	found []mesh.Finding // all that its reader says
	noted []mesh.Finding // by others, see Note
}

func (e *entry) key() Key { return e.object.Key() }

// part is what the object says, in force.
func (e *entry) part() mesh.Part {
	switch one := e.said.(type) {
	case *[1]mesh.Workload:
		return mesh.Part{Workloads: one[:]}
	case *[1]mesh.EndpointSet:
		return mesh.Part{Endpoints: one[:]}
	case *[1]mesh.Service:
		return mesh.Part{Services: one[:]}
	case *mesh.Part:
		return *one
	}
	return mesh.Part{}
}

func (e *entry) says(p mesh.Part) {
	switch n := p.Len(); {
	case n == 0:
		e.said = nil
	case n == 1 && len(p.Workloads) == 1:
		e.said = (*[1]mesh.Workload)(p.Workloads)
	case n == 1 && len(p.Endpoints) == 1:
		e.said = (*[1]mesh.EndpointSet)(p.Endpoints)
	case n == 1 && len(p.Services) == 1:
		e.said = (*[1]mesh.Service)(p.Services)
	default:
		all := p // p itself would be on the heap for every Pod too
		e.said = &all
	}
}

func (e *entry) flaws() []mesh.Finding {
	if e.remarks == nil {
		return nil
	}
	return e.remarks.flaws
}

func (e *entry) found() []mesh.Finding {
	if e.remarks == nil {
		return nil
	}
	return e.remarks.found
}

func (e *entry) noted() []mesh.Finding {
	if e.remarks == nil {
		return nil
	}
	return e.remarks.noted
}

// all is what there is to say, whoever says it.
func (e *entry) all() []mesh.Finding { return slices.Concat(e.found(), e.noted()) }

// remark keeps what a reader has to say of an object.
func (s *Set) remark(e *entry, flaws, found []mesh.Finding) {
	s.count(e.found(), -1)
	s.count(found, 1)
	noted := e.noted()
	if e.remarks = nil; len(flaws)+len(found)+len(noted) > 0 {
		e.remarks = &remarks{flaws, found, noted}
	}
}

func (s *Set) count(found []mesh.Finding, n int) {
	for i := range found {
		s.said[found[i].Level] += n
	}
}

// Count returns how many findings of a level there are, of objects and by Report.
func (s *Set) Count(l mesh.Level) int {
	n := s.said[l]
	for _, list := range s.reports {
		for i := range list {
			if list[i].Level == l {
				n++
			}
		}
	}
	return n
}

// entries are found by what they are of: by kind, namespace and name. Where namespaces have a map each, 100,000 keys are names alone, and all
// of a kind in a namespace are together.
type entries map[sort]map[string]map[string]*entry

type sort struct{ group, kind string }

func (m entries) get(k Key) *entry { return m[sort{k.Group, k.Kind}][k.Namespace][k.Name] }

func (m entries) set(k Key, e *entry) {
	of := m[sort{k.Group, k.Kind}]
	if of == nil {
		of = map[string]map[string]*entry{}
		m[sort{k.Group, k.Kind}] = of
	}
	if of[k.Namespace] == nil {
		of[k.Namespace] = map[string]*entry{}
	}
	of[k.Namespace][k.Name] = e
}

func (m entries) delete(k Key) {
	of := m[sort{k.Group, k.Kind}]
	if delete(of[k.Namespace], k.Name); len(of[k.Namespace]) == 0 {
		delete(of, k.Namespace)
	}
	if len(of) == 0 {
		delete(m, sort{k.Group, k.Kind})
	}
}

func (m entries) all(yield func(*entry) bool) {
	for of := range m {
		for e := range m.of(of, "") {
			if !yield(e) {
				return
			}
		}
	}
}

// of yields those of a kind in a namespace; empty: everywhere.
func (m entries) of(k sort, namespace string) iter.Seq[*entry] {
	if namespace != "" {
		return maps.Values(m[k][namespace])
	}
	return func(yield func(*entry) bool) {
		for _, in := range m[k] {
			for _, e := range in {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// dependency is what a reader may ask for: an object, or all of a kind in a namespace or everywhere.
type dependency struct {
	Key
	list bool
}

// askers are who asked for a thing.
type askers struct {
	of dependency
	by map[*entry]struct{}
}

// NewSet returns an empty set of objects of these kinds, which stay as they are from now on.
func NewSet(kinds []Kind) *Set {
	s := &Set{kinds: kinds, fields: map[*Kind]*field{}, entries: entries{}, strange: map[decision.Ref]Key{},
		lists: map[dependency][]*Object{}, indexed: map[*Lookup]map[string][]*Object{}, asked: map[dependency]*askers{},
		reports: map[string][]Located{}, stirred: map[Key]bool{}, open: map[Key]bool{}}
	for i := range kinds {
		s.fields[&kinds[i]] = fieldsOf(&kinds[i])
	}
	return s
}

// Seek has it noted which objects of a kind readers ask for by name, there or not: a source need not read the others. It deletes those that it
// has looked for and that are not there: before, nobody knows.
func (s *Set) Seek(group, kind string) {
	s.seeks, s.sought, s.looked = sort{group, kind}, map[Key]struct{}{}, map[Key]struct{}{}
}

// Sought returns the objects that Seek is about, in no order, if they may be others than when it was last asked.
func (s *Set) Sought() (keys []Key, anew bool) {
	if !s.anew {
		return nil, false
	}
	s.anew = false
	maps.DeleteFunc(s.looked, func(k Key, _ struct{}) bool { _, yes := s.sought[k]; return !yes }) // nobody looks for it any more
	return slices.Collect(maps.Keys(s.sought)), true
}

func (s *Set) seek(d dependency, yes bool) {
	switch {
	case s.sought == nil || d.list || s.seeks != (sort{d.Group, d.Kind}):
		return
	case yes:
		s.sought[d.Key] = struct{}{}
	default:
		delete(s.sought, d.Key)
	}
	s.anew = true
}

// Apply puts and deletes objects together and returns what that changes, by object. A version of an object that names no
// creation time keeps the one that its key had.
func (s *Set) Apply(put []*Object, gone []Key) map[Key]Change {
	r := round{set: s, before: map[Key]mesh.Part{}, dirty: map[Key]bool{}}
	for _, k := range gone {
		r.delete(k)
	}
	for _, o := range put {
		r.put(o)
	}
	r.settle()
	return r.changes()
}

// Put is Apply of one object.
func (s *Set) Put(o *Object) map[Key]Change { return s.Apply([]*Object{o}, nil) }

// Delete is Apply of one key that is gone.
func (s *Set) Delete(k Key) map[Key]Change { return s.Apply(nil, []Key{k}) }

// Stirred returns the objects whose status may have changed since it was last asked, sorted: those that were read again, since they or
// what their reader or their status looked at has changed.
func (s *Set) Stirred() []Key {
	out := slices.SortedFunc(maps.Keys(s.stirred), Key.Compare)
	s.stirred = map[Key]bool{}
	return out
}

// Status says what an object's status is to be; nil: it is gone, or its status is not weft's to write. What it looks at is noted, so that
// the object is among those stirred when that changes.
func (s *Set) Status(k Key) Status {
	e := s.entries.get(k)
	if e == nil || e.kind == nil || e.kind.Status == nil || e.kind.Unclaimed && !s.adopted(e) {
		return nil
	}
	return e.kind.Status(e.object, view{s, e}, e.all())
}

// Note keeps what is found of an object by others than its reader, as by who acts on what it says, in place of what was noted before. It is
// no Error: the object is in force. changed: it is other than before.
func (s *Set) Note(r decision.Ref, found []mesh.Finding) (changed bool) {
	return s.note(s.entryOf(r.At("")), found)
}

// NoteOn is Note of a key.
func (s *Set) NoteOn(k Key, found []mesh.Finding) (changed bool) {
	return s.note(s.entries.get(k), found)
}

func (s *Set) note(e *entry, found []mesh.Finding) (changed bool) {
	if e == nil || slices.Equal(e.noted(), found) {
		return false
	}
	s.count(e.noted(), -1)
	s.count(found, 1)
	if e.remarks = (&remarks{e.flaws(), e.found(), found}); len(e.flaws())+len(e.all()) == 0 {
		e.remarks = nil
	}
	if e.kind != nil && e.kind.Status != nil {
		s.stirred[e.key()] = true
	}
	return true
}

func (s *Set) adopted(e *entry) bool {
	ns := view{s, e}.Get("", "Namespace", "", e.key().Namespace) // which is noted, so that a new label counts at once
	return ns != nil && s.Adopts != nil && s.Adopts(ns)
}

// StirUnclaimed has the statuses asked for again that depend on Adopts, which says now what it did not before.
func (s *Set) StirUnclaimed() {
	for e := range s.entries.all {
		if e.kind != nil && e.kind.Unclaimed {
			s.stirred[e.key()] = true
		}
	}
}

// Get returns the newest version of an object, in force or not; nil: there is none.
func (s *Set) Get(group, kind, namespace, name string) *Object {
	if e := s.entries.get(Key{group, kind, namespace, name}); e != nil {
		return e.object
	}
	return nil
}

// Refused says whether the newest version of an object is not in force.
func (s *Set) Refused(k Key) bool {
	e := s.entries.get(k)
	return e != nil && anyError(e.found())
}

// All returns the newest version of every object, sorted by position.
func (s *Set) All() []*Object {
	return s.collect(func(e *entry) *Object { return e.object })
}

// Good returns the last good version of every object that has one and is of a kind that is kept, sorted by position: what to keep over a
// restart. kept is asked of groups and kinds alone.
func (s *Set) Good(kept func(Key) bool) []*Object {
	keeps := map[*Kind]bool{nil: false} // nobody knows it: no version of it is good
	return s.collect(func(e *entry) *Object {
		if e.good == nil {
			return nil
		}
		keep, known := keeps[e.kind]
		if !known {
			keep = kept(Key{Group: e.kind.Group, Kind: e.kind.Name})
			keeps[e.kind] = keep
		}
		if !keep {
			return nil
		}
		return e.good
	})
}

// WasGood says of objects, which have been applied, that an earlier run had these versions in force. They are the last good ones, also where
// what they need to be in force again is not there yet; such as do not fit their kind are not.
func (s *Set) WasGood(objects []*Object) {
	for _, o := range objects {
		e := s.entries.get(o.Key())
		if e != nil && e.kind != nil && e.good == nil && !anyError(e.flaws()) {
			e.good = e.object
		}
	}
}

func (s *Set) collect(version func(*entry) *Object) (out []*Object) {
	for e := range s.entries.all {
		if o := version(e); o != nil {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *Object) int {
		return cmp.Or(a.Source.compare(b.Source), a.Key().Compare(b.Key()))
	})
	return out
}

// Parts returns what every object that is in force says.
func (s *Set) Parts() map[Key]mesh.Part {
	out := map[Key]mesh.Part{}
	for e := range s.entries.all {
		if p := e.part(); !p.Empty() {
			out[e.key()] = p
		}
	}
	return out
}

// Unguarded returns why no version of an object is in force whose kind guards calls, or seems to be a misspelled one that does;
// none: one is, or it guards nothing.
func (s *Set) Unguarded(k Key) (why []Located) {
	e := s.entries.get(k)
	if e == nil || e.kind != nil && !e.kind.guards(e.object) || e.shown != nil {
		return nil
	}
	for _, f := range e.found() {
		if f.Level == mesh.Error {
			why = append(why, Located{e.object.At(f.Field), f})
		}
	}
	return why
}

// Open returns the objects of which Unguarded says something, sorted. What it costs grows with them alone.
func (s *Set) Open() []Key { return slices.SortedFunc(maps.Keys(s.open), Key.Compare) }

// watch keeps account of those.
func (s *Set) watch(k Key) {
	if len(s.Unguarded(k)) > 0 {
		s.open[k] = true
	} else {
		delete(s.open, k)
	}
}

// Guards says whether an object guards calls.
func (s *Set) Guards(k Key) bool {
	e := s.entries.get(k)
	return e != nil && e.kind != nil && e.kind.guards(e.object)
}

func (k *Kind) guards(o *Object) bool { return k.Guards && (k.Harmless == nil || !k.Harmless(o)) }

// Lost returns why something that guards calls is not in force of which no object tells: what sources reported of objects that
// they did not give, and of files that could not be read.
func (s *Set) Lost() (why []Located) {
	for _, name := range slices.Sorted(maps.Keys(s.reports)) {
		for _, f := range s.reports[name] {
			if f.Level == mesh.Error && (f.Ref.Kind == FileKind || s.guards(f.Ref)) {
				why = append(why, f)
			}
		}
	}
	return why
}

func (s *Set) guards(r decision.Ref) bool {
	return slices.ContainsFunc(s.kinds, func(k Kind) bool { return k.Guards && k.Dialect == r.Dialect && k.Name == r.Kind })
}

// Report keeps what a source has to say of what it could not read, in place of what it said before.
func (s *Set) Report(source string, found []Located) { s.reports[source] = found }

// Findings returns all there is to say, of objects and by Report, sorted by position.
func (s *Set) Findings() (out []Located) {
	for e := range s.entries.all {
		for _, f := range e.all() {
			out = append(out, Located{e.object.At(f.Field), f})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.reports)) {
		out = append(out, s.reports[name]...)
	}
	slices.SortStableFunc(out, Located.compare)
	return out
}

// Locate says where what a finding speaks of stands, whoever made the finding; the zero Position: nobody knows.
func (s *Set) Locate(f mesh.Finding) Position {
	path := f.Field
	if path == "" {
		path = f.Ref.Rule
	}
	if e := s.entryOf(f.Ref); e != nil {
		return e.object.At(path)
	}
	return Position{}
}

// entryOf is the object that a Ref names; nil: there is none. An index of all by Ref would take 200 bytes of each.
func (s *Set) entryOf(r decision.Ref) *entry {
	for i := range s.kinds {
		if k := &s.kinds[i]; k.Dialect == r.Dialect && k.Name == r.Kind {
			if e := s.entries.get(Key{k.Group, k.Name, r.Namespace, r.Name}); e != nil {
				return e
			}
		}
	}
	return s.entries.get(s.strange[r.At("")])
}

func (p Position) compare(q Position) int { return cmp.Or(cmp.Compare(p.File, q.File), p.Line-q.Line) }

// Compare orders keys by group, kind, namespace and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Group, o.Group), cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.Namespace, o.Namespace),
		cmp.Compare(k.Name, o.Name))
}

func (l Located) compare(m Located) int {
	return cmp.Or(l.Position.compare(m.Position), cmp.Compare(l.Ref.String(), m.Ref.String()), cmp.Compare(l.Field, m.Field),
		cmp.Compare(m.Level, l.Level), cmp.Compare(l.Text, m.Text))
}

// created gives o the creation time of its key's earlier version, unless it names its own.
func created(o *Object, since time.Time) *Object {
	if o.Created.Equal(since) {
		return o
	}
	if meta, _ := o.Whole()["metadata"].(map[string]any); meta["creationTimestamp"] != nil {
		return o
	}
	c := *o
	c.Created = since
	return &c
}
