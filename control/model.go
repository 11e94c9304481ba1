package control

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/mesh"
)

// model is objects and the mesh that they make.
type model struct {
	objects *dialect.Set
	vips    *vips                      // nil: services have the addresses that they come with
	parts   map[dialect.Key]*mesh.Part // what each object says, virtual addresses assigned; where vips is nil the Set has it all
	closed  map[dialect.Key]*mesh.Part // in the place of policies that nobody can read
	shut    []*dialect.Object          // such as have been closed for since somebody looked
	snap    *mesh.Snapshot

	// closes says whether calls are denied in the place of an object that guards some, is refused, and has no earlier version. Nil: of none.
	closes func(*dialect.Object) bool
}

// newModel makes one of a mesh without objects; vips nil: services have the addresses that they come with.
func newModel(trustDomain string, vips *vips) *model {
	return &model{objects: dialect.NewSet(all.Kinds(trustDomain)), parts: map[dialect.Key]*mesh.Part{}, closed: map[dialect.Key]*mesh.Part{}, vips: vips, snap: mesh.New()}
}

// apply changes objects; fresh: virtual addresses were assigned.
func (m *model) apply(put []*dialect.Object, gone []dialect.Key) (touched *mesh.Touched, fresh bool) {
	var changes []mesh.Change
	said := m.objects.Apply(put, gone)
	for _, key := range slices.SortedFunc(maps.Keys(said), dialect.Key.Compare) { // virtual addresses that collide go by order
		c := said[key]
		if m.vips == nil {
			changes = append(changes, mesh.Change{Old: &c.Old, New: &c.New})
			continue
		}
		now, some := m.addressed(c.New)
		changes = append(changes, mesh.Change{Old: m.parts[key], New: now})
		if m.parts[key], fresh = now, fresh || some; now.Empty() {
			delete(m.parts, key)
		}
	}
	changes = append(changes, m.guard()...)
	m.snap, touched = m.snap.With(changes)
	return touched, fresh
}

// guard has all calls into a namespace, and out of it, be denied in the place of policies there that are refused: nobody knows what they
// forbid. It lasts until each is gone, or has a version that can be read.
func (m *model) guard() (changes []mesh.Change) {
	if m.closes == nil {
		return nil
	}
	open := m.objects.Open()
	for key, part := range m.closed {
		if !slices.Contains(open, key) { // it is gone, or can be read now
			changes = append(changes, mesh.Change{Old: part})
			delete(m.closed, key)
			m.objects.NoteOn(key, nil)
		}
	}
	for _, key := range open {
		o := m.objects.Get(key.Group, key.Kind, key.Namespace, key.Name)
		if m.closed[key] != nil || !m.closes(o) {
			continue
		}
		ref, part := o.Ref(decision.Core), &mesh.Part{} // an engine of its own, beside those of all dialects
		for _, out := range []bool{false, true} {
			part.Authorizations = append(part.Authorizations, mesh.Authorization{Ref: ref, Created: o.Created, Namespaces: []string{o.Namespace}, Out: out,
				Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{{Ref: ref}}}}})
		}
		m.closed[key], m.shut = part, append(m.shut, o)
		changes = append(changes, mesh.Change{New: part})
		m.objects.NoteOn(key, []mesh.Finding{{Ref: m.objects.Unguarded(key)[0].Ref.At(""), Level: mesh.Warning, Remedy: "mend it, or delete it",
			Text: "all calls into namespace " + o.Namespace + " and out of it are denied: no earlier version is known that could be in force"}})
	}
	return changes
}

// addressed gives services without a virtual address one.
func (m *model) addressed(p mesh.Part) (_ *mesh.Part, fresh bool) {
	p.Services = slices.Clone(p.Services)
	for i := range p.Services {
		if s := &p.Services[i]; len(s.IPs) == 0 && !s.Headless {
			ip, now := m.vips.of(s.Host)
			s.IPs, fresh = append(s.IPs, ip), fresh || now
		}
	}
	return &p, fresh
}

// view is what there is to know and to say now.
func (m *model) view() *View {
	found := m.objects.Findings()
	for _, f := range m.snap.Conflicts() {
		found = append(found, dialect.Located{Position: m.objects.Locate(f), Finding: f})
	}
	return &View{Mesh: m.snap, Findings: found, Objects: m.objects.All()}
}

// present is the objects that stand for a workload, one of all.
func (m *model) present(w *Workload, all []*Workload) []*dialect.Object {
	put := []*dialect.Object{pod(w)}
	if s := m.service(w, all); s != nil {
		put = append(put, s)
	}
	return put
}

// service is the object of w's service, as all of its workloads make it; nil: there is none to make, or a file declares it.
func (m *model) service(w *Workload, all []*Workload) *dialect.Object {
	serving := slices.DeleteFunc(slices.Clone(all), func(o *Workload) bool {
		return o.Namespace != w.Namespace || o.Service != w.Service || len(o.Ports) == 0
	})
	if w.Service == "" || len(serving) == 0 || m.declared(serviceKey(w)) {
		return nil
	}
	return service(serving)
}

func serviceKey(w *Workload) dialect.Key {
	return dialect.Key{Kind: "Service", Namespace: w.Namespace, Name: w.Service}
}

// declared says whether a file has the object.
func (m *model) declared(key dialect.Key) bool {
	o := m.objects.Get(key.Group, key.Kind, key.Namespace, key.Name)
	return o != nil && o.Source.File != runFile
}

// Load makes a mesh of objects and of workloads as if they ran, without a control plane: what analyze, test and explain need.
func Load(trustDomain string, objects []*dialect.Object, found []dialect.Located, workloads []*Workload) *View {
	m := newModel(trustDomain, newVIPs(nil))
	m.objects.Report("", found)
	m.apply(objects, nil)
	for _, w := range workloads {
		m.apply(m.present(w, workloads), nil)
	}
	return m.view()
}

// Simulated is a workload that runs in a simulation only; n numbers its address.
func Simulated(r Registration, n int, now time.Time) *Workload {
	r.Address = netip.AddrFrom4([4]byte{127, 64, byte(n >> 8), byte(n)})
	return &Workload{Registration: r, Since: now}
}

// trial reads the objects that a registration would stand for, and forgets them.
type trial struct{ objects *dialect.Set }

func newTrial(trustDomain string) *trial {
	kinds := slices.DeleteFunc(all.Kinds(trustDomain), func(k dialect.Kind) bool { return k.Dialect != decision.Core })
	return &trial{dialect.NewSet(kinds)}
}

func (t *trial) flaws(w *Workload) error {
	put := []*dialect.Object{pod(w)}
	if w.Service != "" {
		put = append(put, service([]*Workload{w}))
	}
	t.objects.Apply(put, nil)
	var flaws []error
	for _, l := range t.objects.Findings() {
		if l.Level == mesh.Error {
			flaws = append(flaws, errors.New(l.Finding.String()))
		}
	}
	t.objects.Apply(nil, []dialect.Key{put[0].Key(), put[len(put)-1].Key()})
	return errors.Join(flaws...)
}
