package match

import (
	"unicode"
	"unicode/utf8"
)

// A text is hashed rune by rune (FNV-1a), so that one walk over it knows the hash of each of its beginnings.
const (
	seed  = 14695981039346656037
	prime = 1099511628211
)

// mixed is h with the rune that follows.
func mixed(h uint64, r rune) uint64 { return (h ^ uint64(folded(r))) * prime }

// folded is the same rune for all that strings.EqualFold takes for one.
func folded(r rune) rune {
	if r >= utf8.RuneSelf {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		r = least
	}
	if r >= 'A' && r <= 'Z' {
		r += 'a' - 'A'
	}
	return r
}

// hash is a text's, and its length in runes. Ends are hashed from the last rune on.
func hash(s string, backward bool) (h uint64, n int) {
	h = seed
	for s != "" {
		r, w := utf8.DecodeRuneInString(s)
		if backward {
			r, w = utf8.DecodeLastRuneInString(s)
			s = s[:len(s)-w]
		} else {
			s = s[w:]
		}
		h = mixed(h, r)
		n++
	}
	return h, n
}

// table finds rules by a text. Look-ups cost by the length of the text and of the longest key, not by their number: a walk hashes it
// and looks where some key ends. 8 ns a look-up and 1 ns a byte.
type table struct {
	keys    map[uint64]int32 // hash and way -> head of a chain
	has     [end + 1]bool
	starts  lengths
	ends    lengths
	longest int // key but for the ends
	tail    int // longest end
}

// at tells ways apart in one map.
func at(h uint64, w way) uint64 { return h + uint64(w) }

func (t *table) add(x *links, k *key, rule int32) {
	if t.keys == nil {
		t.keys = map[uint64]int32{}
	}
	t.has[k.way] = true
	switch k.way {
	case start:
		t.starts.add(k.n)
	case end:
		t.ends.add(k.n)
		t.tail = max(t.tail, k.n)
	}
	if k.way != end {
		t.longest = max(t.longest, k.n)
	}
	h := at(k.hash, k.way)
	t.keys[h] = x.before(t.keys[h], rule)
}

// find tries the rules of a text, which may be in several pieces.
func (t *table) find(s *search, pieces ...string) {
	if t == nil {
		return
	}
	t.forward(s, pieces)
	if t.has[end] {
		t.backward(s, pieces)
	}
}

func (t *table) forward(s *search, pieces []string) {
	h, n := uint64(seed), 0
	for _, piece := range pieces {
		for _, r := range piece {
			if n > t.longest {
				return
			}
			if t.starts.has(n) {
				s.try(t.keys[at(h, start)])
			}
			if r == '/' && t.has[segment] {
				s.try(t.keys[at(h, segment)])
			}
			h = mixed(h, r)
			n++
		}
	}
	if t.starts.has(n) {
		s.try(t.keys[at(h, start)])
	}
	if t.has[segment] {
		s.try(t.keys[at(h, segment)])
	}
	if t.has[whole] {
		s.try(t.keys[at(h, whole)])
	}
}

func (t *table) backward(s *search, pieces []string) {
	h, n := uint64(seed), 0
	for i := len(pieces) - 1; i >= 0; i-- {
		for p := pieces[i]; p != "" && n < t.tail; n++ {
			r, w := utf8.DecodeLastRuneInString(p)
			p = p[:len(p)-w]
			if h = mixed(h, r); t.ends.has(n + 1) {
				s.try(t.keys[at(h, end)])
			}
		}
	}
}

// lengths is a set of small numbers.
type lengths []uint64

func (l *lengths) add(n int) {
	for n>>6 >= len(*l) {
		*l = append(*l, 0)
	}
	(*l)[n>>6] |= 1 << (n & 63)
}

func (l lengths) has(n int) bool { return n>>6 < len(l) && l[n>>6]>>(n&63)&1 != 0 }
