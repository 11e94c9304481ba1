package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

	made  map[string]made         // by gateway
	noted map[string][]mesh.Owner // of gateways of which something was
}

// made is what was applied last.
type made struct {
	applied
	namespace, name string // of its objects
	owners          []mesh.Owner
	apart, joined   []string // see gateway.Apart
}

// Do applies the objects of gateways that have changed, and takes away those of gateways that are weft's no more. The API server takes
// away itself what belongs to objects that are gone.
func (x *Gateways) Do(ctx context.Context, now *mesh.Snapshot) error {
	if x.made == nil {
		x.made, x.noted = map[string]made{}, map[string][]mesh.Owner{}
	}
	var errs []error
	due := x.due(now)
	services := beside(due, now)
	for _, key := range slices.Sorted(maps.Keys(due)) {
		g := due[key]
		m := made{namespace: g.Namespace, name: g.Account, owners: g.Made.Owners}
		m.apart, m.joined = gateway.Apart(g, services[g.Namespace])
		list, err := gateway.Objects(g, x.Options, m.apart...)
		if err == nil {
			err = x.keep(ctx, key, m, list)
		}
		errs = append(errs, err)
	}
	for key, owners := range x.noted {
		if due[key] == nil {
			errs = append(errs, x.note(key, made{owners: owners}, nil))
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

// beside are the services that select pods, by namespace, of the namespaces of gateways that ask for labels.
func beside(due map[string]*mesh.Gateway, now *mesh.Snapshot) map[string][]*mesh.Service {
	out := map[string][]*mesh.Service{}
	for _, g := range due {
		if len(g.Made.Labels) > 0 {
			out[g.Namespace] = nil
		}
	}
	if len(out) == 0 {
		return out
	}
	for _, s := range now.Services.All() {
		if list, ok := out[s.Namespace]; ok && s.Selector != nil {
			out[s.Namespace] = append(list, s)
		}
	}
	return out
}

// keep makes a gateway's objects be those of a list.
func (x *Gateways) keep(ctx context.Context, key string, m made, list []map[string]any) error {
	text, err := json.Marshal([]any{list, m.joined})
	if err != nil {
		return err
	}
	m.applied = applied{text, time.Now()}
	if was, ok := x.made[key]; ok && was.holds(text, m.at) {
		return nil
	}
	taken, err := x.claim(ctx, &m, list)
	if err == nil {
		err = x.note(key, m, taken)
	}
	switch {
	case err != nil:
		return err
	case len(taken) > 0:
		delete(x.made, key)
		return fmt.Errorf("the proxies of the gateway %s cannot run: %s", key, takenText(taken))
	}
	for _, o := range list {
		if err := x.Apply(ctx, o); err != nil {
			return err
		}
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

// claim says which objects of a list are there and somebody else's. The others that are there get their UIDs, so that nothing else of the
// same name is changed if they are deleted meanwhile.
func (x *Gateways) claim(ctx context.Context, m *made, list []map[string]any) (taken []string, err error) {
	for _, o := range list {
		k := m.key(gateway.KindOf(o))
		there, err := x.Get(ctx, k)
		if err != nil {
			return nil, err
		}
		switch uid := m.uid(there); {
		case there == nil:
		case uid == "":
			taken = append(taken, k.Kind+" "+k.Namespace+"/"+k.Name)
		default:
			meta, _ := o["metadata"].(map[string]any)
			meta["uid"] = uid
		}
	}
	return taken, nil
}

func (m *made) key(k gateway.Kind) dialect.Key {
	return dialect.Key{Group: k.Group, Kind: k.Kind, Namespace: m.namespace, Name: m.name}
}

// uid is that of an object that is the gateway's; empty: it is somebody else's.
func (m *made) uid(o map[string]any) string {
	meta, _ := o["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	owners, _ := meta["ownerReferences"].([]any)
	if labels[gateway.ManagedLabel] != gateway.Manager || !slices.ContainsFunc(owners, func(r any) bool {
		ref, _ := r.(map[string]any)
		return slices.ContainsFunc(m.owners, func(o mesh.Owner) bool { return o.UID != "" && ref["uid"] == o.UID })
	}) {
		return ""
	}
	uid, _ := meta["uid"].(string)
	return uid
}

// note tells the gateway's objects which names are taken, and which labels its pods do not have.
func (x *Gateways) note(key string, m made, taken []string) error {
	some := len(taken)+len(m.apart) > 0
	if !some && x.noted[key] == nil {
		return nil
	}
	var errs []error
	for _, o := range m.owners {
		var found []mesh.Finding
		if len(taken) > 0 {
			found = append(found, mesh.Finding{Ref: o.Ref, Field: mesh.FieldTaken, Level: mesh.Warning, Text: "no proxy of it is deployed: " + takenText(taken),
				Remedy: "give the gateway another name, or delete that"})
		}
		if len(m.apart) > 0 {
			found = append(found, mesh.Finding{Ref: o.Ref, Field: labelsField(o.Ref), Level: mesh.Warning, Text: fmt.Sprintf(
				"its pods do not have the label %s: a Service that is not the gateway's, %s, would lead to them", strings.Join(m.apart, ", "), strings.Join(m.joined, ", ")),
				Remedy: "use another label, or have that Service select by others"})
		}
		errs = append(errs, x.Note(o.Ref, found))
	}
	if x.noted[key] = m.owners; !some {
		delete(x.noted, key)
	}
	return errors.Join(errs...)
}

// labelsField is the field by which a gateway's object asks for labels.
func labelsField(r decision.Ref) string {
	if r.Dialect == decision.Istio {
		return "spec.selector"
	}
	return "spec.infrastructure.labels"
}

func takenText(taken []string) string {
	return strings.Join(taken, ", ") + " is there and is not weft's, or is another gateway's, so that it is left as it is"
}

// remove deletes those objects of some kinds that are the gateway's.
func (x *Gateways) remove(ctx context.Context, m made, kinds []gateway.Kind) error {
	for _, k := range kinds {
		there, err := x.Get(ctx, m.key(k))
		if err != nil {
			return err
		}
		if uid := m.uid(there); uid != "" {
			if err := x.Delete(ctx, m.key(k), uid); err != nil {
				return err
			}
		}
	}
	return nil
}
