package gateway

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// Ports opens and closes listeners, of TCP or of UDP, as the configuration says. Its fields are set before the first call.
type Ports[L io.Closer] struct {
	Listen func(port uint16) (L, error)
	Accept func(port uint16, l L) // begins to serve what comes to l, until it is closed
	Failed func(error)

	mu     sync.Mutex
	begun  bool
	wanted map[uint16]bool
	open   map[uint16]L
}

// Set says which ports are to be open. Connections that were accepted go on.
func (p *Ports[L]) Set(ports []uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = map[uint16]bool{}
	for _, port := range ports {
		p.wanted[port] = true
	}
	p.adjust()
}

// Begin opens what was set: before, nobody could serve it.
func (p *Ports[L]) Begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	p.adjust()
}

// Retry opens what could not be opened.
func (p *Ports[L]) Retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) < len(p.wanted) {
		p.adjust()
	}
}

// adjust needs the lock.
func (p *Ports[L]) adjust() {
	if !p.begun {
		return
	}
	if p.open == nil {
		p.open = map[uint16]L{}
	}
	for port, l := range p.open {
		if !p.wanted[port] {
			l.Close()
			delete(p.open, port)
		}
	}
	for _, port := range slices.Sorted(maps.Keys(p.wanted)) {
		if _, ok := p.open[port]; ok {
			continue
		}
		l, err := p.Listen(port)
		if err != nil {
			p.Failed(fmt.Errorf("listen on port %d of the gateway (below 1024 a pod needs the sysctl net.ipv4.ip_unprivileged_port_start=0): %w", port, err))
			continue
		}
		p.open[port] = l
		p.Accept(port, l)
	}
}

// Missing says which ports could not be opened, or nil.
func (p *Ports[L]) Missing() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for port := range p.wanted {
		if _, ok := p.open[port]; !ok {
			errs = append(errs, fmt.Errorf("port %d is not open", port))
		}
	}
	return errors.Join(errs...)
}
