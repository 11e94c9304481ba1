package match

import (
	"net/netip"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Need is what a call has to have for a predicate to hold on it: a formula of keys. It never asks for more than the predicate does,
// so a rule can be left out where its need is not met; it may ask for less, so what is found by it is still to be judged. The zero
// Need is met by every call.
type Need struct {
	key key
	of  []Need // of the others; none: nothing is needed
	op  op
}

type op uint8

const (
	all op = iota
	either
	has // the key
)

// All is the need of a conjunction.
func All(of ...Need) Need { return Need{of: of} }

// Any is the need of one of; of none, nothing is needed, as lists in rules have it.
func Any(of ...Need) Need {
	if len(of) == 0 {
		return Need{}
	}
	return Need{op: either, of: of}
}

// by is what of a call a key looks at.
type by uint8

const (
	byPath by = iota
	byHost
	byMethod
	byPrincipal
	byAccount
	byNamespace
	byLabel
	byPeerPrincipal // those of the endpoint, in the order of the caller's
	byPeerAccount
	byPeerNamespace
	byPeerLabel
	texts // how many there are above
)

const (
	byHeader by = iota + texts
	byParam
	byHead // that there is one: nothing is looked up by it
	byPort
	byNetwork
	byPeerNetwork
	byOriginal
	byRemote
)

// headed says whether only calls with a head have it.
func (b by) headed() bool {
	return b <= byMethod || b == byHeader || b == byParam || b == byHead || b == byRemote
}

// way is how a text has to be the key's.
type way uint8

const (
	whole way = iota
	start
	segment // a start that ends where a segment does
	end
)

// key is one thing that a call can have. Texts are known by their hash, which is the same in capitals and small letters: whoever
// finds a rule by it judges the call by the rule.
type key struct {
	by   by
	way  way
	name string // of byHeader and byParam
	hash uint64 // of the text, or the port
	n    int    // the text's length in runes
	net  netip.Prefix
}

// common says whether nearly every call has the key.
func (k *key) common() bool {
	return k.by < texts && k.way != whole && k.n == 0 || k.net.IsValid() && k.net.Bits() == 0
}

func need(k key) Need { return Need{op: has, key: k} }

// needs is for one of list; a nil list needs nothing.
func needs(b by, name string, list []String) Need {
	of := make([]Need, len(list))
	for i := range list {
		of[i] = need(list[i].key(b, name))
	}
	return Any(of...)
}

// key is the strictest that every text has which s matches.
func (s *String) key(b by, name string) key {
	k, text := key{by: b, name: name}, s.Value
	switch s.Kind {
	case Prefix:
		k.way = start
		if t, ok := strings.CutSuffix(text, "/"); ok {
			k.way, text = segment, t
		}
	case PathPrefix:
		k.way, text = segment, strings.TrimSuffix(text, "/")
	case Suffix:
		k.way = end
	case Regex:
		var ends bool
		if text, ends = literal(text); !ends {
			k.way = start
		}
	case Present:
		k.way, text = start, ""
	}
	// Bytes that are no UTF-8 are compared as they are, or as the rune that stands for them, or with parts of other runes: no hash of
	// runes can be sure of them.
	if strings.ContainsRune(text, utf8.RuneError) { // which it says of such bytes too
		k.way, text = start, ""
	}
	if k.way == end && text == "" {
		k.way = start
	}
	k.hash, k.n = hash(text, k.way == end)
	return k
}

// literal is the text that everything begins with which an expression matches as a whole; ends: and that ends there.
func literal(expr string) (text string, ends bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return "", false
	}
	return leading(re)
}

func leading(re *syntax.Regexp) (text string, ends bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune), true
	case syntax.OpCapture:
		return leading(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			t, ends := leading(sub)
			if text += t; !ends {
				return text, false
			}
		}
		return text, true
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEndText, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return "", true
	}
	return "", false
}

// Need is what Match needs.
func (r *Request) Need() Need {
	of := []Need{needs(byPath, "", r.Paths), targets(r.Targets)}
	for i := range r.Headers {
		if h := &r.Headers[i]; !h.Invert {
			of = append(of, field(byHeader, h.Name, h.Values))
		}
	}
	for i := range r.Params {
		of = append(of, field(byParam, r.Params[i].Name, r.Params[i].Values))
	}
	of = append(of, needs(byHost, "", r.Hosts), needs(byMethod, "", r.Methods), ports(r.Ports))
	if r.HTTP() {
		of = append(of, need(key{by: byHead}))
	}
	return All(of...)
}

