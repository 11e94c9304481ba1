package match_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/match/matchtest"
	"github.com/weft-mesh/weft/traffic"
)

// predicate is a conjunction of one of each.
type predicate struct {
	requests []match.Request
	from     []match.Source
	to       []match.Source
	when     []match.Condition
}

func random(t testing.TB, r matchtest.Random) *predicate {
	p := &predicate{}
	for range 1 + r.IntN(2) {
		p.requests = append(p.requests, r.Request())
	}
	for range r.IntN(2) {
		p.from = append(p.from, r.Source())
	}
	if r.IntN(3) == 0 {
		p.to = append(p.to, r.Source())
	}
	if r.IntN(3) == 0 {
		p.when = append(p.when, r.Condition())
	}
	for _, err := range p.compile() {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *predicate) compile() (errs []error) {
	for i := range p.requests {
		errs = append(errs, p.requests[i].Compile())
	}
	for i := range p.from {
		errs = append(errs, p.from[i].Compile())
	}
	for i := range p.to {
		errs = append(errs, p.to[i].Compile())
	}
	for i := range p.when {
		errs = append(errs, p.when[i].Compile())
	}
	return errs
}

func (p *predicate) match(a *traffic.Attrs, peer *traffic.Peer, wide bool) bool {
	ok := len(p.requests) == 0
	for i := range p.requests {
		ok = ok || p.requests[i].Match(a, wide)
	}
	from := len(p.from) == 0
	for i := range p.from {
		from = from || p.from[i].Match(&a.Source, wide)
	}
	to := len(p.to) == 0
	for i := range p.to {
		to = to || peer != nil && p.to[i].Match(peer, wide)
	}
	ok = ok && from && to
	for i := range p.when {
		ok = ok && p.when[i].Match(a, wide)
	}
	return ok
}

func (p *predicate) need() match.Need {
	var requests, from, to, all []match.Need
	for i := range p.requests {
		requests = append(requests, p.requests[i].Need())
	}
	for i := range p.from {
		from = append(from, p.from[i].Need(false))
	}
	for i := range p.to {
		to = append(to, p.to[i].Need(true))
	}
	for i := range p.when {
		all = append(all, p.when[i].Need())
	}
	return match.All(append(all, match.Any(requests...), match.Any(from...), match.Any(to...))...)
}

// agree compares an index of n random rules with asking them one after another, for random calls; it returns how often a rule was found
// and how often one was asked.
func agree(t testing.TB, seed uint64, n, calls int) (hits, asked int) {
	r := matchtest.Of(seed)
	wide := r.IntN(2) == 0
	rules := make([]*predicate, n)
	for i := range rules {
		rules[i] = random(t, r)
	}
	x := match.NewIndex(n, wide, func(i int) match.Need { return rules[i].need() })
	if x == nil {
		return 0, 0
	}
	for range calls {
		a, peer := r.Attrs(), new(traffic.Peer)
		if *peer = r.Peer(); r.IntN(3) == 0 {
			peer = nil
		}
		want := -1
		for i, p := range rules {
			if p.match(a, peer, wide) {
				want = i
				hits++
				break
			}
		}
		got := x.First(a, peer, func(i int) bool { asked++; return rules[i].match(a, peer, wide) })
		if got != want {
			bad := want
			if bad < 0 {
				bad = got
			}
			t.Fatalf("seed %d: rule %d, want %d, of %+v to %+v, wide %v: %+v", seed, got, want, a, peer, wide, rules[bad])
		}
	}
	return hits, asked
}

// TestIndex: "A plain linear evaluator [...] must pick the same winner as the compiled one" (DESIGN section 12).
func TestIndex(t *testing.T) {
	hits, calls := 0, 0
	for seed := range uint64(250) {
		h, _ := agree(t, seed, 5+int(seed%40), 40)
		hits, calls = hits+h, calls+40
	}
	if hits < calls/4 || hits > calls*19/20 {
		t.Errorf("%d of %d calls met a rule: too few or too many to tell", hits, calls)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(uint64(1), uint8(5))
	f.Add(uint64(2), uint8(200))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) { agree(t, seed, int(n), 20) })
}

func one(v string) []match.String { return []match.String{{Value: v}} }

