package mesh

import (
	"hash/maphash"
	"iter"
)

// Workloads is all workloads, by key. The zero Workloads is none.
type Workloads struct{ of index[Workload] }

// Get returns the workload of a key, or nil.
func (l Workloads) Get(key string) *Workload {
	for w := range l.of.under(maphash.String(seed, key)) {
		if w.called(key) {
			return w
		}
	}
	return nil
}

// Len is how many there are.
func (l Workloads) Len() int { return l.of.Len() }

// All yields all there are, in no order.
func (l Workloads) All() iter.Seq2[string, *Workload] {
	return func(yield func(string, *Workload) bool) {
		l.of.top.all(func(s spot[Workload]) bool { return yield(s.at.Key(), s.at) })
	}
}

// Keys yields the keys, in no order.
func (l Workloads) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		l.of.top.all(func(s spot[Workload]) bool { return yield(s.at.Key()) })
	}
}

// called says whether a key is w's, without making one.
func (w *Workload) called(key string) bool {
	n := len(w.Namespace)
	return len(key) == n+1+len(w.Name) && key[:n] == w.Namespace && key[n] == '/' && key[n+1:] == w.Name
}

// with applies changes. A key has one workload: of several the last that came.
func (l Workloads) with(e *edit, changes []Change) Workloads {
	for old, x := range each(changes, workloads) {
		key := x.Key()
		hash, there := maphash.String(seed, key), l.Get(key)
		if there != nil && (there == x || !old) {
			l.of = l.of.delete(e, hash, there)
		}
		if !old {
			l.of = l.of.set(e, hash, x)
		}
	}
	return l
}
