package istio

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// What VirtualServices say of calls that come by gateways.

// place is where a VirtualService's rules are to have an effect: at a port of a gateway. nil: beside workloads.
type place struct {
	gateways []string // namespace/name of those that the VirtualService is bound to and whose listener it is
	of       *edge
	port     uint16
	secure   bool // calls come by TLS
}

// scheme is the one by which calls come.
func (p *place) scheme() string {
	if p != nil && p.secure {
		return "https"
	}
	return "http"
}

// at says whether the place is one of those that gateways names, as a VirtualService or one of its matches has them.
func (r *reader) at(gateways []string) bool {
	if r.place == nil {
		return slices.Contains(gateways, meshGateway)
	}
	return slices.ContainsFunc(gateways, func(g string) bool { return slices.Contains(r.place.gateways, r.fullGateway(g)) })
}

// fullGateway completes the name of a Gateway: one without a namespace is of the VirtualService's, and there is an old form with the
// namespace behind.
func (r *reader) fullGateway(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	if short, rest, ok := strings.Cut(name, "."); ok {
		namespace, _, _ := strings.Cut(rest, ".")
		return namespace + "/" + short
	}
	return r.Object.Namespace + "/" + name
}

// bound lowers what a VirtualService says at Gateways.
func (r *reader) bound(vs *networking.VirtualService) (out []mesh.GatewayRoute) {
	hosts := r.outside(vs.Hosts)
	namespaces, any := r.exported(vs.ExportTo)
	var edges []*edge
	names := map[*edge][]string{}
	for i, name := range vs.Gateways {
		if name == meshGateway {
			continue
		}
		field, full := dialect.Index("spec.gateways", i), r.fullGateway(name)
		e := r.edgeOf(field, full)
		switch {
		case e == nil:
		case !any || namespaces != nil && !slices.Contains(namespaces, e.namespace):
			r.Warn(field, "the VirtualService is not exported to "+e.namespace+", so it has no effect at this Gateway", "add the namespace to exportTo")
		default:
			if j := slices.IndexFunc(edges, func(x *edge) bool { return x.key() == e.key() }); j >= 0 {
				e = edges[j]
			} else {
				edges = append(edges, e)
			}
			names[e] = append(names[e], full)
			if !r.meets(e, full, hosts) {
				r.Warn(field, fmt.Sprintf("no server of Gateway %s has a host in common with the VirtualService, so it has no effect there", full), "correct spec.hosts, or the servers' hosts")
			}
		}
	}
	for _, e := range edges {
		out = append(out, r.boundTo(e, names[e], hosts, vs)...)
	}
	return out
}

func (r *reader) edgeOf(field, full string) *edge {
	namespace, name, _ := strings.Cut(full, "/")
	o := r.View.Get(networkingGroup, "Gateway", namespace, name)
	if o == nil {
		r.Warn(field, "there is no Gateway "+full+": the VirtualService has no effect by it", "correct the name, or write the Gateway")
		return nil
	}
	g := r.gateway(o)
	if g == nil {
		return nil
	}
	return r.edge(namespace, g.spec.Selector, nil)
}

// outside are the hosts of calls from outside.
func (r *reader) outside(list []string) (hosts []string) {
	for i, h := range list {
		full := strings.ToLower(r.full(h))
		if h == "" {
			r.Refuse(dialect.Index("spec.hosts", i), "the host is empty", "")
		}
		if full == "*" {
			full = ""
		}
		if !slices.Contains(hosts, full) {
			hosts = append(hosts, full)
		}
	}
	return hosts
}

// meets says whether a Gateway has a server for one of the hosts.
func (r *reader) meets(e *edge, full string, hosts []string) bool {
	for s := range e.servers {
		if s.of.Namespace+"/"+s.of.Name == full && len(r.common(s, hosts)) > 0 {
			return true
		}
	}
	return false
}

// common are the hosts of calls that are for a server and for the VirtualService: of each two the one that is in the other. In Istio a
// VirtualService for "*" at a server for one host gets all calls that come to the port in the clear.
func (r *reader) common(s *server, hosts []string) (out []shared) {
	for _, h := range s.hosts {
		if h.namespace != "" && h.namespace != r.Object.Namespace {
			continue
		}
		for _, x := range hosts {
			switch {
			case h.host == "" || within(x, h.host):
				out = append(out, shared{h.host, x})
			case x == "" || within(h.host, x):
				out = append(out, shared{h.host, h.host})
			}
		}
	}
	return out
}

// shared is a host of a server, and what of it is a VirtualService's.
type shared struct{ server, host string }

// within says whether a host, or all that a wildcard stands for, is one that another is or stands for.
func within(host, wild string) bool { return host == wild || host != "" && mesh.Within(host, wild) }

// boundTo lowers for the proxies of some Gateways.
func (r *reader) boundTo(e *edge, names, hosts []string, vs *networking.VirtualService) (out []mesh.GatewayRoute) {
	mine := func(s *server) bool { return slices.Contains(names, s.of.Namespace+"/"+s.of.Name) }
	for s := range e.servers {
		if !mine(s) || !s.open() || s.redirects() {
			continue
		}
		r.place = &place{gateways: names, of: e, port: s.port(), secure: s.entry.TLS()}
		if s.entry.TLS() { // its listeners are its own Gateway's
			r.place.gateways = []string{s.of.Namespace + "/" + s.of.Name}
		}
		both := slices.DeleteFunc(r.common(s, hosts), func(x shared) bool { return s.entry == mesh.EntryHTTP && r.redirected(e, mine, s, x.host) })
		switch {
		case len(both) == 0:
		case s.entry.Heads():
			out = r.add(out, e, s, both, r.rules(vs.Http))
		case s.entry == mesh.EntryPassthrough:
			out = r.named(out, e, s, both, vs.Tls)
		default:
			out = r.add(out, e, s, both, r.plain(vs.Tcp))
		}
		r.place = nil
	}
	return out
}

