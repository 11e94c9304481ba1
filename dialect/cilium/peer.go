package cilium

import (
	"net/netip"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// peers are those at the other end that a rule means.
type peers struct {
	all  bool // everybody
	list []match.Source
}

func (p *peers) nobody() bool { return !p.all && len(p.list) == 0 }

// limited says whether a rule names peers at all: one that does not, and has no ports either, means nobody.
func (s *section) limited() bool {
	return s.endpoints != nil || s.cidrs != nil || s.sets != nil || s.entities != nil || s.nodes != nil || s.unknown > 0
}

// empty returns the list of peers that is there and has nothing in it.
func (s *section) empty() string {
	for _, x := range []struct {
		name  string
		empty bool
	}{{"Endpoints", s.endpoints != nil && len(s.endpoints) == 0}, {"CIDR", s.cidrs != nil && len(s.cidrs) == 0},
		{"CIDRSet", s.sets != nil && len(s.sets) == 0}, {"Entities", s.entities != nil && len(s.entities) == 0},
		{"Nodes", s.nodes != nil && len(s.nodes) == 0}} {
		if x.empty {
			return s.toward + x.name
		}
	}
	return ""
}

// peers lowers whom a rule means. "Note that while an empty non-nil FromEndpoints does not select anything, nil FromEndpoints is
// implicitly treated as a wildcard selector if ToPorts are also specified" (IngressCommonRule.fromEndpoints).
func (r *reader) peers(s *section) (p peers) {
	if name := s.empty(); name != "" {
		r.Info(s.field+"."+name, "the list is empty: it selects nobody", "leave it out for everybody on the ports of the rule")
		return p
	}
	if !s.limited() || s.unknown > 0 && s.deny {
		p.all = true
		return p
	}
	if len(s.nodes) > 0 && s.deny {
		p.add(stranger)
	}
	for i := range s.endpoints {
		if src, ok := r.endpoint(dialect.Index(s.field+"."+s.toward+"Endpoints", i), s, i); ok {
			p.add(src)
		}
	}
	for i, e := range s.entities {
		if src, ok := r.entity(dialect.Index(s.field+"."+s.toward+"Entities", i), e, s); ok {
			p.add(src)
		}
	}
	for i, c := range s.cidrs {
		if n, ok := r.cidr(dialect.Index(s.field+"."+s.toward+"CIDR", i), c); ok {
			p.add(outside(n))
		}
	}
	for i := range s.sets {
		p.list = append(p.list, r.cidrSet(dialect.Index(s.field+"."+s.toward+"CIDRSet", i), &s.sets[i], s.deny)...)
	}
	if p.all {
		p.list = nil
	}
	return p
}

// add joins one; that of everybody stands for all others.
func (p *peers) add(src match.Source) {
	if everybody(&src) {
		p.all = true
		return
	}
	p.list = append(p.list, src)
}

func everybody(s *match.Source) bool {
	return !s.Authenticated && !s.Unauthenticated && len(s.Principals)+len(s.Namespaces)+len(s.NotNamespaces)+len(s.Accounts)+
		len(s.NotAccounts)+len(s.Networks)+len(s.NotNetworks)+len(s.Selectors) == 0
}

// authenticated narrows peers to those that have shown an identity, as mutual TLS has every workload do.
func (r *reader) authenticated(s *section, p peers) (out peers) {
	if s.auth.Mode == "test-always-fail" {
		r.Info(s.field+".authentication.mode", "it always fails, so that the rule allows nothing", "")
		return out
	}
	if p.all {
		return peers{list: []match.Source{{Authenticated: true}}}
	}
	for _, src := range p.list {
		if !src.Unauthenticated {
			src.Authenticated, src.ByAddress = true, false
			out.list = append(out.list, src)
		}
	}
	return out
}

// entity lowers a class of peers; false: there is none such at a proxy. A rule that denies one which a proxy cannot know denies
// all that it may be.
func (r *reader) entity(field, name string, s *section) (src match.Source, ok bool) {
	switch name {
	case "all":
		return src, true
	case "world":
		return stranger, true
	case "world-ipv4":
		return outside(everyIPv4), true
	case "world-ipv6":
		return outside(everyIPv6), true
	case "cluster":
		return match.Source{Principals: []match.String{{Kind: match.Prefix, Value: r.trustDomain + "/"}}, Authenticated: true, ByAddress: !s.out}, true
	case "cluster-mesh":
		return match.Source{Authenticated: true, ByAddress: !s.out}, true
	case "none":
		return src, false
	}
	if s.deny {
		r.Warn(field, name+" cannot be told from others outside of the mesh: the rule denies them all", "write world to say so")
		return stranger, true
	}
	r.Info(field, name+" has no workloads in the mesh: no call is meant by it", "")
	return src, false
}

// stranger is whoever has shown no identity of the mesh.
var stranger = match.Source{Unauthenticated: true}

// outside is a network outside of the mesh: "Only connections which do not originate from the cluster or from the local host are
// subject to CIDR rules" (IngressCommonRule.fromCIDR).
func outside(n netip.Prefix) match.Source {
	return match.Source{Unauthenticated: true, Networks: []netip.Prefix{n}}
}
