// Package match holds the predicates that rules are made of. Each reads a traffic.Attrs and nothing else; features with
// conditions share them. Values come from configuration; Compile readies them once, and fails on what can never match.
//
// What is unset matches everything, and lists are any-of, unless a field says otherwise.
package match

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/traffic"
)

// Kind is how a String compares.
type Kind uint8

const (
	Exact Kind = iota
	Prefix
	Suffix
	Present    // not empty
	PathPrefix // by path segment, as in the Gateway API
	Regex      // RE2, whole string
)

// String is a predicate on one string.
type String struct {
	Kind  Kind   `pb:"1"`
	Value string `pb:"2"`
	Fold  bool   `pb:"3"` // letters compare without case; of Exact, Prefix and Suffix
	re    *regexp.Regexp
}

// Compile readies a Regex. It refuses a Kind that it does not know, as all that is compiled here does: a newer control plane may
// say what this proxy cannot judge, and has to hear that.
func (s *String) Compile() (err error) {
	switch {
	case s.Kind > Regex:
		return unknown("kind of string", uint8(s.Kind))
	case s.Kind != Regex || s.re != nil:
		return nil
	}
	if err = bounded(s.Value); err != nil { // alone: "a)|(b" is valid only inside of the group below, and outwits it
		return err
	}
	s.re, err = Expression("^(?:" + s.Value + ")$")
	return err
}

func unknown(what string, n uint8) error {
	return fmt.Errorf("match: %s %d is not known; the proxy may be older than the control plane", what, n)
}

// Match says whether v is as wanted.
func (s *String) Match(v string) bool {
	switch s.Kind {
	case Exact:
		return v == s.Value || s.Fold && strings.EqualFold(v, s.Value)
	case Prefix:
		return len(v) >= len(s.Value) && s.same(v[:len(s.Value)])
	case Suffix:
		return len(v) >= len(s.Value) && s.same(v[len(v)-len(s.Value):])
	case PathPrefix:
		p := strings.TrimSuffix(s.Value, "/")
		return strings.HasPrefix(v, p) && (len(v) == len(p) || v[len(p)] == '/')
	case Regex:
		return s.re.MatchString(v)
	}
	return v != ""
}

func (s *String) same(part string) bool {
	return part == s.Value || s.Fold && strings.EqualFold(part, s.Value)
}

func (s String) String() string {
	return [...]string{"exact ", "prefix ", "suffix ", "any", "path ", "regex "}[s.Kind] + s.Value
}

func any(list []String, v string) bool {
	for i := range list {
		if list[i].Match(v) {
			return true
		}
	}
	return false
}

// Header is a predicate on one header. Fields of the same name are joined with commas before they are compared, as
// RFC 9110 section 5.2 has it.
type Header struct {
	Name   string   `pb:"1"` // lower case
	Values []String `pb:"2"` // any of; none: the header is there, even empty
	Invert bool     `pb:"3"` // a header that is not there counts as empty then, unless Values is none
}

func (h *Header) match(a *traffic.Attrs) bool {
	v, ok := a.Header.Joined(h.Name)
	return present(h.Values, h.Invert, v, ok)
}

func present(values []String, invert bool, v string, ok bool) bool {
	switch {
	case len(values) == 0:
		return ok != invert
	case invert:
		return !any(values, v)
	}
	return ok && any(values, v)
}

// Param is a predicate on the first query parameter of a name.
type Param struct {
	Name   string   `pb:"1"`
	Values []String `pb:"2"` // any of; none: the parameter is there
}

// Request is a conjunction on what is asked for. But for Ports, no field matches a call that has no head.
type Request struct {
	Methods    []String `pb:"1"`
	NotMethods []String `pb:"2"`
	Paths      []String `pb:"3"`
	NotPaths   []String `pb:"4"`
	Targets    []String `pb:"5"` // path and query together, as on the wire
	Hosts      []String `pb:"6"` // the authority, with its port if it has one
	NotHosts   []String `pb:"7"`
	Schemes    []String `pb:"8"`
	Headers    []Header `pb:"9"`  // all of
	Params     []Param  `pb:"10"` // all of
	Ports      []Range  `pb:"11"` // the callee's
	NotPorts   []Range  `pb:"12"`
}

// Range is ports from First to Last, both included.
type Range struct {
	First uint16 `pb:"1"`
	Last  uint16 `pb:"2"`
}

// OnePort is the range of a single port.
func OnePort(p uint16) Range { return Range{p, p} }

// InRanges says whether a port is of any of the ranges.
func InRanges(list []Range, p uint16) bool {
	return slices.ContainsFunc(list, func(r Range) bool { return p >= r.First && p <= r.Last })
}

// OtherPorts are all ports but those in a list; none: all are in no list, or in this one.
func OtherPorts(list []Range) (out []Range) {
	next := 1
	for _, r := range slices.SortedFunc(slices.Values(list), func(a, b Range) int { return int(a.First) - int(b.First) }) {
		if int(r.First) > next {
			out = append(out, Range{uint16(next), r.First - 1})
		}
		next = max(next, int(r.Last)+1)
	}
	if len(list) > 0 && next <= 65535 {
		out = append(out, Range{uint16(next), 65535})
	}
	return out
}

