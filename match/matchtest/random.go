// Package matchtest makes random predicates and calls, of few words, so that they often meet: what an index finds is compared with
// what asking every rule finds.
package matchtest

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Random draws from its source alone: the same source makes the same.
type Random struct{ *rand.Rand }

// Of is seeded.
func Of(seed uint64) Random { return Random{rand.New(rand.NewPCG(seed, 0))} }

var (
	methods = []string{"GET", "POST", "get", "CONNECT", ""}
	paths   = []string{"", "*", "/", "/a", "/A", "/a/", "/a/b", "/a/b/c", "/ab", "/ab/c", "//a", "/a%2fb", "/k", "/\u212a", "/\u017f", "/\xff", "/a\xe2\x82", "/a\u20ac", "/a\ufffd", "/a?b", "/a.b"}
	hosts   = []string{"", "a.com", "A.com", "b.a.com", "a.com:80", "com", "\u212a.com"}
	values  = []string{"", "1", "2", "1,2", "a", "A", "a/b", "\xff"}
	names   = []string{"x", "y", "z", "x-forwarded-for"}
	queries = []string{"", "x=1", "x=1&x=2", "y", "%78=%31", "x=2&y=a%2fb&&=", "z=%zz"}
	domains = []string{"td", "cluster.local"}
	words   = []string{"a", "b", "ab"}
	labels  = []string{"a=a", "a=b", "b=a", "b=", "b"}
	nets    = []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/8", "10.0.0.0/16", "10.0.1.0/24", "10.0.1.1/32", "10.128.0.0/9", "::/0", "2001:db8::/32", "2001:db8::1/128", "::ffff:10.0.0.0/104"}
	addrs   = []string{"10.0.1.1", "10.0.1.2", "10.0.2.1", "10.200.0.1", "192.0.2.1", "::ffff:10.0.1.1", "2001:db8::1", "2001:db8::2", "fe80::1%eth0"}
	regexes = []string{"", ".*", "/a.*", "/a", "^/a$", "(?i)/A/?", "/a|/b", "(/a)(/b)?", "/a+", "[0-9]+", "\\Q/a\\E.", "1", "a|b", "(?i)\u212a", "/\u20ac?"}
)

func (r Random) one(of []string) string { return of[r.IntN(len(of))] }

// some are up to n, often none.
func some[T any](r Random, n int, of func() T) (out []T) {
	if r.IntN(2) > 0 {
		return nil
	}
	for range 1 + r.IntN(n) {
		out = append(out, of())
	}
	return out
}

func (r Random) texts(of []string) []match.String {
	return some(r, 3, func() match.String { return r.text(of) })
}

func (r Random) text(of []string) match.String {
	s := match.String{Kind: match.Kind(r.IntN(int(match.Regex) + 1)), Value: r.one(of), Fold: r.IntN(4) == 0}
	switch s.Kind {
	case match.Regex:
		s.Value = r.one(regexes)
	case match.Prefix, match.PathPrefix:
		s.Value = s.Value[:r.IntN(len(s.Value)+1)]
	case match.Suffix:
		s.Value = s.Value[r.IntN(len(s.Value)+1):]
	}
	return s
}

// Request is a predicate on what is asked for.
func (r Random) Request() match.Request {
	return match.Request{
		Methods: r.texts(methods), NotMethods: r.seldom(methods), Paths: r.texts(paths), NotPaths: r.seldom(paths),
		Targets: r.texts([]string{"/a", "/a?x=1", "/a/b?", "?x=1", "/a?b"}), Hosts: r.texts(hosts), NotHosts: r.seldom(hosts), Schemes: r.seldom([]string{"http", "https"}),
		Headers: some(r, 2, func() match.Header {
			return match.Header{Name: r.one(names), Values: r.texts(values), Invert: r.IntN(4) == 0}
		}),
		Params: some(r, 2, func() match.Param { return match.Param{Name: r.one(names), Values: r.texts(values)} }),
		Ports:  some(r, 2, r.ports), NotPorts: some(r, 1, r.ports),
	}
}

