package sniff

import (
	"errors"
	"io"
	"sync"

	"github.com/weft-mesh/weft/traffic"
)

// Gate holds the first bytes of a caller back until it is clear what they are, unless the callee has spoken before.
type Gate struct {
	mu sync.Mutex
	is Outcome
}

// Outcome is what a gate knows.
type Outcome struct {
	Open   bool          // it is clear: TCP
	Callee bool          // because the callee spoke first
	Undone bool          // it is HTTP: the try has to be undone
	Read   []byte        // what was held back
	Proto  traffic.Proto // of Undone
}

// Outcome returns what is known by now.
func (g *Gate) Outcome() Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.is
}

// ErrUndone ends what Pass gives of a caller that speaks HTTP.
var ErrUndone = errors.New("the caller speaks HTTP: a try is undone")

// CalleeSpoke opens the gate, unless the try is undone; it says whether the bytes may pass.
func (g *Gate) CalleeSpoke() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.is.Undone {
		return false
	}
	if !g.is.Open {
		g.is.Open, g.is.Callee = true, len(g.is.Read) == 0
	}
	return true
}

// Passed says whether it is open, and will hold nothing back any more.
func (g *Gate) Passed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.is.Open && len(g.is.Read) == 0
}

// Pass takes what the caller sent and says what may go on.
func (g *Gate) Pass(b []byte, end error) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.is.Open && len(g.is.Read) == 0 {
		return b, end
	}
	g.is.Read = append(g.is.Read, b...)
	if !g.is.Open {
		proto, ok := Proto(g.is.Read)
		switch {
		case ok && proto != traffic.TCP:
			g.is.Undone, g.is.Proto = true, proto
			return nil, ErrUndone
		case !ok && end == nil:
			return nil, nil // not yet
		}
		g.is.Open = true
	}
	b, g.is.Read = g.is.Read, nil
	if end == io.EOF && len(b) > 0 {
		end = nil // the end comes again
	}
	return b, end
}
