package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
)

// adoption says in which namespaces weft acts for objects that do not say who is to. Namespaces whose pods another mesh's injector is
// asked about are not among them as long as that injector is there: whoever leads looks for it.
type adoption struct {
	options func() inject.Options                       // nil: there is no injection, and no namespace is adopted but by its own label
	foreign func(ctx context.Context) ([]string, error) // the meshes whose injectors are there
	anew    func() error                                // hears that adopts answers otherwise

	mu    sync.Mutex
	found inject.Options // Adopt and Foreign alone; zero: nobody has looked, and the words of other meshes count for nothing
	next  time.Time      // to look again
}

// lookAgain is how long the API server is not asked again which webhooks there are.
const lookAgain = 30 * time.Second

// look finds out whose injectors there are, and whether the words of other meshes count.
func (a *adoption) look(ctx context.Context, now time.Time) error {
	if now.Before(a.next) {
		return nil
	}
	found, err := a.foreign(ctx)
	if err != nil {
		return err
	}
	slices.Sort(found)
	adopt := a.options != nil && a.options().Adopt
	a.mu.Lock()
	changed := adopt != a.found.Adopt || !slices.Equal(a.found.Foreign, found)
	a.found, a.next = inject.Options{Adopt: adopt, Foreign: found}, now.Add(lookAgain)
	a.mu.Unlock()
	if changed {
		return a.anew()
	}
	return nil
}

// adopts says whether a Namespace is adopted.
func (a *adoption) adopts(namespace *dialect.Object) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return inject.Adopted(inject.Namespace{Name: namespace.Name, Labels: namespace.Labels, Annotations: namespace.Annotations}, a.found)
}
