package match

import (
	"math"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/traffic"
)

// Index finds the first of an ordered list of rules that matches a call, without asking them all: each rule is filed under the rarest
// keys of its Need, and a call's own keys lead to the rules that are left to be asked. Rules that need nothing that can be looked up
// (expressions that may begin with anything, or only what a call must not have) are asked one after another. It is immutable.
type Index struct {
	heads, bare *shelf // for calls with a head, and for those without
}

// Rules are asked one after another where there are no more than these, with no more values than these in them. A rule that is asked
// costs 25-60 ns and each of its values 3 ns; what a call has is looked up in 150-300 ns.
const (
	fewRules  = 8
	fewValues = 64
)

// NewIndex makes an index of n rules. wide is as for Request.Match. Nil: an index would not help, and the rules are to be asked in
// order.
func NewIndex(n int, wide bool, needs func(i int) Need) *Index {
	f := newFiling(n, needs)
	if n <= fewRules && f.values <= fewValues {
		return nil
	}
	x := &Index{heads: f.shelf(n, needs)}
	f.bare, f.wide = true, wide
	x.bare = f.shelf(n, needs)
	if x.heads.plain && x.bare.plain {
		return nil
	}
	return x
}

// First returns the first rule that match says matches a, or -1; peer is the endpoint of a call that goes out, or nil. match is asked
// of no rule after the first, of those before in no order, and maybe twice. It does not allocate. A caller that is Unclear has nothing
// that could be looked up: rules are to be asked in order.
func (x *Index) First(a *traffic.Attrs, peer *traffic.Peer, match func(i int) bool) int {
	s := search{match: match, best: math.MaxInt32}
	if a.Proto == traffic.TCP {
		s.shelf = x.bare
	} else {
		s.shelf = x.heads
		s.head(a)
	}
	s.ends(a, peer)
	s.try(s.rest)
	if s.best == math.MaxInt32 {
		return -1
	}
	return int(s.best)
}

// shelf is where rules are filed.
type shelf struct {
	links
	texts   [texts]*table
	headers names
	params  names
	ports   map[uint16]int32
	nets    [byRemote - byNetwork + 1]subnets
	rest    int32 // those under no key
	plain   bool  // that is all of them
}

// links are chains of rules in ascending order, all in one piece of memory; 0 ends a chain.
type links []link

type link struct{ rule, next int32 }

// before returns the head of a chain with one more rule before those that it has.
func (l *links) before(head, rule int32) int32 {
	if head > 0 && (*l)[head-1].rule == rule {
		return head
	}
	*l = append(*l, link{rule, head})
	return int32(len(*l))
}

// search is one call's.
type search struct {
	*shelf
	match func(int) bool
	best  int32
}

// try asks the rules of a chain that would come before the best that is known.
func (s *search) try(head int32) {
	for head > 0 {
		l := &s.links[head-1]
		if l.rule >= s.best {
			return
		}
		if s.match(int(l.rule)) {
			s.best = l.rule
			return
		}
		head = l.next
	}
}

// head tries what a call with a head has.
func (s *search) head(a *traffic.Attrs) {
	s.texts[byPath].find(s, a.Path)
	s.texts[byHost].find(s, a.Authority)
	s.texts[byMethod].find(s, a.Method)
	if s.headers.tables != nil {
		var seen seen
		for f := range a.Header.Fields {
			if t := s.headers.first(f.Name, &seen); t != nil {
				v, _ := a.Header.Joined(f.Name)
				t.find(s, v)
			}
		}
	}
	if s.params.tables != nil {
		var seen seen
		for name, value := range a.Params {
			if t := s.params.first(name, &seen); t != nil {
				t.find(s, traffic.Unescape(value))
			}
		}
	}
	if n := s.nets[byRemote-byNetwork]; n != nil {
		n.find(s, a.Remote())
	}
}

// ends tries what is known of both ends.
func (s *search) ends(a *traffic.Attrs, peer *traffic.Peer) {
	if head := s.ports[a.Port()]; head > 0 {
		s.try(head)
	}
	s.peer(&a.Source, 0, byNetwork)
	s.nets[byOriginal-byNetwork].find(s, a.Original.Addr())
	if peer != nil {
		s.peer(peer, byPeerPrincipal-byPrincipal, byPeerNetwork)
	}
}

func (s *search) peer(p *traffic.Peer, off, net by) {
	if id := &p.ID; !id.IsZero() {
		if t := s.texts[byPrincipal+off]; t != nil {
			t.find(s, id.Principal())
		}
		s.texts[byAccount+off].find(s, id.Namespace, "/", id.ServiceAccount)
		s.texts[byNamespace+off].find(s, id.Namespace)
	}
	labels := p.Labels
	if p.Pod != nil {
		s.texts[byAccount+off].find(s, p.Pod.Namespace, "/", p.Pod.Account)
		s.texts[byNamespace+off].find(s, p.Pod.Namespace)
		labels = p.Pod.Labels
	}
	if t := s.texts[byLabel+off]; t != nil {
		for _, l := range labels {
			t.find(s, l)
		}
	}
	s.nets[net-byNetwork].find(s, p.Addr.Addr())
}

