package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/match"
)

// Snapshot is all there is, at one moment. It is never changed: With makes the next one.
type Snapshot struct {
	Services  map[string]*Service  // by host
	Workloads map[string]*Workload // by key
	byAddr    map[netip.Addr]*Workload
	byIP      map[netip.Addr]string       // service hosts by virtual IP
	members   map[string][]*Workload      // by namespace
	named     map[string][]*Service       // by namespace
	slices    map[string][]*EndpointSet   // by host
	routed    map[string][]*Route         // by host, "*" for all with wildcards
	profiled  map[string][]*Profile       // by host
	called    map[string][]*BackendPolicy // by host, "*" for all with wildcards
	judged    map[string][]*Authorization // by namespace, "" for those of several
	moded     []*PeerMode
}

// New is an empty mesh.
func New() *Snapshot { return &Snapshot{} }

// Change is what an object said, and what it says now.
type Change struct{ Old, New *Part }

// With returns the mesh after changes, and what they touch. Only the indexes that a change names are copied.
func (s *Snapshot) With(changes []Change) (*Snapshot, *Touched) {
	n := *s
	t := newTouched()
	for _, c := range changes {
		if c.Old != nil {
			t.add(s, c.Old)
		}
	}
	n.services(changes)
	n.workloads(changes)
	n.slices = index(n.slices, changes, func(p *Part) []EndpointSet { return p.Endpoints }, func(e *EndpointSet) string { return e.Host })
	n.routed = index(n.routed, changes, func(p *Part) []Route { return p.Routes }, func(r *Route) string { return hostKey(r.Host) })
	n.profiled = index(n.profiled, changes, func(p *Part) []Profile { return p.Profiles }, func(r *Profile) string { return r.Host })
	n.called = index(n.called, changes, func(p *Part) []BackendPolicy { return p.Backends }, func(b *BackendPolicy) string { return hostKey(b.Host) })
	n.judged = index(n.judged, changes, func(p *Part) []Authorization { return p.Authorizations }, namespaceKey)
	modes := index(map[string][]*PeerMode{"": n.moded}, changes, func(p *Part) []PeerMode { return p.PeerModes }, func(*PeerMode) string { return "" })
	n.moded = modes[""]
	for _, c := range changes {
		if c.New != nil {
			t.add(&n, c.New)
		}
	}
	return &n, t
}

func hostKey(host string) string {
	if strings.HasPrefix(host, "*") {
		return "*"
	}
	return host
}

func namespaceKey(a *Authorization) string {
	if len(a.Namespaces) == 1 {
		return a.Namespaces[0]
	}
	return ""
}

// index applies changes to one index; it copies the map, and the lists that change, if any does.
func index[T any](m map[string][]*T, changes []Change, of func(*Part) []T, key func(*T) string) map[string][]*T {
	fresh := map[string]bool{}
	copied := false
	list := func(k string) []*T {
		if !copied {
			m, copied = maps.Clone(m), true
			if m == nil {
				m = map[string][]*T{}
			}
		}
		if !fresh[k] {
			m[k], fresh[k] = slices.Clone(m[k]), true
		}
		return m[k]
	}
	for _, c := range changes {
		if c.Old != nil {
			for i := range of(c.Old) {
				x := &of(c.Old)[i]
				k := key(x)
				if m[k] = slices.DeleteFunc(list(k), func(y *T) bool { return y == x }); len(m[k]) == 0 {
					delete(m, k)
				}
			}
		}
		if c.New != nil {
			for i := range of(c.New) {
				x := &of(c.New)[i]
				k := key(x)
				m[k] = append(list(k), x)
			}
		}
	}
	return m
}

func (s *Snapshot) services(changes []Change) {
	if !slices.ContainsFunc(changes, func(c Change) bool { return has(c, func(p *Part) bool { return len(p.Services) > 0 }) }) {
		return
	}
	s.Services, s.byIP = cloned(s.Services), cloned(s.byIP)
	for _, c := range changes {
		if c.Old != nil {
			for i := range c.Old.Services {
				if x := &c.Old.Services[i]; s.Services[x.Host] == x {
					delete(s.Services, x.Host)
					for _, ip := range x.IPs {
						delete(s.byIP, ip)
					}
				}
			}
		}
		if c.New != nil {
			for i := range c.New.Services {
				x := &c.New.Services[i]
				s.Services[x.Host] = x
				for _, ip := range x.IPs {
					s.byIP[ip] = x.Host
				}
			}
		}
	}
	s.named = index(s.named, changes, func(p *Part) []Service { return p.Services }, func(x *Service) string { return x.Namespace })
}