// HTTP says whether any field needs a head.
func (r *Request) HTTP() bool {
	return len(r.Methods)+len(r.NotMethods)+len(r.Paths)+len(r.NotPaths)+len(r.Targets)+len(r.Hosts)+len(r.NotHosts)+
		len(r.Schemes)+len(r.Headers)+len(r.Params) > 0
}

// Everything says whether every call matches that has a head: it is asked for nothing, or for what every path has.
func (r *Request) Everything() bool {
	if !r.HTTP() {
		return len(r.Ports)+len(r.NotPorts) == 0
	}
	if len(r.Paths) != 1 || !r.Paths[0].everyPath() {
		return false
	}
	rest := Request{Methods: r.Methods, NotMethods: r.NotMethods, NotPaths: r.NotPaths, Targets: r.Targets, Hosts: r.Hosts, NotHosts: r.NotHosts,
		Schemes: r.Schemes, Headers: r.Headers, Params: r.Params}
	return !rest.HTTP() && len(r.Ports)+len(r.NotPorts) == 0
}

func (s *String) everyPath() bool {
	switch s.Kind {
	case Prefix, PathPrefix:
		return s.Value == "" || s.Value == "/"
	case Regex:
		return s.Value == ".*"
	}
	return false
}

// Compile readies the predicate.
func (r *Request) Compile() error {
	for _, f := range []struct {
		name string
		list []String
	}{{"method", r.Methods}, {"not method", r.NotMethods}, {"path", r.Paths}, {"not path", r.NotPaths}, {"target", r.Targets},
		{"host", r.Hosts}, {"not host", r.NotHosts}, {"scheme", r.Schemes}} {
		if err := compile(f.name, f.list); err != nil {
			return err
		}
	}
	for i := range r.Headers {
		if err := compile("header "+r.Headers[i].Name, r.Headers[i].Values); err != nil {
			return err
		}
	}
	for i := range r.Params {
		if err := compile("query parameter "+r.Params[i].Name, r.Params[i].Values); err != nil {
			return err
		}
	}
	return nil
}

