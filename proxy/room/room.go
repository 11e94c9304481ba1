// Package room tells how much is left of what the system lends a process, descriptors and memory, so that new callers are turned away
// before either ends: who is served already finds what it needs.
//
// Descriptors need no counting. The kernel gives the lowest number that is free (open(2)), so that a connection's number says how many
// are open at least. Memory is read ten times a second, where a bound is known at all.
package room

import (
	"context"
	"runtime/metrics"
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
	full    = 0.90 // no new call either
)

const every = 100 * time.Millisecond

// Room is what is left. nil is one without bounds. It is safe for concurrent use.
type Room struct {
	o     Options
	level atomic.Int32
}

// Levels of memory.
const (
	enough int32 = iota
	scarce       // no new connection
	none         // no new call
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
func (r *Room) Refuses(c sys.Conn) string {
	switch {
	case r == nil:
	case r.level.Load() != enough:
		return Memory
	case r.o.Files > 0:
		if n, err := sys.Number(c); err == nil && float64(n) >= files*float64(r.o.Files) {
			return Descriptors
		}
	}
	return ""
}

// Full says that there is no memory for a new call.
func (r *Room) Full() bool { return r != nil && r.level.Load() == none }

// Watch reads memory now and then until ctx ends. Without a bound it returns at once.
func (r *Room) Watch(ctx context.Context) {
	if r == nil || r.o.Memory == 0 {
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		r.look()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (r *Room) look() {
	level := enough
	switch part := float64(r.o.Held()) / float64(r.o.Memory); {
	case part >= full:
		level = none
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