// field is there, with one of values if there are any.
func field(b by, name string, values []String) Need {
	if len(values) == 0 {
		values = []String{{Kind: Prefix}}
	}
	return needs(b, name, values)
}

// targets need of the path what they say of it: all before the first question mark.
func targets(list []String) Need {
	of := make([]Need, len(list))
	for i, s := range list {
		if s.Kind == Regex {
			text, ends := literal(s.Value)
			if s = (String{Kind: Exact, Value: text}); !ends {
				s.Kind = Prefix
			}
		}
		switch before, _, cut := strings.Cut(s.Value, "?"); {
		case s.Kind == Suffix, s.Kind == Present, s.Kind == PathPrefix:
			s = String{Kind: Prefix}
		case cut:
			s = String{Kind: Prefix, Value: before}
		}
		of[i] = need(s.key(byPath, ""))
	}
	return Any(of...)
}

// ports: of a wide range nothing is made, it would take as many keys.
func ports(list []Range) Need {
	var of []Need
	for _, r := range list {
		if r.Last >= r.First && r.Last-r.First >= 16 {
			return Need{}
		}
		for p := int(r.First); p <= int(r.Last); p++ {
			of = append(of, need(key{by: byPort, hash: uint64(p)}))
		}
	}
	return Any(of...)
}

func networks(b by, list []netip.Prefix) Need {
	of := make([]Need, len(list))
	for i, n := range list {
		of[i] = need(key{by: b, net: n.Masked()})
	}
	return Any(of...)
}

// Need is what Match needs of the caller; peer: of the endpoint.
func (s *Source) Need(peer bool) Need {
	off, net := by(0), byNetwork
	if peer {
		off, net = byPeerPrincipal-byPrincipal, byPeerNetwork
	}
	of := []Need{accounts(byAccount+off, s.Accounts), needs(byNamespace+off, "", s.Namespaces), networks(net, s.Networks),
		selectors(byLabel+off, s.Selectors)}
	if s.ByAddress { // a pod has no principal
		return All(of...)
	}
	of = append([]Need{needs(byPrincipal+off, "", s.Principals)}, of...)
	if s.Authenticated {
		of = append(of, needs(byPrincipal+off, "", []String{{Kind: Present}}))
	}
	return All(of...)
}

// accounts: an account is compared by its parts, so one without a slash is one of a namespace's own account without a name.
func accounts(b by, list []String) Need {
	of := make([]Need, len(list))
	for i, s := range list {
		if s.Kind == Exact && !s.Fold && !strings.Contains(s.Value, "/") {
			s.Value += "/"
		}
		of[i] = need(s.key(b, ""))
	}
	return Any(of...)
}

func selectors(b by, list []Selector) Need {
	of := make([]Need, len(list))
	for i := range list {
		for _, l := range list[i].Labels {
			of[i].of = append(of[i].of, need((&String{Value: l}).key(b, "")))
		}
		for j := range list[i].Exprs {
			of[i].of = append(of[i].of, list[i].Exprs[j].need(b))
		}
	}
	return Any(of...)
}

func (r *Requirement) need(b by) Need {
	if r.Op != In {
		return Need{}
	}
	of := make([]Need, len(r.Values))
	for i, v := range r.Values {
		if v == "" { // a label may be without the sign then
			return Need{}
		}
		of[i] = need((&String{Value: r.Key + "=" + v}).key(b, ""))
	}
	return Any(of...)
}

// Need is what Match needs.
func (c *Condition) Need() Need {
	var n Need
	switch c.Key {
	case RequestHeader:
		n = needs(byHeader, c.Name, c.Values)
	case SourceIP:
		n = networks(byNetwork, c.Networks)
	case RemoteIP:
		n = networks(byRemote, c.Networks)
	case DestinationIP:
		n = networks(byOriginal, c.Networks)
	case DestinationPort:
		n = ports(c.Ports)
	case SourceNamespace:
		n = needs(byNamespace, "", c.Values)
	case SourceAccount:
		n = needs(byAccount, "", c.Values)
	case SourcePrincipal:
		n = needs(byPrincipal, "", c.Values)
	}
	if c.http() {
		n = All(n, need(key{by: byHead}))
	}
	return n
}
