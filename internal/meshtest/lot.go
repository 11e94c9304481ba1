package meshtest

import (
	"math/rand/v2"
	"sync/atomic"
)

// lot is what chance decides by, in all proxies: numbers at random, unless the test wants one.
type lot struct{ wanted atomic.Pointer[uint64] }

func (l *lot) draw() uint64 {
	if n := l.wanted.Load(); n != nil {
		return *n
	}
	return rand.Uint64()
}
