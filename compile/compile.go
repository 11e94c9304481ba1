// Package compile turns a mesh into what proxies get. Pure: the same mesh gives the same resources.
package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Service compiles a host for a class of callers; nil: there is no such service.
func Service(s *mesh.Snapshot, host string, class Class) *config.Service {
	svc := s.Services.Get(host)
	if svc == nil {
		return nil
	}
	out := &config.Service{Host: svc.Host, Namespace: svc.Namespace, IPs: svc.IPs, Headless: svc.Headless}
	for i := range svc.Ports {
		out.Ports = append(out.Ports, port(s, svc, &svc.Ports[i], class))
	}
	for i := range svc.Datagrams {
		p := &svc.Datagrams[i]
		how := s.Calling(svc, p.Number, class.caller())
		out.Datagrams = append(out.Datagrams, config.Port{Number: p.Number, Name: p.Name, Proto: p.Proto,
			Pools: []config.Pool{{Policy: how.Policy, Endpoints: endpoints(s, svc, p, nil, class)}}})
	}
	return out
}

func port(s *mesh.Snapshot, svc *mesh.Service, p *mesh.Port, class Class) config.Port {
	how := s.Calling(svc, p.Number, class.caller())
	out := config.Port{Number: p.Number, Name: p.Name, Proto: p.Proto, Budget: how.Budget}
	if p.Proto != traffic.TCP { // rules speak of requests
		out.Route, out.Rules, out.Profile = how.Route, onPort(how.Rules, p.Number), how.Profile
	}
	out.Pools = append(out.Pools, config.Pool{Policy: how.Policy, Endpoints: endpoints(s, svc, p, nil, class)})
	for _, sub := range how.Subsets {
		out.Pools = append(out.Pools, config.Pool{Subset: sub.Name, Policy: sub.Policy,
			Endpoints: endpoints(s, svc, p, sub.Labels, class)})
	}
	return out
}

// onPort fills in what only the port that is called can tell: the port of targets that name none.
func onPort(rules []mesh.Rule, port uint16) []mesh.Rule {
	out := slices.Clone(rules)
	for i := range out {
		r := &out[i]
		r.Backends, r.Mirrors = slices.Clone(r.Backends), slices.Clone(r.Mirrors)
		for j := range r.Backends {
			if t := &r.Backends[j].Target; t.Port == 0 {
				t.Port = port
			}
		}
		for j := range r.Mirrors {
			if t := &r.Mirrors[j].Target; t.Port == 0 {
				t.Port = port
			}
		}
	}
	return out
}

func endpoints(s *mesh.Snapshot, svc *mesh.Service, p *mesh.Port, labels []string, class Class) (out []traffic.Endpoint) {
	all := s.Endpoints(svc, p, labels)
	switch {
	case svc.Headless:
	case svc.Local:
		all = mesh.OnNode(all, class.Node)
	default:
		all = mesh.Near(all, class.Node, class.Zone)
	}
	for _, e := range all {
		x := traffic.Endpoint{Addr: e.Addr, Zone: e.Zone, Draining: e.Draining}
		if w := e.Workload; w != nil {
			x.ID, x.Workload, x.Tunnel, x.Weight = w.ID(), w.Key(), w.TunnelAt(e.Addr.Addr()), w.Weight
			if class.Labels {
				x.Labels = w.Labels
			}
		}
		out = append(out, x)
	}
	return out
}

// Workload compiles what w's own proxy needs; nil: there is no such workload.
func Workload(s *mesh.Snapshot, key string) *config.Workload {
	w := s.Workloads.Get(key)
	if w == nil {
		return nil
	}
	out := &config.Workload{Name: w.Name, Namespace: w.Namespace, ID: w.ID(), Addr: w.Addr, Labels: w.Labels,
		Also:    w.Extras().Also,
		Inbound: s.Inbound(w), Egress: s.Egress(w), Trusted: w.Extras().Trusted, Datagrams: s.TakesDatagrams(w)}
	out.Ports = ports(s, w)
	out.Labelled = slices.ContainsFunc(out.Inbound.Authz, func(e authz.Engine) bool { return e.Labelled() })
	out.ByAddress = slices.ContainsFunc(out.Inbound.Authz, func(e authz.Engine) bool { return e.ByAddress() })
	return out
}

func ports(s *mesh.Snapshot, w *mesh.Workload) (out []config.AppPort) {
	for _, p := range w.Ports {
		out = append(out, config.AppPort{Number: p.Number, Proto: appProto(s, w, p)})
	}
	return out
}

