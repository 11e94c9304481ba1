package mesh

import (
	"cmp"
	"hash/maphash"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Snapshot is all there is, at one moment. It is never changed: With makes the next one.
type Snapshot struct {
	Services  Table[string, *Service]                   // by host
	Workloads Workloads                                 // by key
	Gateways  Table[string, *Gateway]                   // by key
	byAddr    index[Workload]                           // by address: one that ends may keep its own while another begins there
	byIP      Table[netip.Addr, []*Service]             // by virtual IP
	members   Table[string, Table[*Workload, struct{}]] // by namespace
	selecting Table[selection, []*Service]              // those with a selector
	slices    Table[string, []*EndpointSet]             // by host
	listed    index[EndpointSet]                        // by address
	routed    Table[string, []*Route]                   // by host, "*" for all with wildcards
	profiled  Table[string, []*Profile]                 // by host
	called    Table[string, []*BackendPolicy]           // by host, "*" for all with wildcards
	judged    Table[string, []*Authorization]           // by namespace, "" for those of several
	moded     Table[string, []*PeerMode]                // by namespace, "" for those of the mesh
	entered   Table[string, []*GatewayRoute]            // by gateway
	led       Table[string, []*GatewayRoute]            // by host that they lead to
	begun     Table[string, []*Origination]             // by host
}

// selection is what a selector looks for first: a namespace and one of the labels there; empty: it asks for none.
type selection struct{ namespace, label string }

// New is an empty mesh.
func New() *Snapshot { return &Snapshot{} }

// Change is what an object said, and what it says now.
type Change struct{ Old, New *Part }

// With returns the mesh after changes, and what they touch. Its work grows with the changes, and not with the mesh.
func (s *Snapshot) With(changes []Change) (*Snapshot, *Touched) {
	n, e := *s, new(edit)
	t := newTouched()
	for _, c := range changes {
		if c.Old != nil {
			t.add(s, c.Old)
		}
	}
	n.Services = named(n.Services, e, changes, services, func(x *Service) string { return x.Host })
	n.selecting = lists(n.selecting, e, changes, services, (*Service).selection)
	n.byIP = lists(n.byIP, e, changes, services, func(x *Service) []netip.Addr { return x.IPs })
	n.Workloads = n.Workloads.with(e, changes)
	n.members = grouped(n.members, e, changes, workloads, func(w *Workload) string { return w.Namespace })
	n.byAddr = found(n.byAddr, e, changes, workloads, (*Workload).own)
	n.slices = lists(n.slices, e, changes, func(p *Part) []EndpointSet { return p.Endpoints }, one(func(e *EndpointSet) string { return e.Host }))
	n.listed = found(n.listed, e, changes, func(p *Part) []EndpointSet { return p.Endpoints }, (*EndpointSet).addrs)
	n.routed = lists(n.routed, e, changes, func(p *Part) []Route { return p.Routes }, one(func(r *Route) string { return hostKey(r.Host) }))
	n.profiled = lists(n.profiled, e, changes, func(p *Part) []Profile { return p.Profiles }, one(func(r *Profile) string { return r.Host }))
	n.called = lists(n.called, e, changes, func(p *Part) []BackendPolicy { return p.Backends }, one(func(b *BackendPolicy) string { return hostKey(b.Host) }))
	n.judged = lists(n.judged, e, changes, func(p *Part) []Authorization { return p.Authorizations }, one(namespaceKey))
	n.Gateways = named(n.Gateways, e, changes, func(p *Part) []Gateway { return p.Gateways }, (*Gateway).Key)
	n.entered = lists(n.entered, e, changes, func(p *Part) []GatewayRoute { return p.GatewayRoutes }, one(func(r *GatewayRoute) string { return r.Gateway }))
	n.led = lists(n.led, e, changes, func(p *Part) []GatewayRoute { return p.GatewayRoutes }, (*GatewayRoute).leadsTo)
	n.begun = lists(n.begun, e, changes, func(p *Part) []Origination { return p.Originations }, one(func(o *Origination) string { return o.Host }))
	n.moded = lists(n.moded, e, changes, func(p *Part) []PeerMode { return p.PeerModes }, one(func(m *PeerMode) string { return m.Namespace }))
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

// selection is where index has a service that selects workloads.
func (x *Service) selection() []selection {
	switch {
	case x.Selector == nil:
		return nil
	case len(x.Selector.Labels) > 0:
		return []selection{{x.Namespace, x.Selector.Labels[0]}}
	}
	return []selection{{x.Namespace, ""}}
}

func services(p *Part) []Service { return p.Services }

func workloads(p *Part) []Workload { return p.Workloads }

// one is the keys of what has one.
func one[K, T any](key func(*T) K) func(*T) []K {
	return func(x *T) []K { return []K{key(x)} }
}

// lists applies changes to the lists of what has one key.
func lists[K comparable, T any](m Table[K, []*T], e *edit, changes []Change, of func(*Part) []T, keys func(*T) []K) Table[K, []*T] {
	fresh := map[K]bool{} // lists that nobody else has
	for old, x := range each(changes, of) {
		for _, k := range keys(x) {
			list := m.Get(k)
			if len(list) > 0 && !fresh[k] {
				list = slices.Clone(list)
			}
			if !old {
				list = append(list, x)
			} else if list = slices.DeleteFunc(list, func(y *T) bool { return y == x }); len(list) == 0 {
				m = m.delete(e, k)
				continue
			}
			if len(list) > 1 {
				fresh[k] = true
			}
			m = m.set(e, k, list)
		}
	}
	return m
}

// named is lists for names that only one has.
func named[T any](m Table[string, *T], e *edit, changes []Change, of func(*Part) []T, name func(*T) string) Table[string, *T] {
	for old, x := range each(changes, of) {
		switch k := name(x); {
		case !old:
			m = m.set(e, k, x)
		case m.Get(k) == x:
			m = m.delete(e, k)
		}
	}
	return m
}

// found is lists for what is found by addresses, as nothing else is.
func found[T any](m index[T], e *edit, changes []Change, of func(*Part) []T, at func(*T) []netip.Addr) index[T] {
	for old, x := range each(changes, of) {
		for _, a := range at(x) {
			if old {
				m = m.delete(e, maphash.Comparable(seed, a), x)
			} else {
				m = m.set(e, maphash.Comparable(seed, a), x)
			}
		}
	}
	return m
}

// grouped is lists for keys that many have.
func grouped[T any](m Table[string, Table[*T, struct{}]], e *edit, changes []Change, of func(*Part) []T, key func(*T) string) Table[string, Table[*T, struct{}]] {
	for old, x := range each(changes, of) {
		k := key(x)
		group := m.Get(k)
		if !old {
			m = m.set(e, k, group.set(e, x, struct{}{}))
		} else if group = group.delete(e, x); group.Len() > 0 {
			m = m.set(e, k, group)
		} else {
			m = m.delete(e, k)
		}
	}
	return m
}

// each yields what changes say of one thing: what was, and what is instead.
func each[T any](changes []Change, of func(*Part) []T) iter.Seq2[bool, *T] {
	return func(yield func(old bool, x *T) bool) {
		for _, c := range changes {
			for i, p := range [...]*Part{c.Old, c.New} {
				if p == nil {
					continue
				}
				for j := range of(p) {
					if !yield(i == 0, &of(p)[j]) {
						return
					}
				}
			}
		}
	}
}

// At returns the workload that alone has an address, or nil. Of several it is none whose address is claimed only, which anybody may do;
// then one with a proxy, since calls that belong into mutual TLS would go out in the clear; then one that is ready, since the others have
// ended or not begun.
func (s *Snapshot) At(a netip.Addr) (alone *Workload) {
	for w := range s.having(a) {
		if alone == nil || likelier(w, alone) < 0 {
			alone = w
		}
	}
	return alone
}

// PodAt returns the pod that calls come from an address of; nil: none has it for itself alone. Of several it is none that is about to end, since
// its address is the next one's then; sure: no other may be meant. On one machine the address of loopback that a workload has is no
// proof: any process may call from there.
func (s *Snapshot) PodAt(a netip.Addr) (pod *Workload, sure bool) {
	sure = true
	for w := range s.having(a) {
		switch {
		case w.Claimed, a.IsLoopback() && w.Tunnel.IsValid():
		case pod == nil || pod.Draining && !w.Draining:
			pod, sure = w, true
		case pod.Draining == w.Draining:
			sure = false
		}
	}
	return pod, sure
}

func likelier(x, y *Workload) int {
	return cmp.Or(yes(y.Claimed, x.Claimed), yes(x.Tunnel.IsValid(), y.Tunnel.IsValid()), yes(x.Ready, y.Ready), cmp.Compare(x.Key(), y.Key()))
}

// having yields the workloads that say to have an address for themselves alone.
func (s *Snapshot) having(a netip.Addr) iter.Seq[*Workload] {
	return matching(s.byAddr.under(maphash.Comparable(seed, a)), func(w *Workload) bool { return w.Has(a) })
}

// listing yields the sets with an address.
func (s *Snapshot) listing(a netip.Addr) iter.Seq[*EndpointSet] {
	return matching(s.listed.under(maphash.Comparable(seed, a)), func(e *EndpointSet) bool {
		return slices.ContainsFunc(e.Addrs, func(x EndpointAddr) bool { return x.Addr == a })
	})
}

func matching[T any](all iter.Seq[*T], match func(*T) bool) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for x := range all {
			if match(x) && !yield(x) {
				return
			}
		}
	}
}

