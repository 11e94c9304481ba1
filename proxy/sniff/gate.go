package sniff

import (
	"errors"
	"io"
	"sync"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// Gate holds the first bytes of a caller back until it is clear what they are, unless the callee has spoken before.
type Gate struct {
	mu   sync.Mutex
	cond *sync.Cond // of who waits in CalleeSpoke; nil: nobody ever did
	over bool       // nobody is to wait there
	is   Outcome
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

// CalleeSpoke opens the gate, unless the try is undone; it says whether what the callee has said may pass. A server of HTTP/2 says its
// settings at once, so that speaking first does not tell it from others: then CalleeSpoke waits for what the caller says, or for Leave.
func (g *Gate) CalleeSpoke(b []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	server := !g.is.Open && settings(b)
	for server && !g.is.Open && !g.is.Undone && !g.over {
		if g.cond == nil {
			g.cond = sync.NewCond(&g.mu)
		}
		g.cond.Wait()
	}
	if g.is.Undone {
		return false
	}
	if !g.is.Open {
		g.is.Open, g.is.Callee = true, len(g.is.Read) == 0 && !server
	}
	return true
}

// settings says whether a server begins with SETTINGS, as RFC 9113 section 3.4 has it.
func settings(b []byte) bool {
	h, ok := http2.ParseFrameHeader(b)
	return ok && h.Type == http2.TypeSettings && h.Flags == 0 && h.Stream == 0 && h.Length%6 == 0 && h.Length <= http2.DefaultFrameSize
}

// Leave has CalleeSpoke wait no more, or wait again.
func (g *Gate) Leave(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = on
	g.wake()
}

// wake is called with the lock.
func (g *Gate) wake() {
	if g.cond != nil {
		g.cond.Broadcast()
	}
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
			g.wake()
			return nil, ErrUndone
		case !ok && end == nil:
			return nil, nil // not yet
		}
		g.is.Open = true
		g.wake()
	}
	b, g.is.Read = g.is.Read, nil
	if end == io.EOF && len(b) > 0 {
		end = nil // the end comes again
	}
	return b, end
}
