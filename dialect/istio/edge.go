package istio

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// edge is what the Gateways of one namespace that select the same proxies make together. In Istio those proxies are deployed by hand,
// and Gateways of any namespace are theirs; weft deploys them, in the namespace of the Gateways: only its own certificates' keys get there.
type edge struct {
	namespace string
	selector  map[string]string
	gateways  []*gateway // the oldest first: its servers go before those of the others
}

// gateway is a Gateway.
type gateway struct {
	object  *dialect.Object
	spec    *networking.Gateway
	servers []*server
}

// server is one of a Gateway's: a port, for some hosts.
type server struct {
	of    *dialect.Object
	field string
	spec  *networking.Server
	entry mesh.Entry
	hosts []scoped
	certs []mesh.Certificate // filled by readCertificates
	shut  flaw               // why it is not opened; zero: it is

	callers *mesh.Callers // what is asked of who calls, its authorities filled by readCertificates; nil: nothing
}

// scoped is a host of a server, for VirtualServices of one namespace or of all.
type scoped struct{ namespace, host string } // of all; of every call

// flaw is what is wrong, and what to do.
type flaw struct{ text, remedy string }

func (s *server) port() uint16 { return uint16(s.spec.GetPort().GetNumber()) }

func (s *server) ref() decision.Ref {
	return s.of.Ref(decision.Istio).At(strings.TrimPrefix(s.field, "spec."))
}

func (s *server) open() bool { return s.shut == (flaw{}) }

// redirects says whether the server only tells callers to come by HTTPS.
func (s *server) redirects() bool {
	return s.entry == mesh.EntryHTTP && s.spec.GetTls().GetHttpsRedirect()
}

// GatewayPrefix begins the names of the gateways of Istio's Gateways in configuration, before what they are selected by. No object of
// Kubernetes has a colon in its name.
const GatewayPrefix = "istio:"

// key is the edge's gateway in configuration.
func (e *edge) key() string { return e.namespace + "/" + e.name() }

func (e *edge) name() string { return GatewayPrefix + e.stem() }

// gatewayLabel is that of all that weft makes for Istio's Gateways.
const gatewayLabel = "weft.dev/istio-gateway"

// Proxies says of what account the proxies are that weft deploys for the Gateways of a selector, by what stands behind the prefix in the
// gateway's name, and which labels they have at least.
func Proxies(stem string) (account string, labels map[string]string) {
	return "weft-istio-" + stem, map[string]string{gatewayLabel: stem, ingress: stem}
}

// ingress is the label that Istio's own gateways have.
const ingress = "istio"

// mostStem is how much of a label value gets into names.
const mostStem = 32

// stem names the edge in its namespace: by the label "istio" if it alone is selected by, else by a hash too.
func (e *edge) stem() string {
	value := e.selector[ingress]
	if len(e.selector) == 1 && len(value) <= mostStem && len(validation.IsDNS1123Label(value)) == 0 {
		return value
	}
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(e.selector)) {
		fmt.Fprintf(&text, "%s=%s,", k, e.selector[k])
	}
	sum := sha256.Sum256([]byte(text.String()))
	value = strings.ToLower(cmp.Or(value, e.selector["app"], "gateway"))
	value = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '-'
	}, value[:min(len(value), mostStem)])
	return strings.Trim(value, "-") + "-" + hex.EncodeToString(sum[:4])
}

// edge reads the Gateways that have the proxies of one in common. own, if it is there, takes the place of its object among them: it may
// be a version that is not in force yet.
func (r *reader) edge(namespace string, selector map[string]string, own *gateway) *edge {
	e := &edge{namespace: namespace, selector: selector}
	for _, o := range r.View.List(networkingGroup, "Gateway", namespace) {
		g := own
		if own == nil || o.Key() != own.object.Key() {
			g = r.gateway(o)
		}
		if g != nil && maps.Equal(g.spec.Selector, selector) {
			e.gateways = append(e.gateways, g)
		}
	}
	if own != nil && !slices.Contains(e.gateways, own) {
		e.gateways = append(e.gateways, own)
		slices.SortStableFunc(e.gateways, func(a, b *gateway) int {
			return cmp.Or(a.object.Created.Compare(b.object.Created), cmp.Compare(a.object.Name, b.object.Name))
		})
	}
	e.findConflicts()
	return e
}

// gateway reads a Gateway beside the object that is read; nil: it is none.
func (r *reader) gateway(o *dialect.Object) *gateway {
	g := &gateway{object: o, spec: gatewaySpec(o, r.View)}
	if g.spec == nil {
		return nil
	}
	newReader(o, r.View).readServers(g)
	return g
}

