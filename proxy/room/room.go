// Package room tells how much is left of what the system lends a process, descriptors and memory, so that new callers are turned away
// before either ends: who is served already finds what it needs.
//
// Descriptors need no counting. The kernel gives the lowest number that is free (open(2)), so that a connection's number says how many
// are open at least. Memory is read when callers come, and now and then, where a bound is known at all.
package room

import (
	"context"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
)

// Options bounds a Room. The zero value bounds nothing.
type Options struct {
	Files  uint64        // descriptors that the process may have [no bound is known]
	Memory uint64        // bytes that it may hold [no bound is known]
	Held   func() uint64 // bytes that it holds [what the Go runtime has mapped and not given back]
}

// Why callers are turned away, as values of a metric's label.
const (
	Descriptors = "descriptors"
	Memory      = "memory"
)

// Parts of a bound. Who was let in may need as many descriptors again: a connection to the application for each of the caller's. The
// collector is told to keep memory within collect, so that more than that is in use.
const (
	files   = 0.50 // descriptors in use: no new connection
	collect = 0.75
	short   = 0.80 // memory: no new connection
	full    = 0.90 // no new stream on those of HTTP/2: one of HTTP/1.1 has a call at a time
	over    = 0.97 // no new call at all
)

// perCall is what a call may take once its answer begins: until then it is not in what is read. Without it 1,200 callers who asked for
// much within 20 ms took twice the bound.
const perCall = 64 << 10

// A reading takes some microseconds. A crowd of callers takes 100 MiB in less than every.
const (
	every = 100 * time.Millisecond // at rest
	fresh = 2 * time.Millisecond   // as callers come
)

// Room is what is left. nil is one without bounds. It is safe for concurrent use.
type Room struct {
	o     Options
	level atomic.Int32
	calls atomic.Int64 // whose answers have not begun
	read  atomic.Int64 // when memory was read last: nanoseconds of the callers' clock
	busy  sync.Mutex   // held while it is read
}

// Levels of memory.
const (
	enough  int32 = iota
	scarce        // no new connection
	crowded       // no new stream
	none          // no new call
)

// New returns a room with all that there is. Watch has it read memory.
func New(o Options) *Room {
	if o.Held == nil {
		o.Held = held()
	}
	return &Room{o: o}
}

// Collect is how much memory the collector should keep the process within (debug.SetMemoryLimit); 0: no bound is known.
func (o *Options) Collect() int64 { return int64(collect * float64(o.Memory)) }

// Refuses says why a connection that was just accepted is not to be served; empty: it is.
func (r *Room) Refuses(c sys.Conn, now time.Time) string {
	switch {
	case r == nil:
	case r.at(now) != enough:
		return Memory
	case r.o.Files > 0:
		if n, err := sys.Number(c); err == nil && float64(n) >= files*float64(r.o.Files) {
			return Descriptors
		}
	}
	return ""
}

// Begin counts a call, until Begun says that its answer has begun. false: there is no memory for it, and Begun is not to be called.
// stream: its connection has others at the same time.
func (r *Room) Begin(now time.Time, stream bool) bool {
	if r == nil || r.o.Memory == 0 {
		return true
	}
	if level := r.at(now); level == none || level == crowded && stream {
		return false
	}
	r.calls.Add(1)
	return true
}

// Begun is for each call that Begin let pass.
func (r *Room) Begun() {
	if r != nil && r.o.Memory > 0 {
		r.calls.Add(-1)
	}
}

// at is the level as of now, or hardly before.
func (r *Room) at(now time.Time) int32 {
	if r.o.Memory > 0 && now.UnixNano()-r.read.Load() > int64(fresh) && r.busy.TryLock() {
		r.read.Store(now.UnixNano())
		r.look()
		r.busy.Unlock()
	}
	return r.level.Load()
}

// Watch reads memory now and then until ctx ends, also when nobody comes. Without a bound it returns at once.
func (r *Room) Watch(ctx context.Context) {
	if r == nil || r.o.Memory == 0 {
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		r.busy.Lock()
		r.look()
		r.busy.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look needs the lock.
func (r *Room) look() {
	level := enough
	switch part := float64(r.o.Held()+uint64(r.calls.Load())*perCall) / float64(r.o.Memory); {
	case part >= over:
		level = none
	case part >= full:
		level = crowded
	case part >= short:
		level = scarce
	}
	r.level.Store(level)
}

// held reads without allocating.
func held() func() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	return func() uint64 {
		metrics.Read(s)
		return s[0].Value.Uint64() - s[1].Value.Uint64()
	}
}
