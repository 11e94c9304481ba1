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

// cost is decayed latency times calls waiting.
func (e *Endpoint) cost(now int64, p *Policy) float64 {
	l := math.Float64frombits(e.latency.Load())
	l *= math.Exp(-float64(max(now-e.stamp.Load(), 0)) / float64(p.decay()))
	return l * float64(e.pending.Load()+1)
}

// observe takes a latency: peaks at once, decays slowly. A failure, however fast, is no reason to prefer the endpoint: what is
// known of it stands still.
func (e *Endpoint) observe(took time.Duration, failed bool, now int64, p *Policy) {
	old, l := math.Float64frombits(e.latency.Load()), float64(took)
	if l < old {
		if failed {
			e.stamp.Store(now)
			return
		}
		w := math.Exp(-float64(max(now-e.stamp.Load(), 0)) / float64(p.decay()))
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

func (p *Policy) decay() time.Duration { return or(p.Decay, 10*time.Second) }
func (p *Policy) start() time.Duration { return or(p.Start, 30*time.Millisecond) }

func or(d, zero time.Duration) time.Duration {
	if d == 0 {
		return zero
	}
	return d
}