var tables = []struct {
	name string
	rule func(i int) match.Request
	call func(a *traffic.Attrs, i int)
}{
	{"exact", func(i int) match.Request { return match.Request{Paths: one(fmt.Sprintf("/shop/items/%d", i))} },
		func(a *traffic.Attrs, i int) { a.Path = fmt.Sprintf("/shop/items/%d", i) }},
	{"segment", func(i int) match.Request {
		return match.Request{Paths: []match.String{{Kind: match.PathPrefix, Value: fmt.Sprintf("/shop/items/%d", i)}}}
	}, func(a *traffic.Attrs, i int) { a.Path = fmt.Sprintf("/shop/items/%d/reviews", i) }},
	{"prefix", func(i int) match.Request {
		return match.Request{Paths: []match.String{{Kind: match.Prefix, Value: fmt.Sprintf("/shop/items/%05d", i)}}}
	}, func(a *traffic.Attrs, i int) { a.Path = fmt.Sprintf("/shop/items/%05d/reviews", i) }},
	{"header", func(i int) match.Request {
		return match.Request{Paths: []match.String{{Kind: match.PathPrefix, Value: "/"}}, Headers: []match.Header{{Name: "x-user", Values: one(fmt.Sprint("user-", i))}}}
	}, func(a *traffic.Attrs, i int) { a.Header.Receive("x-user", fmt.Sprint("user-", i)) }},
	{"header there", func(i int) match.Request { return match.Request{Headers: []match.Header{{Name: fmt.Sprint("x-", i)}}} },
		func(a *traffic.Attrs, i int) { a.Header.Receive(fmt.Sprint("x-", i), "") }},
	{"host", func(i int) match.Request {
		return match.Request{Hosts: []match.String{{Kind: match.Suffix, Value: fmt.Sprintf(".shop-%d.example.com", i), Fold: true}}}
	}, func(a *traffic.Attrs, i int) { a.Authority = fmt.Sprintf("www.shop-%d.example.com", i) }},
	{"param", func(i int) match.Request {
		return match.Request{Params: []match.Param{{Name: "id", Values: one(fmt.Sprint(i))}}}
	}, func(a *traffic.Attrs, i int) { a.Query = fmt.Sprint("page=1&id=", i) }},
	{"regex with a beginning", func(i int) match.Request {
		return match.Request{Paths: []match.String{{Kind: match.Regex, Value: fmt.Sprintf("/shop/items/%d/[a-z]+", i)}}}
	}, func(a *traffic.Attrs, i int) { a.Path = fmt.Sprintf("/shop/items/%d/reviews", i) }},
	{"regex", func(i int) match.Request {
		return match.Request{Paths: []match.String{{Kind: match.Regex, Value: fmt.Sprintf("/.*/items/%d", i)}}}
	}, func(a *traffic.Attrs, i int) { a.Path = fmt.Sprintf("/shop/items/%d", i) }},
}

func call() *traffic.Attrs {
	a := &traffic.Attrs{Conn: &traffic.Conn{}, Proto: traffic.HTTP1, Method: "GET", Scheme: "http", Authority: "shop.default.svc.cluster.local", Path: "/shop"}
	for _, n := range []string{"user-agent", "accept", "accept-encoding", "accept-language", "traceparent", "x-request-id", "cache-control", "referer"} {
		a.Header.Receive(n, "some value")
	}
	return a
}

func compiled(t testing.TB, n int, rule func(int) match.Request) (rules []match.Request, x *match.Index) {
	rules = make([]match.Request, n)
	for i := range rules {
		rules[i] = rule(i)
		if err := rules[i].Compile(); err != nil {
			t.Fatal(err)
		}
	}
	return rules, match.NewIndex(n, false, func(i int) match.Need { return rules[i].Need() })
}

// TestIndexEdges: what is compared in a way of its own is found too.
func TestIndexEdges(t *testing.T) {
	peer := func(addr string, id identity.ID, labels ...string) traffic.Peer {
		return traffic.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1), ID: id, Labels: labels}
	}
	known := identity.Of("td", "a", "b")
	net := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	for _, x := range []struct {
		name string
		s    match.Source
		p    traffic.Peer
	}{
		{"an account without a name", match.Source{Accounts: one("a")}, peer("10.0.0.1", identity.Of("td", "a", ""))},
		{"an account", match.Source{Accounts: one("a/b")}, peer("10.0.0.1", known)},
		{"accounts by their end", match.Source{Accounts: []match.String{{Kind: match.Suffix, Value: "/b"}}}, peer("10.0.0.1", known)},
		{"whoever is known", match.Source{Authenticated: true}, peer("10.0.0.1", known)},
		{"a label without a value", match.Source{Selectors: []match.Selector{{Exprs: []match.Requirement{{Key: "b", Values: []string{""}}}}}}, peer("10.0.0.1", known, "a=a", "b")},
		{"a mapped address", match.Source{Networks: net("10.0.0.1/32")}, peer("::ffff:10.0.0.1", known)},
		{"a network whose host is set", match.Source{Networks: net("10.1.2.3/8")}, peer("10.9.9.9", known)},
		{"a network around another", match.Source{Networks: net("10.0.0.0/7")}, peer("10.255.0.0", known)},
		{"any address", match.Source{Networks: net("::/0")}, peer("2001:db8::1", known)},
	} {
		// The others are so many that there is an index, and lie around.
		others := []match.Source{{Networks: net("10.0.0.0/8"), Namespaces: one("x")}, {Networks: net("10.0.0.0/9"), Namespaces: one("x")}, {Networks: net("10.128.0.0/9"), Namespaces: one("x")},
			{Networks: net("10.255.255.255/32")}, {Networks: net("11.0.0.0/8")}, {Accounts: one("c/d")}, {Accounts: []match.String{{Kind: match.Suffix, Value: "/d"}}},
			{Selectors: []match.Selector{{Labels: []string{"c=d"}}}}, {Namespaces: one("x")}, {Principals: one("td/ns/c/sa/d")}, x.s}
		index := match.NewIndex(len(others), false, func(i int) match.Need { return others[i].Need(false) })
		a := call()
		a.Conn = &traffic.Conn{Source: x.p}
		if got := index.First(a, nil, func(i int) bool { return others[i].Match(&x.p, false) }); got != len(others)-1 || !x.s.Match(&x.p, false) {
			t.Errorf("%s: rule %d", x.name, got)
		}
	}
}