func (r Random) seldom(of []string) []match.String {
	if r.IntN(3) > 0 {
		return nil
	}
	return r.texts(of)
}

func (r Random) ports() match.Range {
	first := uint16(r.IntN(4))
	return match.Range{First: first, Last: first + [...]uint16{0, 0, 1, 200}[r.IntN(4)]}
}

func (r Random) prefix() netip.Prefix { return netip.MustParsePrefix(r.one(nets)) }

// Source is a predicate on who is at the other end.
func (r Random) Source() match.Source {
	accounts := []string{"a/b", "b/a", "a", "a/", "ab/ab", "A/B"}
	principals := []string{"td/ns/a/sa/b", "cluster.local/ns/b/sa/a", "td/ns/a", "sa/b", "TD/ns/a/sa/b"}
	s := match.Source{Principals: r.texts(principals), NotPrincipals: r.seldom(principals), Namespaces: r.texts(words), NotNamespaces: r.seldom(words),
		Accounts: r.texts(accounts), NotAccounts: r.seldom(accounts), Networks: some(r, 3, r.prefix), NotNetworks: some(r, 1, r.prefix),
		Selectors: some(r, 2, r.selector)}
	switch r.IntN(8) {
	case 0:
		s.Authenticated = true
	case 1:
		s.Unauthenticated = true
	}
	s.ByAddress = r.IntN(2) == 0
	return s
}

func (r Random) selector() match.Selector {
	return match.Selector{
		Labels: some(r, 2, func() string { return r.one(labels) }),
		Exprs: some(r, 1, func() match.Requirement {
			return match.Requirement{Key: r.one(words), Op: match.Op(r.IntN(4)), Values: some(r, 2, func() string { return r.one([]string{"", "a", "b"}) })}
		}),
	}
}

// Condition is a predicate on one key.
func (r Random) Condition() match.Condition {
	all := slices.Concat(values, words, []string{"a/b", "td/ns/a/sa/b", match.OverTCP, match.OverUDP})
	return match.Condition{Key: match.Key(r.IntN(int(match.Transport) + 1)), Name: r.one(names), Values: r.texts(all), NotValues: r.seldom(all),
		Networks: some(r, 2, r.prefix), NotNetworks: some(r, 1, r.prefix), Ports: some(r, 2, r.ports), NotPorts: some(r, 1, r.ports)}
}

// Peer is somebody at the other end.
func (r Random) Peer() traffic.Peer {
	p := traffic.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(r.one(addrs)), 1)}
	if r.IntN(4) > 0 {
		p.ID = identity.Of(r.one(domains), r.one(words), r.one(words))
		p.Labels = some(r, 3, func() string { return r.one(labels) })
	} else if r.IntN(4) > 0 {
		p.Pod = &traffic.Pod{Namespace: r.one(words), Account: r.one(words), Labels: some(r, 3, func() string { return r.one(labels) })}
	}
	return p
}

// Attrs is a call.
func (r Random) Attrs() *traffic.Attrs {
	a := &traffic.Attrs{Conn: &traffic.Conn{Source: r.Peer(), Original: netip.AddrPortFrom(netip.MustParseAddr(r.one(addrs)), uint16(r.IntN(4))), Secure: r.IntN(2) == 0}}
	if r.IntN(6) == 0 {
		a.Datagrams = r.IntN(2) == 0
		return a
	}
	a.Proto, a.Method, a.Scheme, a.Authority = traffic.HTTP1, r.one(methods), "http", r.one(hosts)
	a.Path, a.Query = r.one(paths), r.one(queries)
	if r.IntN(2) == 0 {
		a.Path = traffic.NormalPath(a.Path + "/./x/.." + r.one(paths))
	}
	for range r.IntN(4) {
		a.Header.Receive(r.one(names), r.one(slices.Concat(values, addrs)))
	}
	if r.IntN(4) == 0 {
		a.Header.Set(r.one(names), r.one(values))
	}
	return a
}
