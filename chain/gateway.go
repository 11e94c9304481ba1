package chain

import (
	"fmt"
	"iter"
	"strings"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Gateway is the way of calls that come to a gateway: by their port and host to one listener, by the listener's rules to a backend.
// It is not changed once it is built.
type Gateway struct {
	ref   *decision.Ref
	ports map[door]hosts[*Listener]
}

// door is a port of TCP or of UDP.
type door struct {
	port      uint16
	datagrams bool
}

// Listener is a listener of a gateway, and the ways of its calls by host.
type Listener struct {
	*config.Listener
	hosts hosts[*hosted]
}

// hosted is the rules for one host.
type hosted struct {
	rules *route.Rules
	next  []traffic.Handler
	last  bool
}

// NewGateway builds the way of calls that come to a gateway, as NewService does that of calls to a service.
func NewGateway(cfg *config.Gateway, st *State, find Finder) (*Gateway, error) {
	origins, err := readyOrigins(cfg)
	if err != nil {
		return nil, err
	}
	g := &Gateway{ref: &cfg.Ref, ports: map[door]hosts[*Listener]{}}
	for i := range cfg.Listeners {
		c := &cfg.Listeners[i]
		if err := readyListener(c); err != nil {
			return nil, fmt.Errorf("chain: %v: %w", &c.Ref, err)
		}
		at := traffic.Target{Service: "gateway " + cfg.Ref.Namespace + "/" + cfg.Ref.Name, Port: c.Port, Subset: c.Name, Datagrams: c.Entry.Datagrams()} // no service has a space in its name
		b := builder{find: find, ledger: st.ledger(at), room: st.room, proto: traffic.Detect, origins: origins}
		l := &Listener{Listener: c, hosts: hosts[*hosted]{}}
		for j := range c.Hosts {
			l.hosts[c.Hosts[j].Host] = b.hosted(&c.Hosts[j])
		}
		opened := door{c.Port, c.Entry.Datagrams()}
		if opens, secure := g.Opens(c.Port); opens && !opened.datagrams && secure != c.Entry.TLS() {
			return nil, fmt.Errorf("chain: %v: port %d is another listener's, and the first bytes do not tell whose a connection is", &c.Ref, c.Port)
		}
		if g.ports[opened] == nil {
			g.ports[opened] = hosts[*Listener]{}
		}
		g.ports[opened][c.Host] = l
	}
	return g, nil
}

// readyOrigins says how TLS is begun with targets.
func readyOrigins(cfg *config.Gateway) (map[traffic.Target]*traffic.Secure, error) {
	if len(cfg.Origins) == 0 {
		return nil, nil
	}
	out := map[traffic.Target]*traffic.Secure{}
	for i := range cfg.Origins {
		o := &cfg.Origins[i]
		if err := readySecure(&o.Secure, cfg.Cert); err != nil {
			return nil, fmt.Errorf("chain: %v: %w", &o.Secure.Ref, err)
		}
		out[o.Target] = &o.Secure
	}
	return out, nil
}

func readyListener(c *config.Listener) error {
	if c.Entry > mesh.EntryUDP {
		return fmt.Errorf("its protocol is not known; the proxy may be older than the control plane")
	}
	for i := range c.Hosts {
		for j := range c.Hosts[i].Rules {
			r := &c.Hosts[i].Rules[j]
			if err := readyRule(r); err != nil {
				return fmt.Errorf("%v: %w", &r.Ref, err)
			}
		}
	}
	return nil
}

func (b *builder) hosted(c *mesh.Hosted) *hosted {
	h := &hosted{rules: matchers(c.Rules), last: c.Last}
	for i := range c.Rules {
		r := withDefaults(c.Rules[i])
		h.next = append(h.next, b.rule(&r))
	}
	return h
}

// AtGateway is the way of a call into a gateway, in order: who may come is judged before where it goes is looked for, as in front of a
// workload. Mutual TLS is not asked of callers from outside. w is a workload that NewInbound has readied.
func AtGateway(w *config.Workload, way traffic.Handler) traffic.Handler {
	var told traffic.Wrap
	if !w.Datagrams && len(w.Inbound.Authz)+len(w.Egress) > 0 {
		told = authz.WithoutDatagrams
	}
	return traffic.Chain(way, told, authz.With(w.Inbound.Authz))
}

// Opens says whether the gateway listens on a port of TCP, and whether connections begin with TLS there.
func (g *Gateway) Opens(port uint16) (opens, secure bool) {
	for _, l := range g.ports[door{port: port}] {
		return true, l.Entry.TLS()
	}
	return false, false
}

// Passes says whether TLS is passed on at a port, as it is, by a listener of it.
func (g *Gateway) Passes(port uint16) bool {
	for _, l := range g.ports[door{port: port}] {
		if l.Entry == mesh.EntryPassthrough {
			return true
		}
	}
	return false
}

// Listener returns the listener of a port of TCP for a host, the most specific one; nil: there is none.
func (g *Gateway) Listener(port uint16, host string) *Listener { return g.at(door{port: port}, host) }

// Datagrams returns the listener of a port of UDP; nil: there is none.
func (g *Gateway) Datagrams(port uint16) *Listener { return g.at(door{port, true}, "") }

func (g *Gateway) at(d door, host string) *Listener {
	for l := range g.ports[d].of(host) {
		return l
	}
	return nil
}

// Serve finds a call's listener, and the first rule for it: of its host, or of a more general one.
func (g *Gateway) Serve(c *traffic.Call) error {
	host := c.SNI
	if c.Proto != traffic.TCP {
		host = HostOf(c.Authority)
	}
	l := g.at(door{c.Port(), c.Datagrams}, host)
	if l == nil {
		return g.lost(c, 404, g.ref, "no listener is for this host")
	}
	if l.Entry.TLS() && c.Proto != traffic.TCP && g.Listener(c.Port(), c.SNI) != l {
		// "If another Listener has an exact match or more specific wildcard entry, the Gateway SHOULD return a 421" (Listener.hostname)
		return g.lost(c, 421, &l.Ref, "the connection is another listener's, by the name that TLS was begun with")
	}
	c.Trail.Took("listener", decision.Verdict{Ref: &l.Ref, Reason: decision.Matched}, "")
	for h := range l.hosts.of(host) {
		i, v := h.rules.Find(&c.Attrs)
		if i < 0 && h.last {
			break
		}
		if i < 0 {
			continue
		}
		c.Trail.Took("route", v, "")
		c.Because(v)
		return h.next[i].Serve(c)
	}
	return g.lost(c, 404, &l.Ref, "no route of the listener is for the call")
}

func (g *Gateway) lost(c *traffic.Call, status int, ref *decision.Ref, note string) error {
	v := decision.Verdict{Ref: ref, Outcome: decision.Deny, Reason: decision.NoRoute}
	c.Trail.Took("route", v, note)
	return c.Reply(status, v)
}

// hosts are things by the host that they are for, as listeners and routes of gateways have it.
type hosts[T any] map[string]T

// of yields those that are for a host, the most specific first.
func (h hosts[T]) of(host string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if x, ok := h[host]; ok && host != "" && !yield(x) {
			return
		}
		for at := strings.IndexByte(host, '.'); at > 0; {
			if x, ok := h.wild(host[at:]); ok && !yield(x) {
				return
			}
			next := strings.IndexByte(host[at+1:], '.')
			if next < 0 {
				break
			}
			at += 1 + next
		}
		if x, ok := h[""]; ok {
			yield(x)
		}
	}
}

// wild looks for "*" and a suffix that begins with a dot, without putting them together on the heap.
func (h hosts[T]) wild(suffix string) (T, bool) {
	var room [256]byte
	x, ok := h[string(append(append(room[:0], '*'), suffix...))]
	return x, ok
}

// HostOf is the host of an authority, without its port and in lower case.
func HostOf(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		authority = authority[:i]
	}
	return strings.ToLower(authority) // which copies what is in another case alone
}