// TestIndexOfFew: small tables are asked in order, and cost no memory; but for those whose few rules have many values.
func TestIndexOfFew(t *testing.T) {
	if _, x := compiled(t, 4, tables[0].rule); x != nil {
		t.Error("four rules have an index")
	}
	many := make([]match.String, 1000)
	for i := range many {
		many[i].Value = fmt.Sprint("/", i)
	}
	rules, x := compiled(t, 1, func(int) match.Request { return match.Request{Paths: many} })
	if a := call(); x == nil || x.First(a, nil, func(int) bool { t.Error("asked"); return rules[0].Match(a, false) }) != -1 {
		t.Error("a rule of a thousand values has none")
	}
}

// TestIndexOfManyNames: where rules name more headers than a search remembers, the others are found all the same.
func TestIndexOfManyNames(t *testing.T) {
	rules, x := compiled(t, 2000, func(i int) match.Request { return match.Request{Headers: []match.Header{{Name: fmt.Sprint("x-", i)}}} })
	for _, i := range []int{0, 1023, 1024, 1999} {
		a := call()
		a.Header.Receive(fmt.Sprint("x-", i), "")
		if got := x.First(a, nil, func(i int) bool { return rules[i].Match(a, false) }); got != i {
			t.Errorf("rule %d, want %d", got, i)
		}
	}
}

// TestIndexAsksOne: of a thousand rules, only the one that matches is asked, and nothing is allocated.
func TestIndexAsksOne(t *testing.T) {
	const n = 1000
	for _, x := range tables[:len(tables)-1] {
		rules, index := compiled(t, n, x.rule)
		a, asked := call(), 0
		x.call(a, n-1)
		got := index.First(a, nil, func(i int) bool { asked++; return rules[i].Match(a, false) })
		if got != n-1 || asked != 1 {
			t.Errorf("%s: rule %d, after %d were asked", x.name, got, asked)
		}
		if allocs := testing.AllocsPerRun(100, func() { index.First(a, nil, func(i int) bool { return rules[i].Match(a, false) }) }); allocs != 0 {
			t.Errorf("%s: %v allocations", x.name, allocs)
		}
	}
}

func BenchmarkFirst(b *testing.B) {
	for _, x := range tables {
		for _, n := range []int{1, 50, 1000, 10_000} {
			rules, index := compiled(b, n, x.rule)
			a := call()
			x.call(a, n-1)
			ask := func(i int) bool { return rules[i].Match(a, false) }
			b.Run(fmt.Sprintf("%s/%d/linear", x.name, n), func(b *testing.B) {
				for b.Loop() {
					for i := range rules {
						if ask(i) {
							break
						}
					}
				}
			})
			if index == nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d/index", x.name, n), func(b *testing.B) {
				for b.Loop() {
					index.First(a, nil, ask)
				}
			})
		}
	}
}

func BenchmarkNewIndex(b *testing.B) {
	for _, x := range tables {
		rules, _ := compiled(b, 10_000, x.rule)
		b.Run(x.name, func(b *testing.B) {
			before := heap()
			var x *match.Index
			for b.Loop() {
				x = match.NewIndex(len(rules), false, func(i int) match.Need { return rules[i].Need() })
			}
			b.ReportMetric((heap()-before)/float64(len(rules)), "B/rule")
			runtime.KeepAlive(x)
		})
	}
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
