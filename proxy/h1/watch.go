package h1

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// sight is what a probe sees. What waits on a connection with TLS may also be its end.
type sight uint8

const (
	sawNothing sight = iota
	sawBytes
	sawEnd
)

// watchEvery is how often a connection is looked at whose call makes no progress.
const watchEvery = time.Second

// watch notices that a caller has left while its call makes no progress: nobody reads the connection then. A caller that only
// half-closes looks the same; as long as its answer moves it is not disturbed. It runs on a timer that is set once a second, not
// once a call.
type watch struct {
	busy  atomic.Bool
	armed atomic.Bool
	beats atomic.Uint32 // moves with each call and each write
	gone  chan struct{}
	once  sync.Once
	timer *time.Timer
	last  uint32 // of the timer's goroutine alone
	probe probe
}

// begin is called at the begin of each call, end at its end.
func (w *watch) begin(c *Conn) {
	if w.gone == nil {
		w.gone = make(chan struct{})
	}
	w.beats.Add(1)
	w.busy.Store(true)
	if !w.armed.CompareAndSwap(false, true) {
		return
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(math.MaxInt64, func() { w.fire(c) }) // so that fire sees it set
	}
	w.timer.Reset(watchEvery)
}

func (w *watch) end() { w.busy.Store(false) }

func (w *watch) stop() {
	w.end()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) fire(c *Conn) {
	beats := w.beats.Load()
	if w.busy.Load() && beats == w.last && w.probe.look(c.nc) == sawEnd {
		w.once.Do(func() { close(w.gone) })
		return
	}
	w.last = beats
	w.armed.Store(false)
	if w.busy.Load() && w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(watchEvery)
	}
}
