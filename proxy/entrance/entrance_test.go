package entrance

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weft-mesh/weft/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestShut: it waits for connections and calls, lets calls in until both have left, and nothing after that.
func TestShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		if !g.Connect() || !g.Enter() {
			t.Fatal("an open gate refuses")
		}
		var turned, done atomic.Bool
		go func() {
			if err := g.Shut(t.Context(), func() { turned.Store(true) }); err != nil {
				t.Error(err)
			}
			done.Store(true)
		}()
		step := func(what string, want bool) {
			t.Helper()
			if synctest.Wait(); done.Load() != want {
				t.Errorf("%s: shut %t", what, !want)
			}
		}
		step("at first", false)
		if !turned.Load() || !g.Shutting() || g.Connect() {
			t.Error("a gate that shuts lets a connection in")
		}
		if !g.Enter() {
			t.Error("a call by a connection that is there is refused")
		}
		g.Leave() // the connection
		step("without connections", false)
		g.Leave()
		step("with one call", false)
		g.Leave()
		step("with none", true)
		if g.Connect() || g.Enter() {
			t.Error("something enters when it is shut")
		}
		if err := g.Shut(t.Context(), func() {}); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}

// TestLimit: what has not left in time stays, and nothing enters any more.
func TestLimit(t *testing.T) {
	var g Gate
	g.Enter()
	ctx, cancel := context.WithCancel(t.Context())
	if err := g.Shut(ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if g.Enter() || g.Connect() {
		t.Error("something enters when it is shut")
	}
	again := make(chan error)
	go func() { again <- g.Shut(t.Context(), func() {}) }()
	g.Leave()
	if err := <-again; err != nil {
		t.Error(err)
	}
}

// TestNothingIsInside: whatever entered has left when Shut returns.
func TestNothingIsInside(t *testing.T) {
	for range 200 {
		var g Gate
		var inside atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for n := 0; n < 100 && g.Enter(); n++ {
					inside.Add(1)
					inside.Add(-1)
					g.Leave()
				}
			})
		}
		if err := g.Shut(t.Context(), func() {}); err != nil {
			t.Error(err)
		}
		all.Wait()
		if n := inside.Load(); n != 0 || g.state.Load() != shutting|shut {
			t.Fatalf("%d inside, state %x", n, g.state.Load())
		}
	}
}
