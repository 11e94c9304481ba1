// Package config is what proxies get: one resource per service, workload, peer, address, pod, gateway and trust domain, the same
// bytes for all that may have them. The policies inside are the features' own types: there is nothing to convert.
package config

//go:generate go test -count=1 -run ^TestProto$ . -update

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Kinds of resources, as the first part of their names.
const (
	KindService  = "service"  // service/HOST: how to call one
	KindAddress  = "address"  // address/IP: what has it
	KindWorkload = "workload" // workload/NAMESPACE/NAME: what its own proxy needs to know of it
	KindPeer     = "peer"     // peer/NAMESPACE/NAME: what policies may ask of a caller
	KindPod      = "pod"      // pod/IP: what they may ask of one who has shown no identity, a traffic.Pod
	KindTrust    = "trust"    // trust/DOMAIN: its roots
	KindGateway  = "gateway"  // gateway/NAMESPACE/NAME: what its proxies open, with the keys of their certificates: for them alone
)

// Name joins a resource's kind and key.
func Name(kind, key string) string { return kind + "/" + key }

// Cut splits a resource's name.
func Cut(name string) (kind, key string) {
	kind, key, _ = strings.Cut(name, "/")
	return kind, key
}

// Service is how to call one, for a class of callers.
type Service struct {
	Host      string       `pb:"1"` // full
	Namespace string       `pb:"2"`
	IPs       []netip.Addr `pb:"3"` // virtual
	Headless  bool         `pb:"4"` // its name resolves to its endpoints
	Ports     []Port       `pb:"5"`
	Datagrams []Port       `pb:"6"` // over UDP: numbers and pools
}

// Endpoint finds the port that leads to an address, and the endpoint there; nil: none does.
func (s *Service) Endpoint(at netip.AddrPort) (*Port, *traffic.Endpoint) {
	for i := range s.Ports {
		p := &s.Ports[i]
		for j := range p.Pools[:min(len(p.Pools), 1)] {
			for k := range p.Pools[j].Endpoints {
				if e := &p.Pools[j].Endpoints[k]; e.Addr == at {
					return p, e
				}
			}
		}
	}
	return nil, nil
}

// Port is one port's rules and pools.
type Port struct {
	Number  uint16        `pb:"1"`
	Name    string        `pb:"2"`
	Proto   traffic.Proto `pb:"3"`
	Route   decision.Ref  `pb:"4"` // the object whose rules these are; zero: there are none, and calls go to the pool without a subset
	Rules   []mesh.Rule   `pb:"5"`
	Profile []mesh.Rule   `pb:"6"` // Timeout, Retry and Classify under any rule
	Budget  *retry.Budget `pb:"7"`
	Pools   []Pool        `pb:"8"` // the first without a subset
}

// Pool is the endpoints behind a port or a subset of it.
type Pool struct {
	Subset    string             `pb:"1"`
	Policy    mesh.Outbound      `pb:"2"`
	Endpoints []traffic.Endpoint `pb:"3"` // sorted by address
}

// Address says what has an IP: a service, whose virtual one it is, or a workload.
type Address struct {
	Host     string            `pb:"1"` // of the service
	Workload *traffic.Endpoint `pb:"2"` // on no port
	Ports    []AppPort         `pb:"3"` // that the workload declares
	Members  []string          `pb:"4"` // hosts of the headless services that lead to the workload: who calls one calls it by such an address
}

// At is a port of the workload that has the address, and what it speaks.
func (a *Address) At(port uint16) (traffic.Endpoint, traffic.Proto) {
	to := *a.Workload
	to.Addr = netip.AddrPortFrom(to.Addr.Addr(), port)
	for _, p := range a.Ports {
		if p.Number == port {
			return to, p.Proto
		}
	}
	return to, traffic.Detect
}

