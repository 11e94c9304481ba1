package mesh

import (
	"hash/maphash"
	"iter"
	"slices"
)

// Table is a map that is never changed: one that differs in some keys is made in a time that grows with those, and shares the rest. The zero
// Table is empty.
type Table[K comparable, V any] struct{ trie[pair[K, V]] }

type pair[K comparable, V any] struct {
	key   K
	value V
}

func (p pair[K, V]) hash() uint64 { return maphash.Comparable(seed, p.key) }

var seed = maphash.MakeSeed()

// Get returns what is under a key; the zero V: nothing is.
func (t Table[K, V]) Get(k K) (v V) {
	leaf := t.at(maphash.Comparable(seed, k))
	for i := range leaf {
		if leaf[i].key == k {
			return leaf[i].value
		}
	}
	return v
}

// All yields all there is, in no order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		t.top.all(func(p pair[K, V]) bool { return yield(p.key, p.value) })
	}
}

// Keys yields the keys, in no order.
func (t Table[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		t.top.all(func(p pair[K, V]) bool { return yield(p.key) })
	}
}

// set returns t with a key. What was made under e is changed in place.
func (t Table[K, V]) set(e *edit, k K, v V) Table[K, V] {
	return Table[K, V]{t.trie.set(e, pair[K, V]{k, v}, func(p pair[K, V]) bool { return p.key == k })}
}

// delete returns t without a key.
func (t Table[K, V]) delete(e *edit, k K) Table[K, V] {
	return Table[K, V]{t.trie.delete(e, maphash.Comparable(seed, k), func(p pair[K, V]) bool { return p.key == k })}
}

// index finds things by what stands in them, and keeps no keys: of 100,000 workloads a Table by address takes 10 MB, and this takes 2. Several
// may have one key, and one thing several keys. Like a Table it is never changed.
type index[T any] struct{ trie[spot[T]] }

// spot is a thing, and the hash of a key that it has.
type spot[T any] struct {
	of uint64
	at *T
}

func (s spot[T]) hash() uint64 { return s.of }

// under yields what is under a hash. Whether it has the key, and not another of the same hash, is to be seen by it.
func (x index[T]) under(hash uint64) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, s := range x.at(hash) {
			if s.of == hash && !yield(s.at) {
				return
			}
		}
	}
}

func (x index[T]) set(e *edit, hash uint64, at *T) index[T] {
	s := spot[T]{hash, at}
	return index[T]{x.trie.set(e, s, func(o spot[T]) bool { return o == s })}
}

func (x index[T]) delete(e *edit, hash uint64, at *T) index[T] {
	s := spot[T]{hash, at}
	return index[T]{x.trie.delete(e, hash, func(o spot[T]) bool { return o == s })}
}

// trie is what a Table and an index are: one of hashes, whose leaves are short lists.
type trie[X hashed] struct {
	top *node[X]
	n   int
}

type hashed interface{ hash() uint64 }

const (
	fan      = 8  // of a branch: three bits of the hash
	mostLeaf = 24 // of a leaf, before it becomes a branch
	deepest  = 21 // branches above a leaf: then the hash has no bits left
)

type node[X hashed] struct {
	of   *edit // who may change it: nobody else has seen it yet
	kids *[fan]*node[X]
	leaf []X // where kids is nil
}

// edit is the right to change what was made under it.
type edit struct{ _ byte }

// Len is how many there are.
func (t trie[X]) Len() int { return t.n }

// at is the leaf in which a hash is, if it is.
func (t trie[X]) at(h uint64) []X {
	n := t.top
	for ; n != nil && n.kids != nil; h >>= 3 {
		n = n.kids[h%fan]
	}
	if n == nil {
		return nil
	}
	return n.leaf
}

func (n *node[X]) all(yield func(X) bool) bool {
	switch {
	case n == nil:
	case n.kids == nil:
		for i := range n.leaf {
			if !yield(n.leaf[i]) {
				return false
			}
		}
	default:
		for _, kid := range n.kids {
			if !kid.all(yield) {
				return false
			}
		}
	}
	return true
}

// set returns t with x in the place of what is the same, if that is there.
func (t trie[X]) set(e *edit, x X, same func(X) bool) trie[X] {
	fresh := false
	t.top = t.top.set(e, 0, x.hash(), x, same, &fresh)
	if fresh {
		t.n++
	}
	return t
}

func (t trie[X]) delete(e *edit, h uint64, same func(X) bool) trie[X] {
	gone := false
	t.top = t.top.delete(e, h, same, &gone)
	if gone {
		t.n--
	}
	return t
}

// own is n, or a copy that e may change.
func (n *node[X]) own(e *edit) *node[X] {
	if n.of == e {
		return n
	}
	c := &node[X]{of: e}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
	} else {
		c.leaf = slices.Clone(n.leaf)
	}
	return c
}

// set: the bits of h that led here are shifted out.
func (n *node[X]) set(e *edit, depth int, h uint64, x X, same func(X) bool, fresh *bool) *node[X] {
	if n == nil {
		*fresh = true
		return &node[X]{of: e, leaf: []X{x}}
	}
	n = n.own(e)
	if n.kids != nil {
		n.kids[h%fan] = n.kids[h%fan].set(e, depth+1, h>>3, x, same, fresh)
		return n
	}
	if i := slices.IndexFunc(n.leaf, same); i >= 0 {
		n.leaf[i] = x
		return n
	}
	*fresh = true
	if n.add(x); len(n.leaf) > mostLeaf && depth < deepest {
		n.part(e, depth)
	}
	return n
}

// add makes room for one more, and no further, in a leaf that is to become a branch: leaves grow rarely, and are most of what there is.
func (n *node[X]) add(x X) {
	if len(n.leaf) == cap(n.leaf) && len(n.leaf) < mostLeaf {
		n.leaf = append(make([]X, 0, len(n.leaf)+1), n.leaf...)
	}
	n.leaf = append(n.leaf, x)
}

// part makes a branch of a leaf.
func (n *node[X]) part(e *edit, depth int) {
	n.kids = new([fan]*node[X])
	for _, x := range n.leaf {
		kid := &n.kids[x.hash()>>(3*depth)%fan]
		if *kid == nil {
			*kid = &node[X]{of: e}
		}
		(*kid).add(x)
	}
	n.leaf = nil
}

func (n *node[X]) delete(e *edit, h uint64, same func(X) bool, gone *bool) *node[X] {
	if n == nil {
		return nil
	}
	if n.kids != nil {
		kid := n.kids[h%fan].delete(e, h>>3, same, gone)
		if !*gone {
			return n
		}
		n = n.own(e)
		if n.kids[h%fan] = kid; *n.kids == [fan]*node[X]{} {
			return nil
		}
		return n
	}
	i := slices.IndexFunc(n.leaf, same)
	if i < 0 {
		return n
	}
	*gone = true
	if len(n.leaf) == 1 {
		return nil
	}
	n = n.own(e)
	n.leaf = slices.Delete(n.leaf, i, i+1)
	return n
}
