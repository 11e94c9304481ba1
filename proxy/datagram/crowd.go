package datagram

import (
	"net/netip"
	"time"
)

// crowd counts the sessions of each network whose sender is there for certain: it has sent since it was answered. Who can be reached at many
// addresses of a network is one, so that of IPv6 it is a /64.
type crowd map[netip.Addr]int

func network(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a
	}
	n, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return n.Addr()
}

// count adds n to the sessions of a network.
func (c crowd) count(a netip.Addr, n int) {
	if c[a] += n; c[a] <= 0 {
		delete(c, a)
	}
}

// greedy is the network that has most, if that is more than its share of the sessions that there may be, as if a had one too.
func (c crowd) greedy(a netip.Addr, most int) (from netip.Addr, ok bool) {
	shares, has := len(c), 0
	if c[a] == 0 {
		shares++
	}
	for x, n := range c {
		if n > has {
			from, has = x, n
		}
	}
	return from, has > max(1, most/shares)
}

// idlest is the session that gives way to a sender who finds no place and no forgery: of the network that has more than its share the one by
// which nothing has passed for longest; nil: there is none. It needs the lock.
func (p *Port) idlest(to netip.Addr, now time.Time) (s *Session) {
	if now.Sub(p.looked) < p.o.Look {
		return nil
	}
	p.looked = now
	from, ok := p.sure.greedy(to, p.o.Most)
	if !ok {
		return nil
	}
	for _, x := range p.open {
		if x.sure && x.network == from && now.Sub(x.began) >= p.o.Moment && (s == nil || x.last.Load() < s.last.Load()) {
			s = x
		}
	}
	return s
}
