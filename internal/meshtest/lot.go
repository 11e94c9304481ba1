package meshtest

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// lot is what chance decides by, in all proxies: numbers at random, the same in each run, unless the test wants one.
type lot struct {
	wanted atomic.Pointer[uint64]
	mu     sync.Mutex
	pcg    rand.PCG
}

func (l *lot) draw() uint64 {
	if n := l.wanted.Load(); n != nil {
		return *n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pcg.Uint64()
}
