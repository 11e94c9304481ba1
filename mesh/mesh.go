// Package mesh is the one model: services, workloads, routes and policies, in words that no dialect owns. Its policies are the
// features' own types. Its merges are the only ones: what several objects say of one thing is joined here, never in a
// dialect. Snapshots are immutable values.
package mesh

import (
	"net/netip"
	"slices"
	"time"
	"unique"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/feature/cors"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/rewrite"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Rule is a route's rule: whom it is for, what happens, where to. A feature that a route can say has one field here.
type Rule struct {
	route.Rule `pb:"1"`
	Redirect   *redirect.Policy `pb:"2"`
	Rewrite    *rewrite.Policy  `pb:"3"`
	Fault      *fault.Policy    `pb:"4"`
	Headers    *headers.Policy  `pb:"5"`
	Mirrors    []mirror.Policy  `pb:"6"`
	Timeout    *timeout.Policy  `pb:"7"`
	Retry      *retry.Policy    `pb:"8"`
	Classify   *classify.Policy `pb:"9"`
	Backends   []Backend        `pb:"10"` // none, in a route: 500 (Gateway API)
	Answer     *fault.Policy    `pb:"11"` // the rule's own, in place of a callee's: unlike a fault's, it takes the edits of Headers
	Attempt    *timeout.Policy  `pb:"12"` // of each attempt, as Timeout of all together
	CORS       *cors.Policy     `pb:"13"`

	Caller *match.Caller // whose calls; compile evaluates it for each class of callers, so it stays at home
	Port   uint16        // of the service; 0: all; likewise

	Hostname string // of its route, which its Matches ask for; of rules that are sorted, those for a narrower one come first; likewise
}

// Backend is a weighted destination of a rule. A target without a port means the port that was called.
type Backend struct {
	route.Weighted `pb:"1"`
	Headers        *headers.Policy `pb:"2"`
}

// Outbound is how to call a service. A feature that a backend policy can say has one field here.
type Outbound struct {
	Balance *balance.Policy  `pb:"1"`
	Outlier *outlier.Policy  `pb:"2"`
	Breaker *breaker.Policy  `pb:"3"`
	Connect *traffic.Connect `pb:"4"`
	Secure  *traffic.Secure  `pb:"5"`
	Budget  *retry.Budget    `pb:"6"`
}

// Inbound is who may call a workload. A feature that an inbound policy can say has one field here.
type Inbound struct {
	MTLS  *mtls.Policy   `pb:"1"`
	Authz []authz.Engine `pb:"2"`
}

// Service is a name with ports. Its endpoints are given by EndpointSets, else by Selector.
type Service struct {
	Ref       decision.Ref
	Host      string // full: NAME.NAMESPACE.svc.cluster.local
	Name      string
	Namespace string
	IPs       []netip.Addr // virtual; none: one is assigned
	Headless  bool         // names resolve to the endpoints' addresses
	Unready   bool         // workloads that are not ready are endpoints too
	Local     bool         // calls stay on the caller's node; see OnNode
	Ports     []Port
	Datagrams []Port          // over UDP, of the protocol traffic.UDP: for gateways alone, and apart, since a number may be a port's of either sort
	Selector  *match.Selector // nil: no workload is meant
	Created   time.Time
}

// Port is a service's port and where it goes: Target, or the port that a workload calls TargetName.
type Port struct {
	Name       string
	Number     uint16
	Target     uint16
	TargetName string
	Proto      traffic.Proto
}

// Workload is one running instance.
type Workload struct {
	Name      string
	Namespace string
	Identity  unique.Handle[identity.ID] // see ID: all of an account have the same, of 64 bytes; the zero Handle: none
	Addr      netip.Addr
	Tunnel    netip.AddrPort // of its proxy; zero: it has none
	Labels    []string       // "key=value", sorted
	Ports     []WorkloadPort
	Extra     *Extra // what few have; nil: nothing of it
	Zone      string
	Node      string // that it runs on
	Weight    uint32 // [1]
	Ready     bool
	Draining  bool
	Shared    bool // its addresses are its node's, so they do not tell whose a call is
	Claimed   bool // its addresses are its author's word: of a Pod's they are the kubelet's
}

// Extra is what few workloads have, and takes 80 bytes.
type Extra struct {
	Also      []netip.Addr   // further addresses
	Datagrams []WorkloadPort // over UDP, those that have a name: policies may say it
	Trusted   []netip.Prefix // proxies in front of the mesh whose x-forwarded-* counts
	Otherwise *Authorization // it judges calls to those ports that no exclusive authorization of its engine has; nil: they pass
}

// WorkloadPort is a port that a workload declares.
type WorkloadPort struct {
	Name   string
	Number uint16
	Proto  traffic.Proto
}

// ID is the workload's identity; the zero ID: it has none.
func (w *Workload) ID() (id identity.ID) {
	if w.Identity != (unique.Handle[identity.ID]{}) {
		id = w.Identity.Value()
	}
	return id
}

// Key is the workload's name in configuration and certificates.
func (w *Workload) Key() string { return w.Namespace + "/" + w.Name }

// Addrs are all the workload's addresses, its own first.
func (w *Workload) Addrs() []netip.Addr { return append([]netip.Addr{w.Addr}, w.Extras().Also...) }

// Has says whether the workload has an address.
func (w *Workload) Has(a netip.Addr) bool { return w.Addr == a || slices.Contains(w.Extras().Also, a) }

// Extras is the workload's Extra; the zero Extra: it has none.
func (w *Workload) Extras() (x Extra) {
	if w.Extra != nil {
		x = *w.Extra
	}
	return x
}

// TunnelAt is where the workload's proxy is, for who calls the workload at one of its addresses: there, if it is at the workload's own.
func (w *Workload) TunnelAt(a netip.Addr) netip.AddrPort {
	if w.Tunnel.Addr() == w.Addr && w.Has(a) {
		return netip.AddrPortFrom(a, w.Tunnel.Port())
	}
	return w.Tunnel
}

// own are the addresses that nobody else has at the same time.
func (w *Workload) own() []netip.Addr {
	if w.Shared {
		return nil
	}
	return w.Addrs()
}

// EndpointSet is addresses of a service that its source lists (an EndpointSlice).
type EndpointSet struct {
	Ref       decision.Ref
	Host      string
	Ports     []Port // Name and Number: which service port goes to which port of the addresses
	Datagrams []Port // the same for those over UDP
	Addrs     []EndpointAddr
	Hints     bool // some of Addrs are for callers in some places
}

// EndpointAddr is one of them. One that is a Workload's takes identity and labels from there; where a source says whose it is, it is
// left out as long as that one is not known there, since it may have an identity, and calls to none would go out in the clear.
type EndpointAddr struct {
	Addr     netip.Addr
	Workload string // key; empty: whichever has the address, if any
	Zone     string
	Hints    *Hints // who is to call it; nil: nobody says, as of most
	Ready    bool
	Draining bool
}

// Hints say where the callers are that are to call an endpoint; see Near.
type Hints struct{ Zones, Nodes []string }

// Rank says whose routes choose the backend when several dialects speak of a service port: the lowest that says anything
// (DESIGN section 4).
type Rank uint8

const (
	RankGatewayAPI Rank = iota
	RankLinkerdRoute
	RankVirtualService
	RankTrafficSplit
)

// Route attaches rules to a service's port.
type Route struct {
	Ref      decision.Ref
	Created  time.Time
	Host     string // full; or "*.SUFFIX"
	Port     uint16 // 0: all
	Rank     Rank
	Consumer string // the namespace whose calls alone it is for; empty: everybody's
	Pooled   bool   // rules of all such routes are sorted by how specific they are; else the oldest route is the only one
	Rules    []Rule
}

// Profile is what a service's owner knows of its calls, whichever route they take.
type Profile struct {
	Ref      decision.Ref
	Created  time.Time
	Host     string
	Consumer string // as in Route
	Layer    Layer  // rules of a lower layer count where no profile above has any
	Rules    []Rule // Timeout, Attempt, Retry and Classify
	Budget   *retry.Budget
}

// Layer orders backend policies: each field comes from the first layer that sets it (DESIGN section 4).
type Layer uint8

const (
	LayerRule       Layer = iota // an object of its own: DestinationRule, ServiceProfile
	LayerAnnotation              // annotations on the Service
)

// BackendPolicy is how a service is to be called, by one object.
type BackendPolicy struct {
	Ref      decision.Ref
	Created  time.Time
	Host     string   // full; or "*.SUFFIX"
	Layer    Layer    // policies of a lower layer fill what this one leaves unset
	Root     bool     // for callers and services of any namespace, where these have none of their own
	Exports  []string // namespaces whose callers it is for; none: all
	Policy   Outbound
	Ports    []PortPolicy
	Subsets  []Subset
	Selector *match.Selector // callers, of its own namespace, that it is for; nil: all
}

// PortPolicy is the policy of one port; what it leaves unset comes from around it.
type PortPolicy struct {
	Port   uint16
	Policy Outbound
}

// Subset is a labelled part of a service's endpoints.
type Subset struct {
	Ref    decision.Ref
	Name   string
	Labels []string // "key=value"
	Policy Outbound
	Ports  []PortPolicy
}

// Authorization is one object's part in its dialect's engine, on the workloads that it selects.
type Authorization struct {
	Ref           decision.Ref
	Created       time.Time
	Engine        decision.Dialect // whose engine it is a part of, if not that of its own dialect
	Out           bool             // it judges calls out of the workloads, not into them
	Namespaces    []string         // none: all
	NotNamespaces []string
	Accounts      []string // service accounts, of whatever namespace; none: all
	NotAccounts   []string
	Selector      match.Selector
	Port          string // number or name of the workload's port; set: an engine for that port alone
	Exclusive     bool   // of those that select the same port, the oldest alone counts, and its tiers are asked in their order
	Tiers         []authz.Tier
	Named         []Named       // further rules, each for calls to one port
	Closes        *decision.Ref // what denies when no tier decides
}

// Named is a rule for calls to the port that a workload calls by a name. A workload without such a port has no such rule.
type Named struct {
	Port      string
	Datagrams bool // it is a port of UDP
	Effect    authz.Effect
	Rule      authz.Rule
}

// PeerMode is one object's word on mutual TLS.
type PeerMode struct {
	Ref       decision.Ref
	Created   time.Time
	Namespace string          // empty: the whole mesh
	Selector  *match.Selector // nil: the whole namespace
	Mode      mtls.Mode
	Ports     []mtls.Port
}

// Part is what one object says.
type Part struct {
	Services       []Service
	Endpoints      []EndpointSet
	Workloads      []Workload
	Routes         []Route
	Profiles       []Profile
	Backends       []BackendPolicy
	Authorizations []Authorization
	PeerModes      []PeerMode
	Gateways       []Gateway
	GatewayRoutes  []GatewayRoute
	Originations   []Origination
}

// Len is how many things the object says.
func (p *Part) Len() int {
	return len(p.Services) + len(p.Endpoints) + len(p.Workloads) + len(p.Routes) + len(p.Profiles) + len(p.Backends) +
		len(p.Authorizations) + len(p.PeerModes) + len(p.Gateways) + len(p.GatewayRoutes) + len(p.Originations)
}

// Empty says whether the object says nothing.
func (p *Part) Empty() bool { return p.Len() == 0 }
