package stat

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"
)

// Histogram counts durations in buckets whose width is an eighth of the durations in them, or 8 µs below 64 µs, up to 67 s; the
// last bucket has all that took longer. A quantile is off by a sixteenth, or 4 µs, at most. Indices without calls are left out.
type Histogram map[int]uint64

const (
	unit    = 64 * time.Microsecond
	steps   = 8
	buckets = 21 * steps
)

// bucketOf is the index of a duration.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0) / (unit / steps))
	if n < steps {
		return int(n)
	}
	e := bits.Len64(n) - 4 // n>>e is in [8, 16)
	return min((e+1)*steps+int(n>>e)-steps, buckets-1)
}

// Bound is the upper end of a bucket.
func Bound(i int) time.Duration {
	if i < steps {
		return time.Duration(i+1) * (unit / steps)
	}
	e := i/steps - 1
	return time.Duration(uint64(i%steps+steps+1)<<e) * (unit / steps)
}

// Add adds o to h.
func (h Histogram) Add(o Histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// Sub takes an earlier state of the same histogram away.
func (h Histogram) Sub(o Histogram) {
	for i, n := range o {
		if h[i] -= min(n, h[i]); h[i] == 0 {
			delete(h, i)
		}
	}
}

// Quantile returns the shortest duration that the share q of all calls did not exceed, give or take half a bucket; 0: there were
// no calls.
func (h Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for _, n := range h {
		total += n
	}
	rank := max(uint64(math.Ceil(min(max(q, 0), 1)*float64(total)-1e-6)), 1) // .07 of 100 is a little more than 7
	for _, i := range slices.Sorted(maps.Keys(h)) {
		if h[i] >= rank {
			return middle(i)
		}
		rank -= h[i]
	}
	return 0
}

func middle(i int) time.Duration {
	if i == 0 {
		return Bound(0) / 2
	}
	return (Bound(i-1) + Bound(i)) / 2
}
