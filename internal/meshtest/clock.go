package meshtest

import (
	"sync/atomic"
	"time"
)

// clock is all proxies': real time, and what has passed at once beside it. What a proxy decides by goes by this clock; what bounds its
// input and output, by real time, in which nothing is waited for.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Pass lets time pass for the proxies, at once.
func (m *Mesh) Pass(d time.Duration) { m.clock.ahead.Add(int64(d)) }