// redirected says whether calls for a host are told to come by HTTPS, by another server of the port.
func (r *reader) redirected(e *edge, mine func(*server) bool, s *server, host string) bool {
	for x := range e.servers {
		if x.open() && x.redirects() && x.port() == s.port() && mine(x) && slices.ContainsFunc(x.hosts, func(h scoped) bool {
			return h.host == "" || host == h.host || within(host, h.host)
		}) {
			return true
		}
	}
	return false
}

// add gives rules to the listeners of a server. Servers that share a listener have the rules of one VirtualService once.
func (r *reader) add(out []mesh.GatewayRoute, e *edge, s *server, both []shared, rules []mesh.Rule) []mesh.GatewayRoute {
	if len(rules) == 0 {
		return out
	}
	for _, x := range both {
		host := x.host
		if s.entry == mesh.EntryTCP {
			host = ""
		}
		listener := s.listener(x.server)
		i := slices.IndexFunc(out, func(g mesh.GatewayRoute) bool {
			return g.Gateway == e.key() && g.Listener == listener && g.Rules[0].Ref == rules[0].Ref
		})
		if i < 0 {
			i = len(out)
			out = append(out, mesh.GatewayRoute{Ref: r.Ref, Created: r.Object.Created, Gateway: e.key(), Listener: listener, Ordered: true, Rules: rules})
		}
		if !slices.Contains(out[i].Hosts, host) {
			out[i].Hosts = append(out[i].Hosts, host)
		}
	}
	return out
}

// plain lowers tcp: the first rule that is for the port has all connections.
func (r *reader) plain(list []*networking.TCPRoute) []mesh.Rule {
	for i, t := range list {
		field := dialect.Index("spec.tcp", i)
		if len(t.Match) > 0 && !slices.ContainsFunc(indexes(len(t.Match)), func(j int) bool {
			m := t.Match[j]
			return r.connects(dialect.Index(field+".match", j), m.Port, m.Gateways, m.SourceLabels, m.SourceNamespace, len(m.DestinationSubnets) > 0 || m.SourceSubnet != "")
		}) {
			continue
		}
		return []mesh.Rule{r.connection(field, t.Route)}
	}
	return nil
}

// named lowers tls: each rule is for connections by the names that their callers ask for.
func (r *reader) named(out []mesh.GatewayRoute, e *edge, s *server, both []shared, list []*networking.TLSRoute) []mesh.GatewayRoute {
	for i, t := range list {
		field := dialect.Index("spec.tls", i)
		var names []shared
		for j, m := range t.Match {
			at := dialect.Index(field+".match", j)
			if len(m.SniHosts) == 0 {
				r.Refuse(at+".sniHosts", "required, and not there", "name the hosts that callers ask for")
			}
			if !r.connects(at, m.Port, m.Gateways, m.SourceLabels, m.SourceNamespace, len(m.DestinationSubnets) > 0) {
				continue
			}
			for _, name := range m.SniHosts {
				name = strings.TrimPrefix(strings.ToLower(name), "*")
				if strings.HasPrefix(name, ".") {
					name = "*" + name
				}
				for _, x := range both {
					switch {
					case x.host == "" || within(name, x.host):
						names = append(names, shared{x.server, name})
					case name == "" || within(x.host, name):
						names = append(names, x)
					}
				}
			}
		}
		if len(t.Match) == 0 {
			r.Refuse(field+".match", "required, and not there", "name the hosts that callers ask for, in sniHosts")
		}
		if len(names) > 0 {
			out = r.add(out, e, s, names, []mesh.Rule{r.connection(field, t.Route)})
		}
	}
	return out
}

// connects says whether a match of connections is for the place.
func (r *reader) connects(field string, port uint32, gateways []string, labels map[string]string, namespace string, subnets bool) bool {
	if subnets {
		r.Warn(field, "weft cannot tell connections apart by subnets: none matches", "leave the subnet out")
	}
	return !subnets && (port == 0 || port == uint32(r.place.port)) && r.here(gateways, labels, namespace)
}

// here says whether what is only for some gateways, or for some proxies, is for the place. Labels count where no gateways are named.
func (r *reader) here(gateways []string, labels map[string]string, namespace string) bool {
	if len(gateways) > 0 {
		return r.at(gateways)
	}
	s := match.Selector{Labels: dialect.Labels(labels)}
	return s.Match(dialect.Labels(r.place.of.selector)) && (namespace == "" || namespace == r.place.of.namespace)
}

func (r *reader) connection(field string, list []*networking.RouteDestination) mesh.Rule {
	var http []*networking.HTTPRouteDestination
	for _, d := range list {
		http = append(http, &networking.HTTPRouteDestination{Destination: d.Destination, Weight: d.Weight})
	}
	if len(list) == 0 {
		r.Refuse(field+".route", "required, and not there", "add a destination")
	}
	return mesh.Rule{Rule: route.Rule{Ref: r.Rule(field)}, Backends: r.backends(field, &networking.HTTPRoute{Route: http})}
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