// Workload is what its own proxy needs to know of it.
type Workload struct {
	Name      string         `pb:"1"`
	Namespace string         `pb:"2"`
	ID        identity.ID    `pb:"3"`
	Addr      netip.Addr     `pb:"4"`
	Labels    []string       `pb:"5"` // "key=value", sorted
	Ports     []AppPort      `pb:"6"`
	Inbound   mesh.Inbound   `pb:"7"`
	Egress    []authz.Engine `pb:"8"`
	Labelled  bool           `pb:"9"`  // Inbound reads labels of callers: the proxy asks for peers
	Trusted   []netip.Prefix `pb:"10"` // proxies in front of the mesh whose x-forwarded-* counts
	Also      []netip.Addr   `pb:"11"` // further addresses
	Datagrams bool           `pb:"12"` // Inbound and Egress tell UDP from TCP: the proxy is that of a gateway with a listener for it
	ByAddress bool           `pb:"13"` // Inbound means callers by the pods that have their addresses: the proxy asks for pods
}

// Has says whether the workload has an address.
func (w *Workload) Has(a netip.Addr) bool { return w.Addr == a || slices.Contains(w.Also, a) }

// Trusts says whether a caller from outside is a proxy whose word on forwarding counts.
func (w *Workload) Trusts(a netip.Addr) bool {
	return slices.ContainsFunc(w.Trusted, func(x netip.Prefix) bool { return x.Contains(a) })
}

// AppPort is a port that the workload's application listens on.
type AppPort struct {
	Number uint16        `pb:"1"`
	Proto  traffic.Proto `pb:"2"`
}

// Peer is what policies may ask of a caller.
type Peer struct {
	ID     identity.ID `pb:"1"`
	Labels []string    `pb:"2"`
}

// Trust is the roots of a trust domain.
type Trust struct {
	Domain   string   `pb:"1"`
	Sequence uint64   `pb:"2"` // grows with each change
	Roots    [][]byte `pb:"3"` // DER certificates
	Issuer   []byte   `pb:"4"` // identity.RootID of the root that signs now: who holds a certificate of another renews it
}

// Gateway is what a gateway's proxies open, and where the calls go that come there.
type Gateway struct {
	Ref       decision.Ref      `pb:"1"`
	Listeners []Listener        `pb:"2"` // those of one port together, the most specific host first
	Origins   []Origin          `pb:"3"` // sorted by target
	Cert      *mesh.Certificate `pb:"4"` // shown to backends with which TLS is begun
}

// Origin is how a gateway secures its calls to a target, in the place of what the service's own configuration says.
type Origin struct {
	Target traffic.Target `pb:"1"` // of all subsets
	Secure traffic.Secure `pb:"2"`
}

// Listener is one, and its rules.
type Listener struct {
	mesh.Listener `pb:"1"`
	Hosts         []mesh.Hosted `pb:"2"` // the most specific first: a call that no rule of one is for is the next one's, if it is of it
}

// Targets yields where the rules lead, copies included; a target may come several times.
func (g *Gateway) Targets(yield func(traffic.Target) bool) {
	for i := range g.Listeners {
		for j := range g.Listeners[i].Hosts {
			if !targets(g.Listeners[i].Hosts[j].Rules, yield) {
				return
			}
		}
	}
}

// Targets yields where the rules lead, copies included; a target may come several times.
func (s *Service) Targets(yield func(traffic.Target) bool) {
	for i := range s.Ports {
		if !targets(s.Ports[i].Rules, yield) {
			return
		}
	}
}

func targets(rules []mesh.Rule, yield func(traffic.Target) bool) bool {
	for i := range rules {
		r := &rules[i]
		for j := range r.Backends {
			if r.Backends[j].Missing == "" && !yield(r.Backends[j].Target) {
				return false
			}
		}
		for j := range r.Mirrors {
			if !yield(r.Mirrors[j].Target) {
				return false
			}
		}
	}
	return true
}

// Set is resources by key. A Set is not changed once it is in use.
type Set struct {
	Services  map[string]*Service
	Addresses map[string]*Address
	Workloads map[string]*Workload
	Peers     map[string]*Peer
	Gateways  map[string]*Gateway
	Pods      map[string]*traffic.Pod // by address
}

// NewSet is empty.
func NewSet() *Set {
	return &Set{map[string]*Service{}, map[string]*Address{}, map[string]*Workload{}, map[string]*Peer{}, map[string]*Gateway{}, map[string]*traffic.Pod{}}
}
