package mesh

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A table does what a map does, and one that was made of it stays as it is.
func TestTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type moment struct {
		table Table[int, int]
		as    map[int]int
	}
	var seen []moment
	var now Table[int, int]
	as := map[int]int{}
	for range 300 {
		e := new(edit)
		for range random.IntN(60) {
			if k := random.IntN(2000); random.IntN(3) == 0 {
				now = now.delete(e, k)
				delete(as, k)
			} else {
				v := random.Int()
				now = now.set(e, k, v)
				as[k] = v
			}
		}
		seen = append(seen, moment{now, maps.Clone(as)})
	}
	for i, m := range seen {
		if is := maps.Collect(m.table.All()); !maps.Equal(is, m.as) || m.table.Len() != len(m.as) {
			t.Fatalf("after %d steps: %d keys, want %d", i, m.table.Len(), len(m.as))
		}
		for k := range 2000 {
			if m.table.Get(k) != m.as[k] {
				t.Fatalf("after %d steps: %d is %d, want %d", i, k, m.table.Get(k), m.as[k])
			}
		}
	}
	for k := range 2000 {
		now = now.delete(new(edit), k)
	}
	if now.Len() != 0 || now.top != nil {
		t.Errorf("%d keys are left", now.Len())
	}
	for range now.Keys() {
		t.Error("an empty table has a key")
	}
}

// A change costs as much in a large table as in a small one.
func TestTableSharesWhatIsTheSame(t *testing.T) {
	allocs := func(n int) float64 {
		var table Table[int, int]
		e := new(edit)
		for i := range n {
			table = table.set(e, i, i)
		}
		next := 0
		return testing.AllocsPerRun(100, func() {
			next++
			_ = table.set(new(edit), next%n, 1)
		})
	}
	if small, large := allocs(100), allocs(100_000); large > 4*small+10 {
		t.Errorf("%v allocations among 100, %v among 100,000", small, large)
	}
}

// An index finds what was put under a hash, all of several that have the same one, and one that was made of it stays as it is.
func TestIndex(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	things := make([]int, 3000)
	type moment struct {
		index index[int]
		as    map[spot[int]]bool
	}
	var seen []moment
	var now index[int]
	as := map[spot[int]]bool{}
	for range 200 {
		e := new(edit)
		for range random.IntN(80) {
			s := spot[int]{uint64(random.IntN(40)) << random.IntN(64), &things[random.IntN(len(things))]}
			if random.IntN(3) == 0 {
				now = now.delete(e, s.of, s.at)
				delete(as, s)
			} else {
				now = now.set(e, s.of, s.at)
				as[s] = true
			}
		}
		seen = append(seen, moment{now, maps.Clone(as)})
	}
	for i, m := range seen {
		want := map[uint64]int{}
		for s := range m.as {
			want[s.of]++
			if !slices.Contains(slices.Collect(m.index.under(s.of)), s.at) {
				t.Fatalf("after %d steps, one under %x is not found", i, s.of)
			}
		}
		for hash, n := range want {
			if is := len(slices.Collect(m.index.under(hash))); is != n {
				t.Fatalf("after %d steps there are %d under %x, want %d", i, is, hash, n)
			}
		}
		if m.index.Len() != len(m.as) {
			t.Fatalf("after %d steps there are %d, want %d", i, m.index.Len(), len(m.as))
		}
	}
}

// There are 100,000 things in an index: what it takes of each is two words, and little for how they are found.
func TestIndexIsSmall(t *testing.T) {
	const n = 100_000
	things := make([]byte, n)
	random := rand.New(rand.NewPCG(1, 2))
	var x index[byte]
	for i := range things {
		x = x.set(new(edit), random.Uint64(), &things[i]) // a change at a time
	}
	var size func(n *node[spot[byte]]) uintptr
	size = func(n *node[spot[byte]]) uintptr {
		if n == nil {
			return 0
		}
		all := unsafe.Sizeof(*n) + uintptr(cap(n.leaf))*unsafe.Sizeof(spot[byte]{})
		if n.kids != nil {
			all += unsafe.Sizeof(*n.kids)
			for _, kid := range n.kids {
				all += size(kid)
			}
		}
		return all
	}
	if is := float64(size(x.top)) / n; is > 28 {
		t.Errorf("%.1f bytes of each; 28 are bearable", is)
	}
}
