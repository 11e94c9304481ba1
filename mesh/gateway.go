package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Gateway is a proxy at the edge of the mesh, and where it listens.
type Gateway struct {
	Ref       decision.Ref
	Name      string
	Namespace string
	Account   string // service account of its proxies, in its namespace: who proves to have it gets the certificates' keys
	Listeners []Listener
	Cert      *Certificate // shown to backends with which TLS is begun and that ask for one; nil: none
	Made      Made
}

// Origination is how gateways begin TLS with a service that is not of the mesh, by one object. Where several speak of one port, one that
// names it goes before others, and then the oldest.
type Origination struct {
	Ref     decision.Ref
	Created time.Time
	Host    string // full
	Port    uint16 // 0: all
	Secure  traffic.Secure
}

// Origin returns how gateways secure calls to a target; nil: nobody says.
func (s *Snapshot) Origin(t traffic.Target) *traffic.Secure {
	o := first(slices.DeleteFunc(slices.Clone(s.begun.Get(t.Service)), func(o *Origination) bool { return o.Port != 0 && o.Port != t.Port }), func(a, b *Origination) int {
		return cmp.Or(yes(a.Port != 0, b.Port != 0), age(a.Created, a.Ref, b.Created, b.Ref))
	})
	if o == nil {
		return nil
	}
	return &o.Secure
}

