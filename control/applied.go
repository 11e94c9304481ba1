package control

import (
	"maps"
	"slices"

	"github.com/weft-mesh/weft/dialect"
)

// Applied is what a change of configuration did, while the mesh runs; each object is in one of the lists.
type Applied struct {
	New     []dialect.Key
	Changed []dialect.Key // such as say something else now
	Gone    []dialect.Key
	Refused []dialect.Key // such as have a finding that keeps what they say now out of force
}

// newest is the versions that a change may displace.
func (c *Control) newest(put []*dialect.Object, gone []dialect.Key) map[dialect.Key]*dialect.Object {
	before, keys := map[dialect.Key]*dialect.Object{}, slices.Clone(gone)
	for _, o := range put {
		keys = append(keys, o.Key())
	}
	for _, k := range keys {
		before[k] = c.model.objects.Get(k.Group, k.Kind, k.Namespace, k.Name)
	}
	return before
}

// report has Applied hear of what is other now than before; a file that was written anew with what it held is nothing to hear of.
func (c *Control) report(before map[dialect.Key]*dialect.Object) {
	var a Applied
	for _, k := range slices.SortedFunc(maps.Keys(before), dialect.Key.Compare) {
		switch old, now := before[k], c.model.objects.Get(k.Group, k.Kind, k.Namespace, k.Name); {
		case old == nil && now == nil, old != nil && now != nil && old.Same(now):
		case now == nil:
			a.Gone = append(a.Gone, k)
		case c.model.objects.Refused(k):
			a.Refused = append(a.Refused, k)
		case old == nil:
			a.New = append(a.New, k)
		default:
			a.Changed = append(a.Changed, k)
		}
	}
	if len(a.New)+len(a.Changed)+len(a.Gone)+len(a.Refused) > 0 {
		c.opts.Applied(a)
	}
}
