package control

import (
	"context"
	"errors"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// Statuses writes what objects' statuses are to be. It is for one replica at a time: the one that leads.
type Statuses struct {
	c     *Control
	write func(ctx context.Context, k dialect.Key, s dialect.Status) error
	again []dialect.Key // that could not be written
}

// NewStatuses begins with nothing written. write changes the status of an object that is there; one that is gone meanwhile is no error.
func (c *Control) NewStatuses(write func(ctx context.Context, k dialect.Key, s dialect.Status) error) *Statuses {
	return &Statuses{c: c, write: write}
}

// Do writes the statuses that may have changed since it last did: at first those of all objects. Its work grows with what has changed.
func (s *Statuses) Do(ctx context.Context) error {
	due := map[dialect.Key]dialect.Status{}
	var order []dialect.Key
	if err := s.c.do(func() {
		for _, k := range append(s.again, s.c.model.objects.Stirred()...) {
			if status := s.c.model.objects.Status(k); status != nil && due[k] == nil {
				due[k], order = status, append(order, k)
			}
		}
	}); err != nil {
		return err
	}
	s.again = nil
	var errs []error
	for _, k := range order {
		if err := s.write(ctx, k, due[k]); err != nil {
			s.again, errs = append(s.again, k), append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Note keeps what was found of an object by who acts on what it says: it stands among the findings, and its status is made anew. A
// version that comes later keeps it.
func (c *Control) Note(of decision.Ref, found []mesh.Finding) error {
	return c.do(func() {
		if c.model.objects.Note(of, found) {
			c.view.Store(nil)
			c.stirNews()
		}
	})
}

// AdoptsAnew says that Options.Adopts answers otherwise than before: statuses are looked at again, and whoever leads is told.
func (c *Control) AdoptsAnew() error {
	return c.do(func() {
		c.model.objects.StirUnclaimed()
		c.stirNews()
	})
}

// Adopted says whether weft acts for objects of a namespace that do not say who is to. Of a namespace that is not there it does not.
func (c *Control) Adopted(namespace string) (yes bool) {
	err := c.do(func() {
		o := c.model.objects.Get("", "Namespace", "", namespace)
		yes = o != nil && c.opts.Adopts != nil && c.opts.Adopts(o)
	})
	return yes && err == nil
}
