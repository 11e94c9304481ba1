package balance

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/traffic"
)

// Set is a service's (or a subset's) endpoints under one policy. It outlives configuration: what was learnt of an endpoint
// stays with it.
type Set struct {
	now  atomic.Pointer[view]
	turn atomic.Uint64 // of RoundRobin
}

// view is a set as one configuration has it. Immutable but for what endpoints learn.
type view struct {
	policy    *Policy
	outlier   *outlier.Policy // nil: nothing is ejected
	endpoints []*Endpoint     // without those that are draining, unless all are
	weights   []uint64        // cumulative; nil: all the same
	ring      []point
}

// NewSet has no endpoints.
func NewSet() *Set {
	s := &Set{}
	s.now.Store(&view{policy: &Policy{}})
	return s
}

// Update takes a configuration into use; nil policies mean the defaults. It is called by one goroutine at a time.
func (s *Set) Update(p *Policy, o *outlier.Policy, eps []traffic.Endpoint, now time.Time) {
	if p == nil {
		p = &Policy{}
	}
	old := s.now.Load()
	v := &view{policy: p, outlier: o}
	known := map[who]*Endpoint{}
	for _, e := range old.endpoints {
		known[who{e.Addr, e.ID}] = e
	}
	rest := slices.ContainsFunc(eps, func(e traffic.Endpoint) bool { return !e.Draining })
	for _, e := range eps {
		if !e.Draining || !rest { // better one that is about to stop than none
			v.endpoints = append(v.endpoints, s.endpoint(known, e, now))
		}
	}
	v.weights = weigh(v.endpoints)
	if p.Algorithm == RingHash {
		v.ring = newRing(v.endpoints, p.Hash.MinRing)
	}
	s.now.Store(v)
}

// who is what an endpoint is known by: another account at its address is another endpoint.
type who struct {
	addr netip.AddrPort
	id   identity.ID
}

// endpoint goes on with what is known of e. Calls that are under way hold the old one, so a change makes a new one.
func (s *Set) endpoint(known map[who]*Endpoint, e traffic.Endpoint, now time.Time) *Endpoint {
	o := known[who{e.Addr, e.ID}]
	if o != nil && same(&o.Endpoint, &e) {
		return o
	}
	x := &Endpoint{Endpoint: e, set: s}
	if o != nil {
		x.added = o.added
		x.latency.Store(o.latency.Load())
		x.stamp.Store(o.stamp.Load())
		x.outlier.Restore(o.outlier.Snapshot())
		return x
	}
	if len(known) > 0 {
		x.added = now
	}
	x.latency.Store(bits(assumed))
	x.stamp.Store(now.UnixNano())
	return x
}

func same(a, b *traffic.Endpoint) bool {
	return a.Tunnel == b.Tunnel && a.Workload == b.Workload && a.Weight == b.Weight && a.Zone == b.Zone && slices.Equal(a.Labels, b.Labels)
}

// weigh returns cumulative weights, or nil where all are the same.
func weigh(eps []*Endpoint) (out []uint64) {
	total, even := uint64(0), true
	for _, e := range eps {
		total += uint64(max(e.Weight, 1))
		out = append(out, total)
		even = even && max(e.Weight, 1) == max(eps[0].Weight, 1)
	}
	if even {
		return nil
	}
	return out
}

// at returns the endpoint that a number stands for, by weight.
func (v *view) at(n uint64) int {
	if v.weights == nil {
		return int(n % uint64(len(v.endpoints)))
	}
	n %= v.weights[len(v.weights)-1]
	return sort.Search(len(v.weights), func(i int) bool { return n < v.weights[i] })
}

func (v *view) span() uint64 {
	if v.weights == nil {
		return uint64(len(v.endpoints))
	}
	return v.weights[len(v.weights)-1]
}

// A feature's salt is its name; balance draws more than once.
const salt = 0x62616c616e6365 // "balance"

// Pick returns the endpoint for a call; nil: there is none. Those tried are used only if nothing else is left, and when all
// are ejected, better a bad one than none.
func (s *Set) Pick(a *traffic.Attrs, tried []*traffic.Endpoint, key string) *Endpoint {
	v := s.now.Load()
	if len(v.endpoints) == 0 {
		return nil
	}
	c := candidates{v: v, a: a, tried: tried, panic: v.panic(a.Now.UnixNano())}
	e := s.choose(&c, key)
	if e == nil && len(tried) > 0 {
		c.tried = nil
		e = s.choose(&c, key)
	}
	if e == nil {
		c.panic = true
		e = s.choose(&c, key)
	}
	if a.Trail != nil {
		c.explain(e)
	}
	return e
}