// yes puts what is so before what is not.
func yes(x, y bool) int {
	switch {
	case x && !y:
		return -1
	case y && !x:
		return 1
	}
	return 0
}

// HostOf returns the host whose virtual IP a is: the oldest service's; empty: none has it.
func (s *Snapshot) HostOf(a netip.Addr) string {
	svc := first(s.byIP.Get(a), func(x, y *Service) int { return age(x.Created, x.Ref, y.Created, y.Ref) })
	if svc == nil {
		return ""
	}
	return svc.Host
}

func first[T any](list []*T, compare func(a, b *T) int) *T {
	if len(list) == 0 {
		return nil
	}
	return slices.MinFunc(list, compare)
}

// MembersOf yields the workloads of a namespace, in no order.
func (s *Snapshot) MembersOf(namespace string) iter.Seq[*Workload] {
	return s.members.Get(namespace).Keys()
}

func (s *Snapshot) routes(host string) []*Route {
	return withWildcards(s.routed, host, func(r *Route) string { return r.Host })
}

func (s *Snapshot) profiles(host string) []*Profile { return s.profiled.Get(host) }

func (s *Snapshot) backends(host string) []*BackendPolicy {
	return withWildcards(s.called, host, func(b *BackendPolicy) string { return b.Host })
}

func withWildcards[T any](m Table[string, []*T], host string, of func(*T) string) []*T {
	all := m.Get(host)
	for _, x := range m.Get("*") {
		if strings.HasSuffix(host, strings.TrimPrefix(of(x), "*")) {
			all = append(all[:len(all):len(all)], x)
		}
	}
	return all
}

