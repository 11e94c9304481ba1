package load

import (
	"math/bits"
	"time"
)

// histogram counts durations with an error of at most 1/64, without allocating.
type histogram struct {
	counts [64 << subBits]uint32
	n      int
	max    time.Duration
}

const subBits = 6

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.n++
	h.max = max(h.max, d)
}

// bucket is linear below 2^subBits, and then has 2^subBits for each power of two.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) time.Duration {
	if i < 2<<subBits {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	return time.Duration((uint64(i-shift<<subBits)+1)<<shift - 1)
}

// quantile is the smallest duration that a share q of all do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(q*float64(h.n) + 0.5)
	for i, c := range h.counts {
		if left -= int(c); left <= 0 && h.n > 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

func (h *histogram) result() Result {
	return Result{Requests: h.n, P50: h.quantile(0.5), P90: h.quantile(0.9), P99: h.quantile(0.99), Max: h.max}
}
