package chain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Service is the way of calls to one service. It is not changed once it is built: another configuration makes another.
type Service struct {
	ports     map[uint16]*port
	datagrams map[uint16]*port // over UDP; nobody calls them but by a target
}

type port struct {
	proto traffic.Proto
	serve traffic.Handler
	pools map[string]traffic.Handler // by subset
}

// Finder finds the pool of a target of any service. Nil: there is none, and why.
type Finder func(traffic.Target) (pool traffic.Handler, why string)

// builder has what the handlers of one port share.
type builder struct {
	find   Finder
	egress []authz.Engine
	budget *retry.Budget
	ledger *retry.Ledger
	room   retry.Room
	proto  traffic.Proto

	origins map[traffic.Target]*traffic.Secure // of a gateway
}

// NewService builds the way of calls to a service, going on from what st has learnt. find is asked when a call is made; egress is
// what judges the caller's calls. The error names what cannot be taken into use.
func NewService(cfg *config.Service, st *State, find Finder, egress []authz.Engine, now time.Time) (*Service, error) {
	if err := ready(cfg, egress); err != nil {
		return nil, err
	}
	s := &Service{ports: map[uint16]*port{}, datagrams: map[uint16]*port{}}
	used := map[traffic.Target]bool{}
	readied := func(c *config.Port, at traffic.Target) (*builder, *port) {
		b := &builder{find: find, egress: egress, budget: c.Budget, ledger: st.ledger(at), room: st.room, proto: c.Proto}
		p := &port{proto: c.Proto, pools: map[string]traffic.Handler{}}
		for j := range c.Pools {
			at.Subset = c.Pools[j].Subset
			used[at] = true
			p.pools[at.Subset] = b.pool(&c.Pools[j], st.pool(at, &c.Pools[j], now))
		}
		return b, p
	}
	for i := range cfg.Ports {
		c := &cfg.Ports[i]
		b, p := readied(c, traffic.Target{Service: cfg.Host, Port: c.Number})
		p.serve = b.port(cfg.Host, c)
		s.ports[c.Number] = p
	}
	for i := range cfg.Datagrams {
		c := &cfg.Datagrams[i]
		_, s.datagrams[c.Number] = readied(c, traffic.Target{Service: cfg.Host, Port: c.Number, Datagrams: true})
	}
	st.keep(cfg.Host, used)
	return s, nil
}

// Port returns the way of calls to a port; nil: the service has no such port.
func (s *Service) Port(n uint16) traffic.Handler {
	if p := s.ports[n]; p != nil {
		return p.serve
	}
	return nil
}

// Lacks says in words that the service, whose host is given, has no such port, and which it has.
func (s *Service) Lacks(host string, n uint16) string {
	text := fmt.Sprintf("%s has no port %d", host, n)
	for i, p := range slices.Sorted(maps.Keys(s.ports)) {
		text += [...]string{", but ", ", "}[min(i, 1)] + strconv.Itoa(int(p))
	}
	return text
}

// Proto is what a port speaks.
func (s *Service) Proto(n uint16) traffic.Proto {
	if p := s.ports[n]; p != nil {
		return p.proto
	}
	return traffic.Detect
}

// Find returns the way of attempts to one of the service's targets; nil: there is none, and why. A nil Service is one that does
// not exist.
func (s *Service) Find(t traffic.Target) (traffic.Handler, string) {
	if s == nil {
		return nil, "there is no service " + t.Service
	}
	p := s.ports[t.Port]
	if t.Datagrams {
		if p = s.datagrams[t.Port]; p == nil {
			return nil, fmt.Sprintf("%s has no port %d for UDP", t.Service, t.Port)
		}
	}
	if p == nil {
		return nil, s.Lacks(t.Service, t.Port)
	}
	if h := p.pools[t.Subset]; h != nil {
		return h, ""
	}
	return nil, fmt.Sprintf("%s has no subset %s", t.Service, t.Subset)
}

// port tells calls with a head from those without: rules speak of heads.
func (b *builder) port(host string, c *config.Port) traffic.Handler {
	plain := mesh.Rule{Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: host, Port: c.Number}, Weight: 1}}}}
	heads := b.heads(c, &plain)
	plain = withDefaults(plain)
	return &byHead{heads, b.rule(&plain)}
}

// heads is the way of calls with a head: one table of routes for each rule of the profile, and one for what none of them names.
// A profile's word counts where the route's rule has none.
func (b *builder) heads(c *config.Port, plain *mesh.Rule) traffic.Handler {
	routes := matchers(c.Rules)
	rest := b.table(c, routes, plain, nil)
	if len(c.Profile) == 0 {
		return rest
	}
	p := &profile{rules: matchers(c.Profile), rest: rest}
	for i := range c.Profile {
		p.next = append(p.next, b.table(c, routes, plain, &c.Profile[i]))
	}
	return p
}

func matchers(rules []mesh.Rule) *route.Rules {
	list := make([]route.Rule, len(rules))
	for i := range rules {
		list[i] = rules[i].Rule
	}
	return route.NewRules(list)
}

func (b *builder) table(c *config.Port, routes *route.Rules, plain, known *mesh.Rule) traffic.Handler {
	if c.Route == (decision.Ref{}) {
		r := withDefaults(under(plain, known))
		return b.rule(&r)
	}
	var next []traffic.Handler
	for i := range c.Rules {
		r := withDefaults(under(&c.Rules[i], known))
		next = append(next, b.rule(&r))
	}
	return route.NewTable(&c.Route, routes, next)
}

// under returns r with what it leaves unset taken from a profile's rule.
func under(r, known *mesh.Rule) mesh.Rule {
	out := *r
	if known != nil {
		out.Timeout = cmp.Or(r.Timeout, known.Timeout)
		if r.Retry == nil { // else how long an attempt may take is the rule's to say too
			out.Retry, out.Attempt = known.Retry, cmp.Or(r.Attempt, known.Attempt)
		}
		out.Classify = cmp.Or(r.Classify, known.Classify)
	}
	return out
}

// withDefaults fills in what neither a rule nor a profile says.
func withDefaults(r mesh.Rule) mesh.Rule {
	r.Retry = cmp.Or(r.Retry, &mesh.DefaultRetry)
	return r
}

func (b *builder) split(r *mesh.Rule) traffic.Handler {
	if len(r.Backends) == 1 && r.Ref == (decision.Ref{}) { // no rule said so: nothing to note
		return &direct{r.Backends[0].Target, b.to(&r.Ref, r.Backends[0].Target)}
	}
	var weighted []route.Weighted
	var next []traffic.Handler
	for i := range r.Backends {
		x := &r.Backends[i]
		weighted = append(weighted, x.Weighted)
		next = append(next, traffic.Chain(b.to(&r.Ref, x.Target), headers.With(x.Headers)))
	}
	return route.NewSplitter(&r.Ref, weighted, next)
}

// mirrors: copies live as long as the calls that they are made of.
func (b *builder) mirrors(r *mesh.Rule) (to []traffic.Handler) {
	for i := range r.Mirrors {
		to = append(to, traffic.Chain(b.to(&r.Mirrors[i].Ref, r.Mirrors[i].Target), timeout.With(r.Timeout)))
	}
	return to
}

func (b *builder) to(ref *decision.Ref, t traffic.Target) traffic.Handler {
	o := t
	o.Subset = ""
	return &lazy{ref, t, b.find, b.origins[o]} // of datagrams there is none
}