// authorizations returns those that may select workloads of a namespace, the oldest first.
func (s *Snapshot) authorizations(namespace string) []*Authorization {
	all := slices.Concat(s.judged.Get(namespace), s.judged.Get(""))
	slices.SortStableFunc(all, func(a, b *Authorization) int { return age(a.Created, a.Ref, b.Created, b.Ref) })
	return all
}

func (s *Snapshot) peerModes(w *Workload) (out []*PeerMode) {
	for _, m := range slices.Concat(s.moded.Get(""), s.moded.Get(w.Namespace)) {
		if m.Selector == nil || m.Selector.Match(w.Labels) {
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
	Zones    []string // of callers that it is for; empty: nobody said
	Nodes    []string // the same
}

// Endpoints returns those of a service's port that carry all labels, sorted by address: of its EndpointSets if it has any, else
// of the workloads that it selects. What is neither ready nor draining is left out, unless the service wants it.
func (s *Snapshot) Endpoints(svc *Service, port *Port, labels []string) (out []Endpoint) {
	if sets := s.slices.Get(svc.Host); len(sets) > 0 {
		out = s.ofSets(sets, port, labels)
	} else if svc.Selector != nil {
		out = s.selected(svc, port, labels)
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return a.Addr.Compare(b.Addr) })
	return slices.CompactFunc(out, func(a, b Endpoint) bool { return a.Addr == b.Addr })
}

func (s *Snapshot) ofSets(sets []*EndpointSet, port *Port, labels []string) (out []Endpoint) {
	sub := match.Selector{Labels: labels}
	for _, set := range sets {
		ports := set.Ports
		if port.Proto == traffic.UDP {
			ports = set.Datagrams
		}
		i := slices.IndexFunc(ports, func(p Port) bool { return p.Name == port.Name })
		if i < 0 {
			continue
		}
		for _, a := range set.Addrs {
			w := s.At(a.Addr)
			if a.Workload != "" {
				if w = s.Workloads.Get(a.Workload); w == nil || !w.Has(a.Addr) {
					continue
				}
			}
			if !a.Ready && !a.Draining || len(labels) > 0 && (w == nil || !sub.Match(w.Labels)) {
				continue
			}
			e := Endpoint{Addr: netip.AddrPortFrom(a.Addr, ports[i].Number), Workload: w, Zone: a.Zone, Draining: a.Draining || w != nil && w.Draining}
			if c := a.Hints; c != nil {
				e.Zones, e.Nodes = c.Zones, c.Nodes
			}
			out = append(out, e)
		}
	}
	return out
}

func (s *Snapshot) selected(svc *Service, port *Port, labels []string) (out []Endpoint) {
	sub := match.Selector{Labels: labels}
	for w := range s.MembersOf(svc.Namespace) {
		target, ok := TargetOf(w, port)
		if !ok || !w.Ready && !w.Draining && !svc.Unready || !svc.Selector.Match(w.Labels) || !sub.Match(w.Labels) {
			continue
		}
		out = append(out, Endpoint{Addr: netip.AddrPortFrom(w.Addr, target), Workload: w, Zone: w.Zone, Draining: w.Draining})
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
