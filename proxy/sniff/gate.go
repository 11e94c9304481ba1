package sniff

import (
	"errors"
	"io"
	"sync"

	"github.com/weft-mesh/weft/traffic"
)

// Gate holds the first bytes of a caller back until it is clear what they are, unless the callee has spoken before.
type Gate struct {
	mu     sync.Mutex
	Open   bool          // it is clear: TCP
	Callee bool          // because the callee spoke first
	Undone bool          // it is HTTP: the try has to be undone
	Read   []byte        // what was held back
	Proto  traffic.Proto // of Undone
}

// ErrUndone ends what Pass gives of a caller that speaks HTTP.
var ErrUndone = errors.New("the caller speaks HTTP: a try is undone")

// CalleeSpoke opens the gate, unless the try is undone; it says whether the bytes may pass.
func (g *Gate) CalleeSpoke() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Undone {
		return false
	}
	if !g.Open {
		g.Open, g.Callee = true, len(g.Read) == 0
	}
	return true
}

// Passed says whether it is open, and will hold nothing back any more.
func (g *Gate) Passed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Open && len(g.Read) == 0
}

// Pass takes what the caller sent and says what may go on.
func (g *Gate) Pass(b []byte, end error) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Open && len(g.Read) == 0 {
		return b, end
	}
	g.Read = append(g.Read, b...)
	if !g.Open {
		proto, ok := Proto(g.Read)
		switch {
		case ok && proto != traffic.TCP:
			g.Undone, g.Proto = true, proto
			return nil, ErrUndone
		case !ok && end == nil:
			return nil, nil // not yet
		}
		g.Open = true
	}
	b, g.Read = g.Read, nil
	if end == io.EOF && len(b) > 0 {
		end = nil // the end comes again
	}
	return b, end
}
