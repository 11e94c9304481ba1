package mesh

import (
	"slices"
	"testing"
)

func TestWorkloads(t *testing.T) {
	part := func(namespace, name string) *Part {
		return &Part{Workloads: []Workload{{Namespace: namespace, Name: name}}}
	}
	a, again, b := part("shop", "a"), part("shop", "a"), part("sho", "p/a")
	with := func(l Workloads, changes ...Change) Workloads { return l.with(new(edit), changes) }
	var none Workloads
	all := with(none, Change{New: a}, Change{New: b})
	if none.Len() != 0 || all.Len() != 2 || all.Get("shop/a") != &a.Workloads[0] || all.Get("shop/b") != nil || all.Get("") != nil {
		t.Errorf("%d, and shop/a is %v", all.Len(), all.Get("shop/a"))
	}
	if keys := slices.Sorted(all.Keys()); !slices.Equal(keys, []string{"sho/p/a", "shop/a"}) {
		t.Errorf("keys are %q", keys)
	}
	later := with(all, Change{New: again})
	if later.Len() != 2 || later.Get("shop/a") != &again.Workloads[0] || all.Get("shop/a") != &a.Workloads[0] {
		t.Error("of two with one key the later does not count")
	}
	if left := with(later, Change{Old: a}); left.Get("shop/a") != &again.Workloads[0] {
		t.Error("one that had gone takes with it who has its key now")
	}
	if left := with(later, Change{Old: again}, Change{Old: b}); left.Len() != 0 {
		t.Errorf("%d are left", left.Len())
	}
	for key, is := range map[string]bool{"shop/a": true, "shop/b": false, "shop-a": false, "shop/": false, "shop": false, "shup/a": false, "shop/ab": false} {
		if a.Workloads[0].called(key) != is {
			t.Errorf("it is called %q: %v", key, !is)
		}
	}
}