// Address compiles what has an IP, as a caller sees it; nil: nothing in the mesh has. A service's virtual IP goes before a workload's: who
// calls that means the service.
func Address(s *mesh.Snapshot, ip netip.Addr, caller *mesh.Workload) *config.Address {
	if host := s.HostOf(ip); host != "" {
		return &config.Address{Host: host}
	}
	w := s.At(ip)
	if w == nil {
		return nil
	}
	to := &traffic.Endpoint{Addr: netip.AddrPortFrom(ip, 0), ID: w.ID(), Workload: w.Key(), Tunnel: w.TunnelAt(ip), Zone: w.Zone}
	if readsLabels(s, caller) {
		to.Labels = w.Labels
	}
	out := &config.Address{Workload: to, Ports: ports(s, w)}
	for _, svc := range s.ServicesOf(w) {
		if svc.Headless && svc.Namespace == w.Namespace { // others may list the address too, and it is not for their rules to say where calls to it go
			out.Members = append(out.Members, svc.Host)
		}
	}
	slices.Sort(out.Members)
	return out
}

// appProto is what the workload declares of its port, else what a service declares that leads there.
func appProto(s *mesh.Snapshot, w *mesh.Workload, p mesh.WorkloadPort) traffic.Proto {
	if p.Proto != traffic.Detect {
		return p.Proto
	}
	for _, svc := range s.ServicesOf(w) {
		for i := range svc.Ports {
			if n, ok := mesh.TargetOf(w, &svc.Ports[i]); ok && n == p.Number && svc.Ports[i].Proto != traffic.Detect {
				return svc.Ports[i].Proto
			}
		}
	}
	return traffic.Detect
}

// Gateway compiles what a gateway's proxies open, and where the calls go that come there; nil: there is no such gateway.
func Gateway(s *mesh.Snapshot, key string) *config.Gateway {
	g := s.Gateways.Get(key)
	if g == nil {
		return nil
	}
	out := &config.Gateway{Ref: g.Ref, Cert: g.Cert}
	for i := range g.Listeners {
		l := &g.Listeners[i]
		out.Listeners = append(out.Listeners, config.Listener{Listener: *l, Hosts: s.Entering(g, l)})
	}
	out.Origins = origins(s, out)
	slices.SortStableFunc(out.Listeners, func(a, b config.Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), mesh.MoreSpecificHost(a.Host, b.Host))
	})
	return out
}

// origins says how TLS is begun with where the gateway's rules lead.
func origins(s *mesh.Snapshot, g *config.Gateway) (out []config.Origin) {
	seen := map[traffic.Target]bool{}
	for t := range g.Targets {
		if t.Subset = ""; seen[t] || t.Datagrams {
			continue
		}
		seen[t] = true
		if secure := s.Origin(t); secure != nil {
			out = append(out, config.Origin{Target: t, Secure: *secure})
		}
	}
	slices.SortFunc(out, func(a, b config.Origin) int {
		return cmp.Or(cmp.Compare(a.Target.Service, b.Target.Service), cmp.Compare(a.Target.Port, b.Target.Port))
	})
	return out
}

// Peer compiles what others' policies may ask of a workload; nil: there is no such workload.
func Peer(s *mesh.Snapshot, key string) *config.Peer {
	w := s.Workloads.Get(key)
	if w == nil {
		return nil
	}
	return &config.Peer{ID: w.ID(), Labels: w.Labels}
}

// Pod compiles what policies may ask of callers from an address; nil: it is no pod's.
func Pod(s *mesh.Snapshot, ip netip.Addr) *traffic.Pod {
	switch w, sure := s.PodAt(ip); {
	case w == nil:
		return nil
	case !sure:
		return &traffic.Pod{Unclear: true}
	default:
		return &traffic.Pod{Namespace: w.Namespace, Account: w.ID().ServiceAccount, Labels: w.Labels}
	}
}

// All compiles everything as caller sees it: what explain and test need.
func All(s *mesh.Snapshot, caller *mesh.Workload) *config.Set {
	set := config.NewSet()
	for host, svc := range s.Services.All() {
		set.Services[host] = Service(s, host, ClassOf(s, svc, caller))
		for _, ip := range svc.IPs {
			set.Addresses[ip.String()] = &config.Address{Host: host}
		}
	}
	for key, w := range s.Workloads.All() {
		set.Workloads[key], set.Peers[key] = Workload(s, key), Peer(s, key)
		for _, ip := range w.Addrs() {
			if a := Address(s, ip, caller); a != nil {
				set.Addresses[ip.String()] = a
			}
			if pod := Pod(s, ip); pod != nil {
				set.Pods[ip.String()] = pod
			}
		}
	}
	for key := range s.Gateways.Keys() {
		set.Gateways[key] = Gateway(s, key)
	}
	return set
}
