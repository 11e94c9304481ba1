package balance

import (
	"cmp"
	"math"
	mathbits "math/bits"
	"slices"
	"sort"
	"strconv"
	"time"
)

// point is an endpoint's place on the ring; it has many, so that its share is even and its neighbours take over evenly.
type point struct {
	at uint64
	e  *Endpoint
}

const (
	minRing = 1024
	maxRing = 1 << 17 // 2 MB; whatever sizes and weights a policy and its endpoints have
)

// newRing places endpoints by their addresses: the same set gives the same ring in every proxy.
func newRing(eps []*Endpoint, size uint32) (ring []point) {
	if size == 0 {
		size = minRing
	}
	if len(eps) == 0 {
		return nil
	}
	// A power of two: the number changes seldom, and with it the places of endpoints that stay.
	each := float64(int(1) << mathbits.Len(uint(size-1)/uint(len(eps))))
	least, all := math.Inf(1), 0.0
	for _, e := range eps {
		least, all = min(least, e.weight()), all+e.weight()
	}
	each = min(each, maxRing*least/all)
	for _, e := range eps {
		name := e.Addr.String() + "#"
		for i := range max(int(each*e.weight()/least), 1) {
			ring = append(ring, point{hash(name + strconv.Itoa(i)), e})
		}
	}
	slices.SortFunc(ring, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	return ring
}

// hash is FNV-1a, mixed: FNV alone leaves near strings near each other.
func hash(s string) uint64 {
	x := uint64(14695981039346656037)
	for i := range len(s) {
		x = (x ^ uint64(s[i])) * 1099511628211
	}
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// may says whether e is of those to choose from: a ring has all.
func (c *candidates) may(e *Endpoint) bool {
	return (c.pool == &c.v.pool || !e.outlier.Ejected(c.a.Now.UnixNano())) && !c.was(e)
}

// onRing returns the first endpoint from h on, around, that may be used.
func (c *candidates) onRing(h uint64) *Endpoint {
	ring := c.v.ring
	i := sort.Search(len(ring), func(i int) bool { return ring[i].at >= h })
	for range ring {
		if i == len(ring) {
			i = 0
		}
		if c.may(ring[i].e) {
			return ring[i].e
		}
		i++
	}
	return nil
}

func bits(d time.Duration) uint64 { return math.Float64bits(float64(d)) }

func duration(b uint64) time.Duration { return time.Duration(math.Float64frombits(b)) }
