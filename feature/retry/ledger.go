package retry

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Ledger counts the calls and the retries of the latest window. It outlives the policies of its Budget. No lock: a count that
// meets the turn of a slot may fall into the neighbouring one.
type Ledger struct{ calls, retries [slots]atomic.Uint64 }

// slots make the window slide, in steps of a tenth.
const slots = 10

// Deposit counts a call.
func (l *Ledger) Deposit(b *Budget, now time.Time) {
	slot(&l.calls, b.epoch(now)).add(1)
}

// Withdraw counts a retry, if the budget has it: of the calls of the window Percent, and MinPerSecond of its seconds.
func (l *Ledger) Withdraw(b *Budget, now time.Time) bool {
	at := b.epoch(now)
	s := slot(&l.retries, at)
	s.add(1)
	allowed := sum(&l.calls, at)*orElse(b.Percent, 20)/100 + orElse(b.MinPerSecond, 10)*uint64(b.window())/uint64(time.Second)
	if sum(&l.retries, at) <= allowed {
		return true
	}
	s.add(-1)
	return false
}

func orElse(n *uint32, unset uint64) uint64 {
	if n == nil {
		return unset
	}
	return uint64(*n)
}

func (b *Budget) window() time.Duration { return cmp.Or(b.Window, 10*time.Second) }

// epoch numbers the slots of all time.
func (b *Budget) epoch(now time.Time) uint32 {
	return uint32(now.UnixNano() / int64(max(b.window()/slots, 1)))
}

// counter is a slot: its epoch in the upper half, a count in the lower.
type counter struct {
	n     *atomic.Uint64
	epoch uint32
}

func slot(all *[slots]atomic.Uint64, epoch uint32) counter { return counter{&all[epoch%slots], epoch} }

// add counts in the slot as it is, if it is of this epoch, or of a later one because this clock lags. Else it is begun anew.
func (c counter) add(by int32) {
	for {
		v := c.n.Load()
		next := v + uint64(int64(by))
		switch age := c.age(v); {
		case by < 0 && (age != 0 || uint32(v) == 0):
			return // what is to be taken back is gone
		case age > 0 || age <= -slots:
			next = uint64(c.epoch)<<32 | uint64(by)
		}
		if c.n.CompareAndSwap(v, next) {
			return
		}
	}
}

// age is how many slots before c's epoch v is from. One of far ahead is from a window of another length.
func (c counter) age(v uint64) int32 {
	if v == 0 {
		return slots
	}
	return int32(c.epoch - uint32(v>>32))
}

// sum counts what is of the window that ends with epoch.
func sum(all *[slots]atomic.Uint64, epoch uint32) (n uint64) {
	for i := range all {
		v := all[i].Load()
		if age := (counter{nil, epoch}).age(v); age < slots && age > -slots {
			n += uint64(uint32(v))
		}
	}
	return n
}
