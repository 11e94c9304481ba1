// Package shun turns addresses away whose connections were closed for what they did.
//
// A connection that goes beyond a bound of its protocol is closed (proxy/h2), but whoever it was may connect again at once, and has the
// same to spend once more: what one client can cost has no bound. So its address is not let in for a while, that doubles with each
// further breach. Nobody else is concerned, and connections that the address has open go on. Package shun knows no clock and no
// socket; it never fails.
//
// An address may be that of many: clients behind one NAT share what one of them does. So the first while is short, it takes a breach
// of a protocol and never mere load to begin it, and proxies in front of a listener are exempt by configuration (config.Workload.Trusted).
package shun

import (
	"net/netip"
	"sync"
	"time"
)

const (
	first   = time.Second      // that an address is turned away, the first time
	longest = time.Minute      // however often it comes back
	forgive = 10 * time.Minute // without a breach, after which the first time comes again
	most    = 4096             // addresses remembered: some 400 KiB
)

// List is the addresses that are turned away. Its zero value is empty. All methods may be called at the same time.
type List struct {
	mu sync.Mutex
	by map[netip.Addr]mark
}

// mark is what is remembered of an address.
type mark struct{ since, until time.Time }

// Breach notes that a connection was closed for what it did, which began at a time. What began before its address was turned away is of
// the same try: it does not prolong it.
func (l *List) Breach(from netip.Addr, began, now time.Time) {
	from = place(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	m, known := l.by[from]
	if known && began.Before(m.since) {
		return
	}
	wait := first
	if known && now.Before(m.until.Add(forgive)) {
		wait = min(2*m.until.Sub(m.since), longest)
	}
	if !known {
		l.room(now)
	}
	if l.by == nil {
		l.by = map[netip.Addr]mark{}
	}
	l.by[from] = mark{now, now.Add(wait)}
}

// Turns says whether a connection from the address is to be turned away.
func (l *List) Turns(from netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, known := l.by[place(from)]
	return known && now.Before(m.until)
}

// room forgets what is forgiven, when the list is full, and else whoever has the least time left. Called with the lock.
func (l *List) room(now time.Time) {
	if len(l.by) < most {
		return
	}
	var next netip.Addr
	for a, m := range l.by {
		if !now.Before(m.until.Add(forgive)) {
			delete(l.by, a)
		} else if !next.IsValid() || m.until.Before(l.by[next].until) {
			next = a
		}
	}
	if len(l.by) >= most {
		delete(l.by, next)
	}
}

// place is what counts as one address: of IPv6, what one host is given to choose from.
func place(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // an address of 128 bits has one
	return p.Addr()
}