func (s *Set) choose(c *candidates, key string) *Endpoint {
	switch c.v.policy.Algorithm {
	case RoundRobin:
		return c.around(c.v.at(s.turn.Add(1)-1), 1)
	case Random:
		return c.around(c.v.at(c.a.Chance(salt, c.v.span())), 1)
	case RingHash:
		if key != "" {
			return c.onRing(hash(key))
		}
		return c.around(c.v.at(c.a.Chance(salt, c.v.span())), 1)
	}
	return c.better()
}

// candidates is one call's choice.
type candidates struct {
	v     *view
	a     *traffic.Attrs
	tried []*traffic.Endpoint
	panic bool // so many are ejected that they are used again
}

func (c *candidates) usable(e *Endpoint) bool {
	return (c.panic || !e.outlier.Ejected(c.a.Now.UnixNano())) && !c.was(e)
}

// was says whether e was tried, under this configuration or the one before.
func (c *candidates) was(e *Endpoint) bool {
	for _, t := range c.tried {
		if t.Addr == e.Addr {
			return true
		}
	}
	return false
}

// around returns the first endpoint from i on that may be used; one that is warming up is passed over for some calls.
func (c *candidates) around(i int, lot uint64) (found *Endpoint) {
	for range c.v.endpoints {
		e := c.v.endpoints[i]
		if c.usable(e) {
			if found == nil {
				found = e
			}
			if share := e.share(c.a.Now, c.v.policy); share == 1 || c.a.Chance(salt+1+lot, 1000) < uint64(share*1000) {
				return e
			}
			lot++
		}
		if i++; i == len(c.v.endpoints) {
			i = 0
		}
	}
	return found
}

// better returns the cheaper of two.
func (c *candidates) better() *Endpoint {
	first := c.around(c.v.at(c.a.Chance(salt, c.v.span())), 1)
	if first == nil {
		return nil
	}
	second := c.around(c.v.at(c.a.Chance(salt+1, c.v.span())), 100)
	if second == first { // the next one, or half of the calls to a pair would not choose
		second = c.around((slices.Index(c.v.endpoints, first)+1)%len(c.v.endpoints), 200)
	}
	if second != first && c.cost(second) < c.cost(first) {
		return second
	}
	return first
}

func (c *candidates) cost(e *Endpoint) float64 {
	if c.v.policy.Algorithm == LeastRequest { // the two were drawn by weight: at rest nothing is to be added to that
		return float64(e.pending.Load()) / e.weight()
	}
	return e.cost(c.a.Now.UnixNano())
}

// panic counts the ejected only where a policy asks how many there are.
func (v *view) panic(now int64) bool {
	return v.outlier != nil && v.outlier.MinHealth > 0 && v.outlier.Panic(len(v.endpoints), v.out(now))
}

// out counts the ejected.
func (v *view) out(now int64) (n int) {
	if v.outlier == nil {
		return 0
	}
	for _, e := range v.endpoints {
		if e.outlier.Ejected(now) {
			n++
		}
	}
	return n
}

func (c *candidates) explain(took *Endpoint) {
	now, t := c.a.Now.UnixNano(), c.a.Trail
	for _, e := range c.v.endpoints {
		switch {
		case e == took:
		case e.outlier.Ejected(now):
			t.Passed("balance", &c.v.outlier.Ref, fmt.Sprintf("%v is ejected for %v more", e.Addr, e.outlier.Snapshot().Until.Sub(c.a.Now)))
		case c.was(e):
			t.Passed("balance", nil, fmt.Sprintf("%v was tried", e.Addr))
		}
	}
	t.Took("balance", decision.Verdict{Ref: &c.v.policy.Ref, Reason: decision.Matched},
		fmt.Sprintf("%v of %d by %v", took.Addr, len(c.v.endpoints), c.v.policy.Algorithm))
}

// Snapshot is what was learnt of an endpoint, as a value.
type Snapshot struct {
	Endpoint traffic.Endpoint
	Latency  time.Duration
	Pending  int32
	Outlier  outlier.Snapshot
}

// Snapshot returns what was learnt.
func (s *Set) Snapshot() (out []Snapshot) {
	for _, e := range s.now.Load().endpoints {
		out = append(out, Snapshot{e.Endpoint, duration(e.latency.Load()), e.pending.Load(), e.outlier.Snapshot()})
	}
	return out
}

// Restore makes endpoints that the set still has as they were.
func (s *Set) Restore(snaps []Snapshot, now time.Time) {
	for _, v := range snaps {
		for _, e := range s.now.Load().endpoints {
			if e.Addr == v.Endpoint.Addr && e.ID == v.Endpoint.ID {
				e.latency.Store(bits(v.Latency))
				e.stamp.Store(now.UnixNano())
				e.outlier.Restore(v.Outlier)
			}
		}
	}
}
