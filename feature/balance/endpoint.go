package balance

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/traffic"
)

// Endpoint is an address with what was learnt of it. Atomics, no lock: many calls write.
type Endpoint struct {
	traffic.Endpoint
	set     *Set
	added   time.Time     // when it came to a set that had others already; zero: it was there from the start
	latency atomic.Uint64 // float64 bits, ns
	stamp   atomic.Int64
	pending atomic.Int32
	outlier outlier.State
}

func (e *Endpoint) weight() float64 { return float64(max(e.Weight, 1)) }

// cost is decayed latency times calls waiting.
func (e *Endpoint) cost(now int64) float64 {
	return math.Float64frombits(e.latency.Load()) * e.left(now) * float64(e.pending.Load()+1)
}

// left is what is left of a latency learnt when e was called last, in (0, 1].
func (e *Endpoint) left(now int64) float64 {
	return math.Exp(-float64(max(now-e.stamp.Load(), 0)) / float64(decay))
}

// observe takes a latency: peaks at once, decays slowly. A failure, however fast, is no reason to prefer the endpoint: what is
// known of it stands still.
func (e *Endpoint) observe(took time.Duration, failed bool, now int64) {
	old, l := math.Float64frombits(e.latency.Load()), float64(took)
	if l < old {
		if failed {
			e.stamp.Store(now)
			return
		}
		w := e.left(now)
		l = old*w + l*(1-w)
	}
	e.latency.Store(math.Float64bits(l))
	e.stamp.Store(now)
}

// share is the endpoint's part of what it will take once it is warm, in (0, 1].
func (e *Endpoint) share(now time.Time, p *Policy) float64 {
	if p.SlowStart == 0 || e.added.IsZero() {
		return 1
	}
	return min(1, max(minShare, float64(now.Sub(e.added))/float64(p.SlowStart)))
}

// minShare is what a new endpoint begins with (Istio's warmup: 10 %).
const minShare = 0.1

// Of PeakEWMA, as Linkerd has them: in which time a latency loses all but 1/e of its say, and what is assumed of an endpoint that
// has not been called.
const (
	decay   = 10 * time.Second
	assumed = 30 * time.Millisecond
)
