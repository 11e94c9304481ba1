package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/install/gateway"
	"github.com/weft-mesh/weft/mesh"
)

// Gateways keeps the objects by which the proxies of gateways run. It is for one replica at a time: the one that leads.
//
// Who may write a Gateway may not have weft write what he may not write himself: an object that is there already is changed or deleted only
// if it is the gateway's, by an owner reference to the gateway's object and by weft's label. Where one of a gateway's is somebody else's,
// none of the gateway's is touched, since its proxies would run as somebody else's account, or be reached by his name.
type Gateways struct {
	Options gateway.Options
	Get     func(ctx context.Context, k dialect.Key) (map[string]any, error) // nil: absent
	Apply   func(ctx context.Context, o map[string]any) error                // fails where o has a UID and what is there another
	Delete  func(ctx context.Context, k dialect.Key, uid string) error       // absent is fine, and so is one with another UID
	Note    func(owner decision.Ref, found []mesh.Finding) error             // see Control.Note
	Adopted func(namespace string) bool                                      // see Control.Adopted [none is]

	made   map[string]made         // by gateway
	noted  map[string][]mesh.Owner // of gateways of which something was
	failed gateway.Failures
}

// made is what was applied last, or was to be.
type made struct {
	applied
	namespace, name string // of its objects
	owners          []mesh.Owner
	found           gateway.Found
}

// Do applies the objects of gateways that have changed, and takes away those of gateways that are weft's no more. The API server takes
// away itself what belongs to objects that are gone.
func (x *Gateways) Do(ctx context.Context, now *mesh.Snapshot) error {
	if x.made == nil {
		x.made, x.noted, x.failed = map[string]made{}, map[string][]mesh.Owner{}, gateway.Failures{}
	}
	var errs []error
	due := x.due(now)
	services := gateway.Beside(due, now.Services.All())
	for _, key := range slices.Sorted(maps.Keys(due)) {
		g := due[key]
		m := made{namespace: g.Namespace, name: g.Account, owners: g.Made.Owners}
		m.found.Joined, m.found.By = gateway.Joins(g, services[g.Namespace])
		list, err := gateway.Objects(g, x.Options)
		if err == nil {
			err = x.keep(ctx, key, m, list)
		}
		errs = append(errs, err)
	}
	for key := range x.failed {
		if due[key] == nil {
			delete(x.failed, key)
		}
	}
	for key, owners := range x.noted {
		if due[key] == nil {
			errs = append(errs, x.note(key, &made{owners: owners}))
		}
	}
	for key, m := range x.made {
		if due[key] == nil {
			err := x.remove(ctx, m, gateway.Kinds)
			if errs = append(errs, err); err == nil {
				delete(x.made, key)
			}
		}
	}
	return errors.Join(errs...)
}

// due are the gateways whose proxies are to run: not those of files, nor those whose objects another mesh may run.
func (x *Gateways) due(now *mesh.Snapshot) map[string]*mesh.Gateway {
	out := map[string]*mesh.Gateway{}
	for key, g := range now.Gateways.All() {
		if len(g.Made.Owners) > 0 && (!g.Made.Adopted || x.Adopted != nil && x.Adopted(g.Namespace)) {
			out[key] = g
		}
	}
	return out
}

// keep makes a gateway's objects be those of a list.
func (x *Gateways) keep(ctx context.Context, key string, m made, list []map[string]any) error {
	text, err := json.Marshal([]any{list, m.found.Joined})
	if err != nil {
		return err
	}
	m.applied = applied{text, time.Now()}
	if was, ok := x.made[key]; ok && was.holds(text, m.at) {
		return nil
	}
	if err := x.failed.Waits(key, text, m.at); err != nil {
		return err
	}
	begun := m
	begun.applied = applied{} // it holds nothing before all of it is there; what is there of it goes with the gateway
	x.made[key] = begun
	if err = x.bring(ctx, key, m, list); ctx.Err() == nil {
		x.failed.Note(key, text, err, m.at)
	}
	return err
}

// bring applies the list, and says of the gateway why it is not as it is to be.
func (x *Gateways) bring(ctx context.Context, key string, m made, list []map[string]any) error {
	err := x.claim(ctx, &m, list)
	if err != nil {
		return err
	}
	why := m.found.Refuses()
	if why == "" {
		if err = x.apply(ctx, list); err != nil && ctx.Err() == nil {
			m.found.Failed = err.Error()
		}
	}
	if err := errors.Join(err, x.note(key, &m)); err != nil {
		return err
	}
	if why != "" { // what was made before goes on
		return fmt.Errorf("the proxies of the gateway %s cannot run: %s", key, why)
	}
	x.made[key] = m
	var rest []gateway.Kind
	for _, k := range gateway.Kinds {
		if !slices.ContainsFunc(list, func(o map[string]any) bool { return o["kind"] == k.Kind }) {
			rest = append(rest, k)
		}
	}
	return x.remove(ctx, m, rest)
}

func (x *Gateways) apply(ctx context.Context, list []map[string]any) error {
	for _, o := range list {
		if err := x.Apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// claim looks at what is there of a list. Objects that are the gateway's get their UIDs, so that nothing else of the same name is changed if they
// are deleted meanwhile.
func (x *Gateways) claim(ctx context.Context, m *made, list []map[string]any) error {
	for _, o := range list {
		k := m.key(gateway.KindOf(o))
		there, err := x.Get(ctx, k)
		if err != nil {
			return err
		}
		if there == nil {
			continue
		}
		if uid := m.found.Look(there, o, k.Kind+" "+k.Namespace+"/"+k.Name, m.owners); uid != "" {
			meta, _ := o["metadata"].(map[string]any)
			meta["uid"] = uid
		}
	}
	return nil
}

func (m *made) key(k gateway.Kind) dialect.Key {
	return dialect.Key{Group: k.Group, Kind: k.Kind, Namespace: m.namespace, Name: m.name}
}

// note tells the gateway's objects what was found.
func (x *Gateways) note(key string, m *made) error {
	var errs []error
	some := false
	for _, o := range m.owners {
		found := m.found.Tells(o.Ref)
		if some = some || len(found) > 0; some || x.noted[key] != nil {
			errs = append(errs, x.Note(o.Ref, found))
		}
	}
	if x.noted[key] = m.owners; !some {
		delete(x.noted, key)
	}
	return errors.Join(errs...)
}

// remove deletes those objects of some kinds that are the gateway's.
func (x *Gateways) remove(ctx context.Context, m made, kinds []gateway.Kind) error {
	for _, k := range kinds {
		there, err := x.Get(ctx, m.key(k))
		if err != nil {
			return err
		}
		if uid := gateway.UID(there, m.owners); uid != "" {
			if err := x.Delete(ctx, m.key(k), uid); err != nil {
				return err
			}
		}
	}
	return nil
}
