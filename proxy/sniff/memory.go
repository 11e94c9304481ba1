package sniff

import (
	"sync"
	"sync/atomic"
)

// Memory remembers what ports speak: whether the callee speaks first.
type Memory struct {
	ports sync.Map // name -> Speaker
	n     atomic.Int64
}

// Speaker is who speaks first.
type Speaker uint8

// The speakers; of Nobody nothing is known yet.
const (
	Nobody Speaker = iota
	Caller
	Callee
)

const maxMemory = 4096

// Of returns who speaks first on a port.
func (m *Memory) Of(name string) Speaker {
	if v, ok := m.ports.Load(name); ok {
		return v.(Speaker)
	}
	return Nobody
}

// Note remembers it, of a bounded number of ports.
func (m *Memory) Note(name string, s Speaker) {
	if m.Of(name) == s {
		return
	}
	if _, old := m.ports.Swap(name, s); !old && m.n.Add(1) > maxMemory {
		m.ports.Clear()
		m.n.Store(0)
	}
}
