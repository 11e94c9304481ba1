package mesh

import (
	"hash/maphash"
	"iter"
	"slices"
)

// Table is a map that is never changed: one that differs in some keys is made in a time that grows with those, and shares the rest. The zero
// Table is empty. It is a trie of hashes, whose leaves are short lists.
type Table[K comparable, V any] struct {
	top *node[K, V]
	n   int
}

const (
	fan      = 8  // of a branch: three bits of the hash
	mostLeaf = 24 // pairs of a leaf, before it becomes a branch
	deepest  = 21 // branches above a leaf: then the hash has no bits left
)

type node[K comparable, V any] struct {
	of   *edit // who may change it: nobody else has seen it yet
	kids *[fan]*node[K, V]
	leaf []pair[K, V] // where kids is nil
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

// edit is the right to change what was made under it.
type edit struct{ _ byte }

var seed = maphash.MakeSeed()

// Get returns what is under a key; the zero V: nothing is.
func (t Table[K, V]) Get(k K) (v V) {
	h := maphash.Comparable(seed, k)
	n := t.top
	for ; n != nil && n.kids != nil; h >>= 3 {
		n = n.kids[h%fan]
	}
	if n == nil {
		return v
	}
	for i := range n.leaf {
		if n.leaf[i].key == k {
			return n.leaf[i].value
		}
	}
	return v
}

// Len is how many keys there are.
func (t Table[K, V]) Len() int { return t.n }

// All yields all there is, in no order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { t.top.all(yield) }
}

// Keys yields the keys, in no order.
func (t Table[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		t.top.all(func(k K, _ V) bool { return yield(k) })
	}
}

func (n *node[K, V]) all(yield func(K, V) bool) bool {
	switch {
	case n == nil:
	case n.kids == nil:
		for i := range n.leaf {
			if !yield(n.leaf[i].key, n.leaf[i].value) {
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

// set returns t with a key. What was made under e is changed in place.
func (t Table[K, V]) set(e *edit, k K, v V) Table[K, V] {
	fresh := false
	t.top = t.top.set(e, 0, maphash.Comparable(seed, k), pair[K, V]{k, v}, &fresh)
	if fresh {
		t.n++
	}
	return t
}

// delete returns t without a key.
func (t Table[K, V]) delete(e *edit, k K) Table[K, V] {
	gone := false
	t.top = t.top.delete(e, maphash.Comparable(seed, k), k, &gone)
	if gone {
		t.n--
	}
	return t
}

// own is n, or a copy that e may change.
func (n *node[K, V]) own(e *edit) *node[K, V] {
	if n.of == e {
		return n
	}
	c := &node[K, V]{of: e}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
	} else {
		c.leaf = slices.Clone(n.leaf)
	}
	return c
}

// set: the bits of h that led here are shifted out.
func (n *node[K, V]) set(e *edit, depth int, h uint64, p pair[K, V], fresh *bool) *node[K, V] {
	if n == nil {
		*fresh = true
		return &node[K, V]{of: e, leaf: []pair[K, V]{p}}
	}
	n = n.own(e)
	if n.kids != nil {
		n.kids[h%fan] = n.kids[h%fan].set(e, depth+1, h>>3, p, fresh)
		return n
	}
	if i := n.find(p.key); i >= 0 {
		n.leaf[i] = p
		return n
	}
	*fresh = true
	n.leaf = append(n.leaf, p)
	if len(n.leaf) > mostLeaf && depth < deepest {
		n.part(e, depth)
	}
	return n
}

func (n *node[K, V]) find(k K) int {
	return slices.IndexFunc(n.leaf, func(p pair[K, V]) bool { return p.key == k })
}

// part makes a branch of a leaf.
func (n *node[K, V]) part(e *edit, depth int) {
	n.kids = new([fan]*node[K, V])
	for _, p := range n.leaf {
		kid := &n.kids[maphash.Comparable(seed, p.key)>>(3*depth)%fan]
		if *kid == nil {
			*kid = &node[K, V]{of: e}
		}
		(*kid).leaf = append((*kid).leaf, p)
	}
	n.leaf = nil
}

func (n *node[K, V]) delete(e *edit, h uint64, k K, gone *bool) *node[K, V] {
	if n == nil {
		return nil
	}
	if n.kids != nil {
		kid := n.kids[h%fan].delete(e, h>>3, k, gone)
		if !*gone {
			return n
		}
		n = n.own(e)
		if n.kids[h%fan] = kid; *n.kids == [fan]*node[K, V]{} {
			return nil
		}
		return n
	}
	i := n.find(k)
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
