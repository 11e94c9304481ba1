package control

import "github.com/weft-mesh/weft/control/lastgood"

// GoodTask keeps the last good versions for all replicas.
func (c *Control) GoodTask() Task {
	k := &lastgood.Keeper{Pieces: c.opts.Cluster.Good, Log: c.opts.Log, Again: leadAgain / 2, Changes: c.changes.Load,
		All: func() (changes uint64, all []lastgood.Version, err error) {
			err = c.do(func() { changes, all = c.changes.Load(), c.versions() })
			return changes, all, err
		}}
	return Task{Name: "last-good", Do: k.Do}
}

// versions is what is to be kept. It runs in the owner.
func (c *Control) versions() (out []lastgood.Version) {
	for _, o := range c.model.objects.Good(c.kept) {
		k := o.Key()
		out = append(out, lastgood.Version{Object: o, Refused: c.model.objects.Refused(k), Guards: c.model.objects.Guards(k)})
	}
	return out
}
