package control

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/install/gateway"
)

// Gateways keeps the objects by which the proxies of gateways run. It is for one replica at a time: the one that leads.
type Gateways struct {
	Options gateway.Options
	Apply   func(ctx context.Context, o map[string]any) error
	Delete  func(ctx context.Context, k dialect.Key) error // absent is fine

	made map[string]made // by gateway
}

// made is what was applied last, and when.
type made struct {
	text            string
	at              time.Time
	namespace, name string // of its objects
}

// mendAfter is when objects are applied again though nothing has changed: somebody may have taken them away.
const mendAfter = 5 * time.Minute

// Do applies the objects of gateways that have changed, and takes away those of gateways that are weft's no more. The API server takes
// away itself what belongs to objects that are gone.
func (x *Gateways) Do(ctx context.Context, v *View) error {
	if x.made == nil {
		x.made = map[string]made{}
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(v.Mesh.Gateways)) {
		g := v.Mesh.Gateways[key]
		if len(g.Made.Owners) == 0 { // of a file
			continue
		}
		list, err := gateway.Objects(g, x.Options)
		if err == nil {
			err = x.apply(ctx, key, made{namespace: g.Namespace, name: g.Account}, list)
		}
		errs = append(errs, err)
	}
	for key, m := range x.made {
		if v.Mesh.Gateways[key] == nil {
			errs = append(errs, x.remove(ctx, key, m))
		}
	}
	return errors.Join(errs...)
}

func (x *Gateways) apply(ctx context.Context, key string, m made, list []map[string]any) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	m.text, m.at = string(text), time.Now()
	if was, ok := x.made[key]; ok && was.text == m.text && m.at.Sub(was.at) < mendAfter {
		return nil
	}
	for _, o := range list {
		if err := x.Apply(ctx, o); err != nil {
			return err
		}
	}
	x.made[key] = m
	return nil
}

func (x *Gateways) remove(ctx context.Context, key string, m made) error {
	for _, k := range gateway.Kinds {
		if err := x.Delete(ctx, dialect.Key{Group: k.Group, Kind: k.Kind, Namespace: m.namespace, Name: m.name}); err != nil {
			return err
		}
	}
	delete(x.made, key)
	return nil
}
