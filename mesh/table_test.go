package mesh

import (
	"maps"
	"math/rand/v2"
	"testing"
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
