package observe

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// Key is what a Bounded is indexed by.
type Key[K any] interface {
	comparable
	// Own returns the key with copies of the strings that a record has lent.
	Own() K
}

// Name is a Key of one word.
type Name string

// Own implements Key.
func (n Name) Own() Name { return Name(strings.Clone(string(n))) }

// Bounded is a map of a bounded number of entries, for what sinks count by. It is read without a lock, and copied to grow: the
// entries of a running mesh soon are all there. The zero Bounded is empty.
type Bounded[K Key[K], V any] struct {
	m  atomic.Pointer[map[K]*V]
	mu sync.Mutex
}

// Peek returns the value of k; nil: there is none.
func (b *Bounded[K, V]) Peek(k K) *V { return b.All()[k] }

// Get returns the value of k, and makes it if there are fewer than most; nil: there are most others.
func (b *Bounded[K, V]) Get(k K, most int) *V {
	m := b.All()
	if v := m[k]; v != nil || len(m) >= most {
		return v
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m = b.All()
	if v := m[k]; v != nil || len(m) >= most {
		return v
	}
	next := make(map[K]*V, len(m)+1)
	maps.Copy(next, m)
	v := new(V)
	next[k.Own()] = v
	b.m.Store(&next)
	return v
}

// Drop removes the entries that idle says nobody needs, and returns how many there were. What is added to them at the same time
// is lost.
func (b *Bounded[K, V]) Drop(idle func(*V) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.All()
	next := maps.Clone(old)
	maps.DeleteFunc(next, func(_ K, v *V) bool { return idle(v) })
	if len(next) < len(old) {
		b.m.Store(&next)
	}
	return len(old) - len(next)
}

// All returns the entries as they are now; the map must not be changed.
func (b *Bounded[K, V]) All() map[K]*V {
	if m := b.m.Load(); m != nil {
		return *m
	}
	return nil
}