func compile(what string, list []String) error {
	for i := range list {
		if err := list[i].Compile(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// Match says whether all that is set matches. wide: what needs a head counts as matching a call without one, as a rule
// that denies must (DESIGN section 5).
func (r *Request) Match(a *traffic.Attrs, wide bool) bool { _, ok := r.miss(a, wide); return ok }

// Miss says in words why a does not match; it is for trails, and allocates.
func (r *Request) Miss(a *traffic.Attrs) string { f, _ := r.miss(a, false); return f.words(r, a) }

type part uint8

const (
	none part = iota
	port
	head
	method
	path
	target
	host
	scheme
	header
	param
)

type missed struct {
	part  part
	index int
}

func (r *Request) miss(a *traffic.Attrs, wide bool) (missed, bool) {
	if p := a.Port(); len(r.Ports) > 0 && !InRanges(r.Ports, p) || InRanges(r.NotPorts, p) {
		return missed{part: port}, false
	}
	if a.Proto == traffic.TCP {
		return missed{part: head}, wide || !r.HTTP()
	}
	switch {
	case outside(r.Methods, r.NotMethods, a.Method):
		return missed{part: method}, false
	case outside(r.Paths, r.NotPaths, a.Path):
		return missed{part: path}, false
	case len(r.Targets) > 0 && !any(r.Targets, a.Target()):
		return missed{part: target}, false
	case outside(r.Hosts, r.NotHosts, a.Authority):
		return missed{part: host}, false
	case len(r.Schemes) > 0 && !any(r.Schemes, a.Scheme):
		return missed{part: scheme}, false
	}
	for i := range r.Headers {
		if !r.Headers[i].match(a) {
			return missed{header, i}, false
		}
	}
	for i := range r.Params {
		v, ok := a.Param(r.Params[i].Name)
		if !present(r.Params[i].Values, false, v, ok) {
			return missed{param, i}, false
		}
	}
	return missed{}, true
}

func outside(in, not []String, v string) bool { return len(in) > 0 && !any(in, v) || any(not, v) }

func (f missed) words(r *Request, a *traffic.Attrs) string {
	switch f.part {
	case port:
		return fmt.Sprintf("port %d is not of %v", a.Port(), r.Ports)
	case head:
		return "the call has no HTTP head"
	case method:
		return fmt.Sprintf("method %s, wanted %v%s", a.Method, r.Methods, not(r.NotMethods))
	case path:
		return fmt.Sprintf("path %s, wanted %v%s", a.Path, r.Paths, not(r.NotPaths))
	case target:
		return fmt.Sprintf("path and query %s, wanted %v", a.Target(), r.Targets)
	case host:
		return fmt.Sprintf("host %s, wanted %v%s", a.Authority, r.Hosts, not(r.NotHosts))
	case scheme:
		return fmt.Sprintf("scheme %s, wanted %v", a.Scheme, r.Schemes)
	case header:
		h := &r.Headers[f.index]
		v, _ := a.Header.Joined(h.Name)
		if h.Invert {
			return fmt.Sprintf("header %s is %q, wanted not %v", h.Name, v, h.Values)
		}
		return fmt.Sprintf("header %s is %q, wanted %v", h.Name, v, h.Values)
	case param:
		p := &r.Params[f.index]
		v, _ := a.Param(p.Name)
		return fmt.Sprintf("query parameter %s is %q, wanted %v", p.Name, v, p.Values)
	}
	return ""
}

func not(list []String) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" and not %v", list)
}

// Source is a conjunction on who is at the other end: the caller of an inbound rule, the endpoint of an outbound one.
type Source struct {
	Principals      []String       `pb:"1"` // "trust.domain/ns/N/sa/S"
	NotPrincipals   []String       `pb:"2"`
	Namespaces      []String       `pb:"3"`
	NotNamespaces   []String       `pb:"4"`
	Accounts        []String       `pb:"5"` // "namespace/account", of any trust domain
	NotAccounts     []String       `pb:"6"`
	Networks        []netip.Prefix `pb:"7"`
	NotNetworks     []netip.Prefix `pb:"8"`
	Selectors       []Selector     `pb:"9"`
	Authenticated   bool           `pb:"10"`
	Unauthenticated bool           `pb:"11"` // only those without an identity
	// ByAddress: a caller without an identity is meant as well, if the pod is that has its address: by Namespaces, NotNamespaces, Networks,
	// NotNetworks and Selectors. Who does not know the field means none of them.
	ByAddress bool `pb:"12"`
}

// Match says whether p is one of those meant. Nothing that needs an identity matches a peer without one. wide is as for Request.Match.
func (s *Source) Match(p *traffic.Peer, wide bool) bool {
	id := &p.ID
	if s.ByAddress && id.IsZero() {
		return s.pod(p, wide)
	}
	switch {
	case s.Authenticated && id.IsZero(), s.Unauthenticated && !id.IsZero():
		return false
	case len(s.Principals) > 0 && (id.IsZero() || !any(s.Principals, id.Principal())), any(s.NotPrincipals, id.Principal()):
		return false
	case len(s.Namespaces) > 0 && (id.IsZero() || !any(s.Namespaces, id.Namespace)), any(s.NotNamespaces, id.Namespace):
		return false
	case len(s.Accounts) > 0 && (id.IsZero() || !anyAccount(s.Accounts, id.Namespace, id.ServiceAccount)),
		!id.IsZero() && anyAccount(s.NotAccounts, id.Namespace, id.ServiceAccount):
		return false
	case len(s.Networks) > 0 && !inNetwork(s.Networks, p.Addr.Addr()), inNetwork(s.NotNetworks, p.Addr.Addr()):
		return false
	}
	return s.selects(p.Labels)
}

// pod says whether the pod is meant that has the address of p. It cannot prove an account: one that is asked for counts where the effect is
// to deny.
func (s *Source) pod(p *traffic.Peer, wide bool) bool {
	switch {
	case p.Pod == nil, len(s.Networks) > 0 && !inNetwork(s.Networks, p.Addr.Addr()), inNetwork(s.NotNetworks, p.Addr.Addr()):
		return false
	case p.Pod.Unclear:
		return wide
	case !wide && len(s.Accounts)+len(s.NotAccounts) > 0:
		return false
	case len(s.Namespaces) > 0 && !any(s.Namespaces, p.Pod.Namespace), any(s.NotNamespaces, p.Pod.Namespace):
		return false
	}
	named := func(list []String) bool { return anyAccount(list, p.Pod.Namespace, p.Pod.Account) }
	return (len(s.Accounts) == 0 || named(s.Accounts)) && !named(s.NotAccounts) && s.selects(p.Pod.Labels)
}

func (s *Source) selects(labels []string) bool {
	return len(s.Selectors) == 0 || slices.ContainsFunc(s.Selectors, func(x Selector) bool { return x.Match(labels) })
}

// anyAccount is any for an account, without putting its name together where the whole of it is compared.
func anyAccount(list []String, namespace, account string) bool {
	return slices.ContainsFunc(list, func(s String) bool {
		if s.Kind != Exact || s.Fold {
			return s.Match(namespace + "/" + account)
		}
		ns, sa, _ := strings.Cut(s.Value, "/")
		return ns == namespace && sa == account
	})
}

// Compile readies the predicate.
func (s *Source) Compile() error {
	for _, list := range [][]String{s.Principals, s.NotPrincipals, s.Namespaces, s.NotNamespaces, s.Accounts, s.NotAccounts} {
		if err := compile("source", list); err != nil {
			return err
		}
	}
	for i := range s.Selectors {
		if err := s.Selectors[i].compile(); err != nil {
			return err
		}
	}
	return nil
}

// Labelled says whether the predicate reads labels, which cost a look-up.
func (s *Source) Labelled() bool { return len(s.Selectors) > 0 }

func inNetwork(list []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
	return slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Contains(a) })
}
