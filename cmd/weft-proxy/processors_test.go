package main

import (
	"testing"
	"time"
)

// TestGovernor: more processors as soon as those in use are busy, fewer only when that has lasted.
func TestGovernor(t *testing.T) {
	g := governor{most: 6, now: 1}
	for i, x := range []struct {
		busy  float64 // processors
		steps int     // of a second
		want  int
	}{
		{0, 100, 1},
		{0.6, 100, 1},
		{0.7, 1, 2},
		{0.9, 100, 2}, // it would not fit on one with room to spare
		{0.4, 4, 2},
		{0.6, 1, 2}, // the calm is over
		{0.4, 4, 2},
		{0.4, 1, 1},
		{1, 1, 2},
		{2, 1, 4},
		{4, 1, 6}, // as many as there may be
		{6, 10, 6},
		{1.4, 5, 3},
		{0.4, 5, 1},
		{0, 5, 1},
	} {
		got := 0
		for range x.steps {
			got = g.next(time.Duration(x.busy*float64(time.Second)), time.Second)
		}
		if got != x.want {
			t.Errorf("step %d, %v busy: %d processors, want %d", i, x.busy, got, x.want)
		}
	}
}
