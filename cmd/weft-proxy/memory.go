package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/weft-mesh/weft/proxy/room"
)

// A crowd of callers leaves stacks and buffers behind that the runtime keeps for the next one: 5,000 connections that idle held 106 MB
// after their first request, of which 7 were theirs. trimmer gives the rest back to the system once the crowd is gone.
type trimmer struct {
	kept   uint64 // bytes that were held after the last time
	before reading
}

// reading is what the runtime says of itself.
type reading struct {
	held      uint64 // bytes that are the system's to count: mapped and not given back
	allocated uint64 // bytes of objects, ever
}

const (
	trimEvery = time.Second
	slack     = 4 << 20 // more than what was kept, and half as much again, is worth a look
	calm      = 1 << 20 // bytes allocated in a second: what is held is hardly in use
)

// due says whether it is time, and takes the reading as the one before the next.
func (t *trimmer) due(now reading) bool {
	grown := now.held > t.kept+t.kept/2+slack
	quiet := now.allocated-t.before.allocated < calm
	t.before = now
	return grown && quiet
}

// done notes what is held now. It may be in use: then it has to grow again before it is looked at again.
func (t *trimmer) done(now reading) { t.kept, t.before = now.held, now }

// bounded finds what the process may have, and has the collector keep it below that.
func bounded() *room.Room {
	o := room.Given()
	if o.Memory > 0 {
		debug.SetMemoryLimit(o.Collect())
	}
	return room.New(o)
}

// trim keeps the memory of the process near what it needs, until ctx ends.
func trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var t trimmer
	read := reader()
	t.done(read())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if t.due(read()) {
			runtime.GC() // pools let go of what was not used since the last collection but one
			debug.FreeOSMemory()
			t.done(read())
		}
	}
}

// reader reads without allocating.
func reader() func() reading {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	return func() reading {
		metrics.Read(s)
		return reading{held: s[0].Value.Uint64() - s[1].Value.Uint64(), allocated: s[2].Value.Uint64()}
	}
}