// leadsTo are the hosts that the route's rules lead to, each once.
func (r *GatewayRoute) leadsTo() (hosts []string) {
	for i := range r.Rules {
		for j := range r.Rules[i].Backends {
			hosts = append(hosts, r.Rules[i].Backends[j].Target.Service)
		}
		for j := range r.Rules[i].Mirrors {
			hosts = append(hosts, r.Rules[i].Mirrors[j].Target.Service)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Made is what is asked of the objects that weft makes of a gateway's object, for its proxies to run.
type Made struct {
	Owners      []Owner           // of which each is enough to keep them; none: the gateway is in no cluster
	Adopted     bool              // only in a namespace that weft has adopted: its objects do not name who is to run them
	Selector    map[string]string // labels of the proxies' pods that nothing else has
	Addresses   []string          // that callers are to find it at; none: any
	Ports       []Found           // at which callers find listeners too, beside the listeners' own
	Labels      map[string]string
	Annotations map[string]string // of the objects; see ServiceType and Plain
	Replicas    Replicas
}

// ServiceType is an annotation that says of which type of Kubernetes the Service of a gateway's proxies is.
const ServiceType = "weft.dev/service-type"

// Plain says whether an annotation of Made is put on all that weft makes of a gateway. What has a domain before its name tells a program what to do
// with the object that has it: to put a pod into a network or to leave it unconfined, say, or to give an account a cloud's rights. Who may write a
// gateway may have none of that, so it is put on the Service alone, where load balancers look; but for what Prometheus reads, and weft's proxies do.
func Plain(annotation string) bool {
	return !strings.Contains(annotation, "/") || strings.HasPrefix(annotation, "prometheus.io/") || annotation == "weft.dev/trusted-proxies"
}

// Replicas is how many proxies a gateway has. The zero value says nothing.
type Replicas struct {
	Min, Max uint16 // as many as their load asks for, between these; the same: so many
	CPU      string // how much of a processor each is to use on average before there are more, as Kubernetes writes it; empty: not said
}

// ParseReplicas reads "3", or "2-10" for as many as the load asks for.
func ParseReplicas(text string) (r Replicas, err error) {
	least, most, ranged := strings.Cut(text, "-")
	if !ranged {
		most = least
	}
	a, err := strconv.ParseUint(least, 10, 16)
	b, also := strconv.ParseUint(most, 10, 16)
	if err != nil || also != nil || a < 1 || b < a {
		return r, fmt.Errorf("%q is no number of replicas: want one, as 3, or two with a dash between, as 2-10", text)
	}
	return Replicas{Min: uint16(a), Max: uint16(b)}, nil
}

// FieldTaken is the field of a finding by which the object of a gateway hears that its proxies are not deployed as it asks for: a name that they need is
// somebody else's, say.
const FieldTaken = "metadata.name"

// OwnPort says whether a gateway's proxies have a port of TCP open for the mesh itself: a listener there would keep them from being ready.
func OwnPort(port uint16) bool {
	return port == traffic.TunnelPort || port == traffic.MetricsPort || port == traffic.ReadyPort
}

// Found is a port at which callers find the listeners of another one.
type Found struct{ Port, Listener uint16 }

// Owner is an object with which go the objects that weft makes.
type Owner struct {
	Ref             decision.Ref
	APIVersion, UID string
}

// Key is the gateway's name in configuration.
func (g *Gateway) Key() string { return g.Namespace + "/" + g.Name }

// Runs says whether w is a proxy of the gateway's.
func (g *Gateway) Runs(w *Workload) bool {
	id := w.ID()
	return w.Namespace == g.Namespace && id.Namespace == g.Namespace && id.ServiceAccount == g.Account
}

// Entry is what a listener takes, and what becomes of TLS there.
type Entry uint8

const (
	EntryHTTP        Entry = iota // HTTP in the clear, of either version
	EntryHTTPS                    // HTTP in TLS, which ends at the gateway
	EntryTLS                      // any bytes in TLS, which ends at the gateway
	EntryPassthrough              // TLS that goes on as it is, by the name that its caller asks for
	EntryTCP                      // any bytes, in the clear
	EntryUDP                      // datagrams, as they come
)

func (e Entry) String() string {
	if int(e) >= len(entries) { // of a newer control plane
		return "another protocol"
	}
	return entries[e]
}

var entries = [...]string{"HTTP", "HTTPS", "TLS", "TLS passthrough", "TCP", "UDP"}

// TLS says whether callers begin with TLS.
func (e Entry) TLS() bool { return e.Ends() || e == EntryPassthrough }

// Ends says whether TLS ends at the gateway.
func (e Entry) Ends() bool { return e == EntryHTTPS || e == EntryTLS }

// Heads says whether calls have heads, which rules look at.
func (e Entry) Heads() bool { return e == EntryHTTP || e == EntryHTTPS }

// Datagrams says whether the listener's port is UDP's, which is another one than that of its number for TCP.
func (e Entry) Datagrams() bool { return e == EntryUDP }

// Listener is a port of a gateway, or of several that share one the part that is for a host.
type Listener struct {
	Ref   decision.Ref  `pb:"1"`
	Name  string        `pb:"2"` // among the gateway's
	Port  uint16        `pb:"3"`
	Entry Entry         `pb:"4"`
	Host  string        `pb:"5"` // "a.example", or "*.example" for all below; empty: all
	Certs []Certificate `pb:"6"` // of those that end TLS; the first fits where none does by name
	TLS   Versions      `pb:"7"` // of those that end TLS

	Callers *Callers `pb:"8"` // of those that end TLS: what is asked of who calls; nil: nothing
}

// Ask says what becomes of callers that show no certificate, or one that does not hold.
type Ask uint8

const (
	AskValid     Ask = iota // neither is let in
	AskIfShown              // one that shows none is let in
	AskAndIgnore            // both are let in: whoever is behind the gateway has to judge
)

// Callers is what a listener asks of the certificates of those that call from outside.
type Callers struct {
	Ref   decision.Ref `pb:"1"`
	Roots [][]byte     `pb:"2"` // authorities that vouch for callers, in DER
	Ask   Ask          `pb:"3"`
	Names []string     `pb:"4"` // of which the certificate has one: hosts or, with a colon, URIs; none: any does
}

// Versions of TLS by their numbers there (RFC 8446 section 4.2.1).
const (
	TLS12 = 0x0303
	TLS13 = 0x0304
)

// Versions are the versions of TLS that a listener takes, as TLS numbers them; zero: as few as are secure, and all that there are.
type Versions struct {
	Min uint16 `pb:"1"`
	Max uint16 `pb:"2"`
}

// Certificate is one that a gateway shows, with its key.
type Certificate struct {
	Ref   decision.Ref `pb:"1"` // where it comes from
	Chain [][]byte     `pb:"2"` // DER, leaf first
	Key   PrivateKey   `pb:"3"`
}

// PrivateKey is a key in PKCS #8. It does not show in what is printed or written as JSON.
type PrivateKey []byte

const hidden = "a private key"

// String does not show the key.
func (PrivateKey) String() string { return hidden }

// GoString does not show the key.
func (PrivateKey) GoString() string { return hidden }

// MarshalJSON does not show the key.
func (PrivateKey) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// GatewayRoute attaches rules to a listener of a gateway.
type GatewayRoute struct {
	Ref      decision.Ref
	Created  time.Time
	Gateway  string   // key
	Listener string   // empty: all that end up with HTTP and have a host in common with it
	Hosts    []string // that the calls are for, as in Listener; "": all that the listener takes
	Ordered  bool     // rules are asked in the order in which they are written, and a call that none is for goes on to no other host's
	Rules    []Rule
}

// Hosted is the rules for calls of one host, in the order in which they are asked.
type Hosted struct {
	Host  string `pb:"1"` // as in Listener
	Rules []Rule `pb:"2"`
	Last  bool   `pb:"3"` // a call that no rule is for is not for a more general host either
}

// Entering merges what all routes say of the calls that come by a listener, the most specific host first. A call that no rule of
// one host is for goes on to the next host that is its, since "precedence must be given to rules from the HTTPRoute with the largest
// number of" characters in the host (HTTPRouteSpec.hostnames): it is the rules that go before each other. Of ordered routes those of
// the oldest go first, but those for every call last of all (Istio: SortVHostRoutes). Of rules without matches, as those of connections
// are, those of the oldest route alone count.
func (s *Snapshot) Entering(g *Gateway, l *Listener) (out []Hosted) {
	routes := slices.Clone(s.entered.Get(g.Key()))
	routes = slices.DeleteFunc(routes, func(r *GatewayRoute) bool { return r.Listener != l.Name && (r.Listener != "" || !l.Entry.Heads()) })
	slices.SortStableFunc(routes, func(a, b *GatewayRoute) int { return age(a.Created, a.Ref, b.Created, b.Ref) })
	for _, r := range routes {
		for _, host := range r.Hosts {
			i := slices.IndexFunc(out, func(h Hosted) bool { return h.Host == host })
			switch {
			case r.Listener == "" && !Overlap(l.Host, host):
			case i < 0:
				out = append(out, Hosted{host, slices.Clone(r.Rules), r.Ordered})
			case l.Entry.Heads():
				out[i].Rules = append(out[i].Rules, r.Rules...)
			}
		}
	}
	for i := range out {
		if out[i].Last {
			slices.SortStableFunc(out[i].Rules, func(a, b Rule) int { return yes(!a.Everything(), !b.Everything()) })
			continue
		}
		slices.SortStableFunc(out[i].Rules, MoreSpecific)
	}
	slices.SortStableFunc(out, func(a, b Hosted) int { return MoreSpecificHost(a.Host, b.Host) })
	return out
}

// Overlap says whether a call can be of both hosts, each a name, a wildcard or, empty, all.
func Overlap(a, b string) bool { return a == b || a == "" || b == "" || Within(a, b) || Within(b, a) }

// Within says whether a host, or all that a wildcard stands for, is one that another wildcard stands for.
func Within(host, wild string) bool {
	suffix, ok := strings.CutPrefix(wild, "*")
	return ok && host != wild && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix) && len(strings.TrimPrefix(host, "*")) > len(suffix)
}

// Everything says whether a rule is for every call.
func (r *Rule) Everything() bool {
	return len(r.Matches) == 0 || slices.ContainsFunc(r.Matches, func(m match.Request) bool { return m.Everything() })
}

// MoreSpecificHost orders hosts as listeners and routes of gateways have them: names, then wildcards, the longest first, then what
// is for all.
func MoreSpecificHost(a, b string) int {
	return cmp.Or(cmp.Compare(generality(a), generality(b)), cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
}

func generality(host string) int {
	switch {
	case host == "":
		return 2
	case strings.HasPrefix(host, "*"):
		return 1
	}
	return 0
}

// connectionsLost: of several routes for the same connections the oldest is in force.
func (s *Snapshot) connectionsLost() (out []Finding) {
	for _, g := range s.Gateways.All() {
		for i := range g.Listeners {
			l := &g.Listeners[i]
			if !l.Entry.Heads() {
				out = append(out, s.lostAt(g, l)...)
			}
		}
	}
	return out
}

func (s *Snapshot) lostAt(g *Gateway, l *Listener) []Finding {
	type subject struct{ host string }
	type claim struct {
		of   *GatewayRoute
		host string
	}
	claims := map[string][]*claim{}
	for _, r := range s.entered.Get(g.Key()) {
		for _, host := range r.Hosts {
			if r.Listener == l.Name {
				claims[host] = append(claims[host], &claim{r, host})
			}
		}
	}
	return lost(maps.All(claims), func(c *claim) (subject, bool) { return subject{c.host}, true }, func(c *claim) dated { return dated{c.of.Created, c.of.Ref} },
		"takes no effect at %[2]s: %[1]v, which is older, says where its connections go", func(*claim) string { return l.Ref.String() })
}