// findConflicts shuts servers that cannot share a port with one before them (Istio: MergeGateways): only HTTP in the clear can be
// merged, and TLS told apart by the names that callers ask for.
func (e *edge) findConflicts() {
	first := map[uint16]*server{}
	names := map[uint16]map[string]*server{}
	for s := range e.servers {
		if !s.open() {
			continue
		}
		port := s.port()
		f := first[port]
		switch {
		case f == nil:
			first[port], names[port] = s, map[string]*server{}
		case f.entry.TLS() != s.entry.TLS(), f.entry.Heads() != s.entry.Heads() && !s.entry.TLS(), s.entry == mesh.EntryTCP:
			s.shut = flaw{fmt.Sprintf("port %d is for %s by %s, which is older or above: the server is not opened", port, f.entry, words(f)), "choose another port"}
			continue
		}
		if !s.entry.TLS() {
			continue
		}
		for _, h := range s.hosts {
			if x := names[port][h.host]; x != nil && x != s {
				s.shut = flaw{fmt.Sprintf("%s has the host %s on port %d too, and is older or above: the server is not opened", words(x), cmp.Or(h.host, "*"), port), "name each host in one server"}
			}
		}
		for _, h := range s.hosts {
			if s.open() {
				names[port][h.host] = s
			}
		}
	}
}

func words(s *server) string {
	ref := s.ref()
	return strings.TrimSuffix(ref.String(), " (istio)")
}

// servers yields those of all Gateways in order.
func (e *edge) servers(yield func(*server) bool) {
	for _, g := range e.gateways {
		for _, s := range g.servers {
			if !yield(s) {
				return
			}
		}
	}
}

// listener names where calls to a server for one of its hosts come: HTTP in the clear has one listener for the port, since servers are
// merged there; of TLS each host has its own.
func (s *server) listener(host string) string {
	if s.entry == mesh.EntryHTTP || s.entry == mesh.EntryTCP {
		return fmt.Sprintf("%s %d", s.entry, s.port())
	}
	return fmt.Sprintf("%s %d %s", s.entry, s.port(), cmp.Or(host, "*"))
}

// listeners are those of the servers that are open, each once.
func (e *edge) listeners() (out []mesh.Listener) {
	for s := range e.servers {
		for _, h := range s.hosts {
			l := mesh.Listener{Ref: s.ref(), Name: s.listener(h.host), Port: s.port(), Entry: s.entry, Certs: s.certs, TLS: versions(s.spec.GetTls()), Callers: s.callers}
			if s.entry.TLS() {
				l.Host = h.host
			}
			if s.open() && !slices.ContainsFunc(out, func(x mesh.Listener) bool { return x.Name == l.Name }) {
				out = append(out, l)
			}
		}
	}
	return out
}

// usual are the ports at which callers find the proxies of Istio's own installation, by those where these listen.
var usual = map[uint16]uint16{8080: 80, 8443: 443}

// mesh is the edge's gateway.
func (e *edge) mesh() mesh.Gateway {
	account, _ := Proxies(e.stem())
	out := mesh.Gateway{Ref: e.gateways[0].object.Ref(decision.Istio), Name: e.name(), Namespace: e.namespace, Account: account, Listeners: e.listeners(),
		Made: mesh.Made{Adopted: true, Selector: map[string]string{gatewayLabel: e.stem()}, Labels: maps.Clone(e.selector), Annotations: map[string]string{}}}
	for _, g := range e.gateways {
		meta, _ := g.object.Tree["metadata"].(map[string]any)
		if uid, _ := meta["uid"].(string); uid != "" {
			out.Made.Owners = append(out.Made.Owners, mesh.Owner{Ref: g.object.Ref(decision.Istio), APIVersion: g.object.Group + "/" + g.object.Version, UID: uid})
		}
		if t := g.object.Annotations[mesh.ServiceType]; t != "" && out.Made.Annotations[mesh.ServiceType] == "" {
			out.Made.Annotations[mesh.ServiceType] = t
		}
	}
	open := func(port uint16) bool {
		return slices.ContainsFunc(out.Listeners, func(l mesh.Listener) bool { return l.Port == port })
	}
	for listens, found := range usual {
		if open(listens) && !open(found) {
			out.Made.Ports = append(out.Made.Ports, mesh.Found{Port: found, Listener: listens})
		}
	}
	slices.SortFunc(out.Made.Ports, func(a, b mesh.Found) int { return cmp.Compare(a.Port, b.Port) })
	return out
}
