package mesh

import (
	"net/netip"
	"slices"
)

// Touched is what a change may have altered: what must be compiled again, and nothing else.
type Touched struct {
	Hosts      map[string]bool // services by host
	AllHosts   bool            // a wildcard, or a change of what callers' policies read
	Workloads  map[string]bool // by key
	Namespaces map[string]bool // all workloads of these
	Everybody  bool            // all workloads
	Gateways   map[string]bool // by key
}

func newTouched() *Touched {
	return &Touched{Hosts: map[string]bool{}, Workloads: map[string]bool{}, Namespaces: map[string]bool{}, Gateways: map[string]bool{}}
}

// add notes what p touches in s.
func (t *Touched) add(s *Snapshot, p *Part) {
	for i := range p.Services {
		t.Hosts[p.Services[i].Host] = true
	}
	for i := range p.Endpoints {
		t.Hosts[p.Endpoints[i].Host] = true
	}
	for i := range p.Workloads {
		t.workload(s, &p.Workloads[i])
	}
	for i := range p.Routes {
		t.host(p.Routes[i].Host)
	}
	for i := range p.Profiles {
		t.host(p.Profiles[i].Host)
	}
	for i := range p.Backends {
		t.host(p.Backends[i].Host)
	}
	for i := range p.Authorizations {
		t.namespaces(p.Authorizations[i].Namespaces)
		t.AllHosts = t.AllHosts || p.Authorizations[i].Out // callers that read labels of endpoints come or go
	}
	for i := range p.PeerModes {
		if p.PeerModes[i].Namespace == "" {
			t.Everybody = true
			continue
		}
		t.Namespaces[p.PeerModes[i].Namespace] = true
	}
	for i := range p.Gateways {
		t.Gateways[p.Gateways[i].Key()] = true
		t.Namespaces[p.Gateways[i].Namespace] = true // its proxies are told of UDP in rules
	}
	for i := range p.GatewayRoutes {
		t.Gateways[p.GatewayRoutes[i].Gateway] = true
	}
	for i := range p.Originations {
		for _, r := range s.led.Get(p.Originations[i].Host) {
			t.Gateways[r.Gateway] = true
		}
	}
}

func (t *Touched) host(host string) {
	if hostKey(host) == "*" {
		t.AllHosts = true
		return
	}
	t.Hosts[host] = true
}

func (t *Touched) namespaces(list []string) {
	t.Everybody = t.Everybody || len(list) == 0
	for _, n := range list {
		t.Namespaces[n] = true
	}
}

// workload touches the services that have w among their endpoints, or another one that has been, or is now, at w's address.
func (t *Touched) workload(s *Snapshot, w *Workload) {
	t.Workloads[w.Key()] = true
	t.services(s, w)
	for _, a := range w.own() {
		for x := range s.having(a) {
			if x != w {
				t.services(s, x)
			}
		}
	}
}

func (t *Touched) services(s *Snapshot, w *Workload) {
	for _, svc := range s.ServicesOf(w) {
		t.Hosts[svc.Host] = true
	}
}

// ServicesOf returns the services of w's namespace that select w, and those of any that list its address.
func (s *Snapshot) ServicesOf(w *Workload) (out []*Service) {
	for _, l := range append([]string{""}, w.Labels...) {
		for _, svc := range s.selecting.Get(selection{w.Namespace, l}) {
			if svc.Selector.Match(w.Labels) {
				out = append(out, svc)
			}
		}
	}
	for _, a := range w.Addrs() {
		for set := range s.listing(a) {
			if svc := s.Services.Get(set.Host); svc != nil && !slices.Contains(out, svc) {
				out = append(out, svc)
			}
		}
	}
	return out
}

// addrs are those of the set, each once.
func (e *EndpointSet) addrs() (out []netip.Addr) {
	for _, a := range e.Addrs {
		out = append(out, a.Addr)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
