// Package entrance knows whether anything may still reach an application, so that it is told to end when nothing can: an application
// that ends closes connections by which a request may just have been written to it, and whoever made that request does not know
// whether it was acted on.
//
// A [Gate] counts calls that the application owes an answer, and connections by which further ones may come. [Gate.Shut] lets in no
// further connection, waits until both have gone, and then lets in no further call either: also one that is late by any length of time
// is refused, which its caller may take as a reason to make it again elsewhere. Package entrance knows no clock and no socket.
package entrance

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate stands before an application. Its zero value is open. All methods may be called at the same time.
type Gate struct {
	state atomic.Int64 // how many have entered and not left, and the marks below
	once  sync.Once
	empty chan struct{} // gets one word whenever nobody is left of a gate that shuts
}

const (
	shutting = 1 << 61 // no connection enters
	shut     = 1 << 62 // nothing does
)

func (g *Gate) init() { g.once.Do(func() { g.empty = make(chan struct{}, 1) }) }

// Connect lets a connection in, by which calls will come; false: it is refused. It leaves when it has ended, or brings no more calls.
func (g *Gate) Connect() bool { return g.enter(shutting | shut) }

// Enter lets a call in; false: it is refused. It leaves with its answer.
func (g *Gate) Enter() bool { return g.enter(shut) }

func (g *Gate) enter(unless int64) bool {
	if g.state.Add(1)&unless == 0 {
		return true
	}
	g.Leave()
	return false
}

// Leave says that what entered has left.
func (g *Gate) Leave() {
	if g.state.Add(-1)&^shut == shutting {
		g.init()
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

// Shutting says that no connection is let in any more.
func (g *Gate) Shutting() bool { return g.state.Load()&shutting != 0 }

// Shut shuts the gate. turn is called once no further connection gets in: it has those that are there end. When Shut returns nothing
// enters. The error is that of ctx if it ended before all had left.
func (g *Gate) Shut(ctx context.Context, turn func()) error {
	g.init()
	g.state.Or(shutting)
	turn()
	for {
		if n := g.state.Load(); n&^(shutting|shut) == 0 && g.state.CompareAndSwap(n, shutting|shut) {
			return nil
		}
		select {
		case <-g.empty:
		case <-ctx.Done():
			g.state.Or(shut)
			return ctx.Err()
		}
	}
}