func (s *Snapshot) workloads(changes []Change) {
	if !slices.ContainsFunc(changes, func(c Change) bool { return has(c, func(p *Part) bool { return len(p.Workloads) > 0 }) }) {
		return
	}
	s.Workloads, s.byAddr = cloned(s.Workloads), cloned(s.byAddr)
	for _, c := range changes {
		if c.Old != nil {
			for i := range c.Old.Workloads {
				if x := &c.Old.Workloads[i]; s.Workloads[x.Key()] == x {
					delete(s.Workloads, x.Key())
					delete(s.byAddr, x.Addr)
				}
			}
		}
		if c.New != nil {
			for i := range c.New.Workloads {
				x := &c.New.Workloads[i]
				s.Workloads[x.Key()], s.byAddr[x.Addr] = x, x
			}
		}
	}
	s.members = index(s.members, changes, func(p *Part) []Workload { return p.Workloads }, func(w *Workload) string { return w.Namespace })
}

func has(c Change, f func(*Part) bool) bool {
	return c.Old != nil && f(c.Old) || c.New != nil && f(c.New)
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// At returns the workload of an address, or nil.
func (s *Snapshot) At(a netip.Addr) *Workload { return s.byAddr[a] }

// HostOf returns the host whose virtual IP a is; empty: none has it.
func (s *Snapshot) HostOf(a netip.Addr) string { return s.byIP[a] }

// MembersOf returns the workloads of a namespace.
func (s *Snapshot) MembersOf(namespace string) []*Workload { return s.members[namespace] }

func (s *Snapshot) routes(host string) []*Route {
	return withWildcards(s.routed, host, func(r *Route) string { return r.Host })
}

func (s *Snapshot) profiles(host string) []*Profile { return s.profiled[host] }

func (s *Snapshot) backends(host string) []*BackendPolicy {
	return withWildcards(s.called, host, func(b *BackendPolicy) string { return b.Host })
}

func withWildcards[T any](m map[string][]*T, host string, of func(*T) string) []*T {
	all := m[host]
	for _, x := range m["*"] {
		if strings.HasSuffix(host, strings.TrimPrefix(of(x), "*")) {
			all = append(all[:len(all):len(all)], x)
		}
	}
	return all
}

// authorizations returns those that may select workloads of a namespace, the oldest first.
func (s *Snapshot) authorizations(namespace string) []*Authorization {
	all := slices.Concat(s.judged[namespace], s.judged[""])
	slices.SortStableFunc(all, func(a, b *Authorization) int { return age(a.Created, a.Ref, b.Created, b.Ref) })
	return all
}

func (s *Snapshot) peerModes(w *Workload) (out []*PeerMode) {
	for _, m := range s.moded {
		if (m.Namespace == "" || m.Namespace == w.Namespace) && (m.Selector == nil || m.Selector.Match(w.Labels)) {
			out = append(out, m)
		}
	}
	return out
}

// Endpoint is a workload, or a mere address, as a service port sees it.
type Endpoint struct {
	Addr     netip.AddrPort
	Workload *Workload // nil: an address that is no workload's
	Zone     string
	Draining bool
}

// Endpoints returns those of a service's port that carry all labels, sorted by address: of its EndpointSets if it has any, else
// of the workloads that it selects. What is neither ready nor draining is left out.
func (s *Snapshot) Endpoints(svc *Service, port *Port, labels []string) (out []Endpoint) {
	if sets := s.slices[svc.Host]; len(sets) > 0 {
		out = s.listed(sets, port, labels)
	} else if svc.Selector != nil {
		out = s.selected(svc, port, labels)
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return cmp.Or(a.Addr.Compare(b.Addr), 0) })
	return slices.CompactFunc(out, func(a, b Endpoint) bool { return a.Addr == b.Addr })
}

func (s *Snapshot) listed(sets []*EndpointSet, port *Port, labels []string) (out []Endpoint) {
	sub := match.Selector{Labels: labels}
	for _, set := range sets {
		i := slices.IndexFunc(set.Ports, func(p Port) bool { return p.Name == port.Name })
		if i < 0 {
			continue
		}
		for _, a := range set.Addrs {
			w := s.byAddr[a.Addr]
			if !a.Ready && !a.Draining || len(labels) > 0 && (w == nil || !sub.Match(w.Labels)) {
				continue
			}
			out = append(out, Endpoint{netip.AddrPortFrom(a.Addr, set.Ports[i].Number), w, a.Zone, a.Draining})
		}
	}
	return out
}

func (s *Snapshot) selected(svc *Service, port *Port, labels []string) (out []Endpoint) {
	sub := match.Selector{Labels: labels}
	for _, w := range s.members[svc.Namespace] {
		target, ok := TargetOf(w, port)
		if !ok || !w.Ready && !w.Draining || !svc.Selector.Match(w.Labels) || !sub.Match(w.Labels) {
			continue
		}
		out = append(out, Endpoint{netip.AddrPortFrom(w.Addr, target), w, w.Zone, w.Draining})
	}
	return out
}

// TargetOf returns the port of w that a service port leads to; false: w has none.
func TargetOf(w *Workload, port *Port) (uint16, bool) {
	if port.TargetName == "" {
		return cmp.Or(port.Target, port.Number), true
	}
	i := slices.IndexFunc(w.Ports, func(p WorkloadPort) bool { return p.Name == port.TargetName })
	if i < 0 {
		return 0, false
	}
	return w.Ports[i].Number, true
}