// names are the tables of headers or parameters.
type names struct {
	index  map[string]int
	tables []*table
	sizes  uint64 // of the names, up to 63: most fields of a call are none of these
}

// maxNames bounds what a search has to remember.
const maxNames = 1024

// seen are the names that a search has come to: a call may have a field many times.
type seen [maxNames / 64]uint64

// first returns a name's table when it is asked for it the first time.
func (n *names) first(name string, s *seen) *table {
	if n.sizes>>min(len(name), 63)&1 == 0 {
		return nil
	}
	i, ok := n.index[name]
	if !ok || s[i>>6]>>(i&63)&1 != 0 {
		return nil
	}
	s[i>>6] |= 1 << (i & 63)
	return n.tables[i]
}

func (n *names) table(name string) *table {
	i, ok := n.index[name]
	if !ok {
		if n.index == nil {
			n.index = map[string]int{}
		}
		i = len(n.tables)
		n.index[name] = i
		n.tables = append(n.tables, &table{})
		n.sizes |= 1 << min(len(name), 63)
	}
	return n.tables[i]
}

// filing makes shelves.
type filing struct {
	count      map[key]int // rules that a key would lead to
	values     int
	names      [2]map[string]bool // of headers, of parameters
	bare, wide bool
}

func newFiling(n int, needs func(i int) Need) *filing {
	f := &filing{count: map[key]int{}, names: [2]map[string]bool{{}, {}}}
	for i := range n {
		need := needs(i)
		f.tally(&need)
	}
	return f
}

func (f *filing) shelf(n int, needs func(i int) Need) *shelf {
	x := &shelf{plain: true}
	var nets [len(x.nets)]map[netip.Prefix]int32
	for i := n - 1; i >= 0; i-- { // the last first: each goes before those that are there
		need := needs(i)
		cost, keys := f.choose(&need)
		if cost == everywhere {
			x.rest = x.links.before(x.rest, int32(i))
			continue
		}
		x.plain = false
		for _, k := range keys {
			x.file(k, int32(i), &nets)
		}
	}
	x.links = slices.Clip(x.links)
	for i := range nets {
		x.nets[i] = newSubnets(nets[i])
	}
	return x
}

func (x *shelf) file(k *key, rule int32, nets *[byRemote - byNetwork + 1]map[netip.Prefix]int32) {
	switch {
	case k.by < texts:
		if x.texts[k.by] == nil {
			x.texts[k.by] = &table{}
		}
		x.texts[k.by].add(&x.links, k, rule)
	case k.by == byHeader:
		x.headers.table(k.name).add(&x.links, k, rule)
	case k.by == byParam:
		x.params.table(k.name).add(&x.links, k, rule)
	case k.by == byPort:
		if x.ports == nil {
			x.ports = map[uint16]int32{}
		}
		x.ports[uint16(k.hash)] = x.links.before(x.ports[uint16(k.hash)], rule)
	default:
		of := &nets[k.by-byNetwork]
		if *of == nil {
			*of = map[netip.Prefix]int32{}
		}
		(*of)[k.net] = x.links.before((*of)[k.net], rule)
	}
}

func (f *filing) tally(n *Need) {
	if n.op == has {
		f.values++
		f.count[n.key]++
		if names := f.named(&n.key); names != nil && len(names) < maxNames {
			names[n.key.name] = true
		}
	}
	for i := range n.of {
		f.tally(&n.of[i])
	}
}

// named are the names that can be looked up of what k is of; nil: it has no name.
func (f *filing) named(k *key) map[string]bool {
	switch k.by {
	case byHeader:
		return f.names[0]
	case byParam:
		return f.names[1]
	}
	return nil
}

// everywhere is the cost of a rule that has to be asked about every call; nowhere, of one that no call of this shelf can match.
const (
	everywhere = math.MaxInt
	nowhere    = 0
)

// choose returns the keys to file a rule under, so that each call that has what n needs has one of them; cost: how many rules are
// under the commonest.
func (f *filing) choose(n *Need) (cost int, keys []*key) {
	switch n.op {
	case has:
		return f.leaf(&n.key)
	case either:
		for i := range n.of {
			c, k := f.choose(&n.of[i])
			if c == everywhere {
				return everywhere, nil
			}
			cost, keys = max(cost, c), append(keys, k...)
		}
		return cost, keys
	}
	cost = everywhere
	for i := range n.of {
		if c, k := f.choose(&n.of[i]); c < cost {
			cost, keys = c, k
		}
	}
	return cost, keys
}

func (f *filing) leaf(k *key) (int, []*key) {
	names := f.named(k)
	switch {
	case f.bare && k.by.headed() && !f.wide:
		return nowhere, nil
	case f.bare && k.by.headed(), k.by == byHead, k.common(), names != nil && !names[k.name]:
		return everywhere, nil
	}
	// A few are as good as one: the order in a Need decides then, so that most rules are filed under the same part of a call.
	return max(f.count[*k], 4), []*key{k}
}
