package h2

import "time"

// bucket lets a number of events pass each second, and as many at once.
type bucket struct {
	left int
	last time.Time
}

// give lets one more event pass.
func (b *bucket) give(most int) { b.left = min(b.left+1, most) }

// take says whether one more event may pass.
func (b *bucket) take(now time.Time, perSecond int) bool { return b.takeAll(now, perSecond, 1) }

// takeAll says whether n more events may pass.
func (b *bucket) takeAll(now time.Time, perSecond, n int) bool {
	if b.last.IsZero() {
		b.left, b.last = perSecond, now
	}
	gone := min(now.Sub(b.last), time.Second)
	if add := int(gone * time.Duration(perSecond) / time.Second); add > 0 {
		b.left, b.last = min(b.left+add, perSecond), now
	}
	b.left -= n
	return b.left >= 0
}
