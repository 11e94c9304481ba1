package balance

import (
	"fmt"
	"math"
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
	now       atomic.Pointer[view]
	turn      atomic.Uint64 // of RoundRobin
	ejections atomic.Uint64 // how often endpoints were ejected, or restored, who may be
}

// view is a set as one configuration has it. Immutable but for what endpoints learn.
type view struct {
	policy  *Policy
	outlier *outlier.Policy // nil: nothing is ejected
	pool                    // without those that are draining, unless all are
	ring    []point
	well    atomic.Pointer[well]
}

// pool is what one is drawn from.
type pool struct {
	endpoints []*Endpoint
	weights   []uint64 // cumulative; nil: all the same
}

// well is a view's pool without those that are ejected. It is made anew when somebody was ejected or comes back, so that no call has
// to look for those that may be used, or to count them: with 1,000 endpoints that took 1 µs a call.
type well struct {
	pool
	until     int64 // when the first of the others comes back, in ns
	ejections uint64
}

// well returns those that are not ejected at now.
func (s *Set) well(v *view, now int64) *well {
	n := s.ejections.Load() // before the endpoints are read: what is ejected meanwhile makes the next call look again
	if w := v.well.Load(); w != nil && w.ejections == n && now < w.until {
		return w
	}
	w := &well{pool: v.pool, until: math.MaxInt64, ejections: n}
	if first := slices.IndexFunc(v.endpoints, func(e *Endpoint) bool { return e.outlier.Ejected(now) }); first >= 0 {
		w.endpoints = nil
		for _, e := range v.endpoints {
			if until := e.outlier.Until(); until > now {
				w.until = min(w.until, until)
			} else {
				w.endpoints = append(w.endpoints, e)
			}
		}
		w.weights = weigh(w.endpoints)
	}
	v.well.Store(w)
	return w
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
	seen := map[instance]bool{}
	for _, e := range eps {
		if e.Draining && rest { // better one that is about to stop than none
			continue
		}
		if i := (instance{e.Workload, e.Addr.Port()}); e.Workload == "" || !seen[i] {
			seen[i] = true
			v.endpoints = append(v.endpoints, s.endpoint(known, e, now))
		}
	}
	v.weights = weigh(v.endpoints)
	if p.Algorithm == RingHash {
		v.ring = newRing(v.endpoints, p.Hash.MinRing)
	}
	s.now.Store(v)
}

// instance is what takes calls, whatever its addresses: a workload with addresses of both families is called by the first, and is no two.
type instance struct {
	workload string
	port     uint16
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
func (p *pool) at(n uint64) int {
	if p.weights == nil {
		return int(n % uint64(len(p.endpoints)))
	}
	n %= p.weights[len(p.weights)-1]
	return sort.Search(len(p.weights), func(i int) bool { return n < p.weights[i] })
}

func (p *pool) span() uint64 {
	if p.weights == nil {
		return uint64(len(p.endpoints))
	}
	return p.weights[len(p.weights)-1]
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
	w := s.well(v, a.Now.UnixNano())
	c := candidates{v: v, a: a, tried: tried, pool: &w.pool}
	if len(w.endpoints) == 0 || v.outlier.Panic(len(v.endpoints), len(v.endpoints)-len(w.endpoints)) {
		c.pool = &v.pool
	}
	e := s.choose(&c, key)
	if e == nil && len(tried) > 0 {
		c.tried = nil
		e = s.choose(&c, key)
	}
	if e == nil { // of a ring, the last that was well may just have been ejected
		c.pool = &v.pool
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
		return c.one(s.turn.Add(1) - 1)
	case Random:
		return c.one(c.a.Chance(salt, c.pool.span()))
	case RingHash:
		if key != "" {
			return c.onRing(hash(key))
		}
		return c.one(c.a.Chance(salt, c.pool.span()))
	}
	return c.better()
}

// candidates is one call's choice.
type candidates struct {
	v     *view
	a     *traffic.Attrs
	tried []*traffic.Endpoint
	pool  *pool // those that are well; so many are ejected that they are used again: all
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

// around returns the first endpoint from i on that was not tried, and where it is; one that is warming up is passed over for some calls.
func (c *candidates) around(i int, lot uint64) (found *Endpoint, at int) {
	for range c.pool.endpoints {
		e := c.pool.endpoints[i]
		if !c.was(e) {
			if found == nil {
				found, at = e, i
			}
			if share := e.share(c.a.Now, c.v.policy); share == 1 || c.a.Chance(salt+1+lot, 1000) < uint64(share*1000) {
				return e, i
			}
			lot++
		}
		if i++; i == len(c.pool.endpoints) {
			i = 0
		}
	}
	return found, at
}

// one returns the endpoint that n stands for, or the next that was not tried.
func (c *candidates) one(n uint64) *Endpoint {
	e, _ := c.around(c.pool.at(n), 1)
	return e
}

// better returns the cheaper of two.
func (c *candidates) better() *Endpoint {
	first, at := c.around(c.pool.at(c.a.Chance(salt, c.pool.span())), 1)
	if first == nil {
		return nil
	}
	second, _ := c.around(c.pool.at(c.a.Chance(salt+1, c.pool.span())), 100)
	if second == first { // the next one, or half of the calls to a pair would not choose
		second, _ = c.around((at+1)%len(c.pool.endpoints), 200)
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
	known := map[who]*Endpoint{}
	for _, e := range s.now.Load().endpoints {
		known[who{e.Addr, e.ID}] = e
	}
	for _, v := range snaps {
		if e := known[who{v.Endpoint.Addr, v.Endpoint.ID}]; e != nil {
			e.latency.Store(bits(v.Latency))
			e.stamp.Store(now.UnixNano())
			e.outlier.Restore(v.Outlier)
		}
	}
	s.ejections.Add(1)
}
