package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestTrimWhenTheCrowdIsGone(t *testing.T) {
	const mb = 1 << 20
	var tr trimmer
	tr.done(reading{held: 10 * mb})
	for i, x := range []struct {
		held, allocated uint64 // in MB; the latter since the beginning
		want            bool
	}{
		{12, 0, false},     // it has hardly grown
		{100, 80, false},   // it is growing
		{110, 90, false},   // it is in use
		{110, 90, true},    // it is quiet
		{110, 91, false},   // allocated a megabyte: again in use
		{110, 91, true},    // nobody has done it yet
		{19, 200, false},   // it fell by itself, and works
		{19, 200, false},   // half as much again, and the slack
		{20, 200, true},    //
		{200, 1000, false}, // grows again
	} {
		if got := tr.due(reading{held: x.held * mb, allocated: x.allocated * mb}); got != x.want {
			t.Errorf("reading %d: due %v", i, got)
		}
	}
	tr.done(reading{held: 60 * mb, allocated: 1000 * mb}) // it is needed
	for range 100 {
		if tr.due(reading{held: 62 * mb, allocated: 1000 * mb}) {
			t.Fatal("again and again for memory that is in use")
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	read := reader()
	if n := testing.AllocsPerRun(100, func() { read() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	debug.FreeOSMemory() // else what other tests have left may be taken again
	before := read()
	b := make([]byte, 32<<20)
	for i := range b {
		b[i] = 1
	}
	if now := read(); now.held < before.held+16<<20 || now.allocated < before.allocated+32<<20 {
		t.Errorf("32 MB more: %+v, then %+v", before, now)
	}
	runtime.KeepAlive(b)
}
