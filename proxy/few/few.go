// Package few bounds the connections of a listener that answers anybody, and keeps nobody out by that: for one that is too many, the
// oldest is closed, of the same address if that has its share. So who opens thousands closes his own, and a kubelet's question, which is
// new and short, is answered.
package few

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Connections that are open at once, in all and from one address.
const (
	All = 256
	One = 16
)

// Listen returns l with its connections bounded.
func Listen(l net.Listener) net.Listener { return &listener{Listener: l} }

type listener struct {
	net.Listener

	mu   sync.Mutex
	open []*conn // the oldest first
}

type conn struct {
	net.Conn
	of   *listener
	from netip.Addr
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, of: l}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.from = a.AddrPort().Addr().Unmap()
	}
	if old := l.add(c); old != nil {
		old.Close()
	}
	return c, nil
}

// add takes c in, and returns the one that has to go for it; nil: none.
func (l *listener) add(c *conn) (old *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := 0
	for _, x := range l.open {
		if x.from == c.from {
			same++
		}
	}
	l.open = append(l.open, c)
	switch i := slices.IndexFunc(l.open, func(x *conn) bool { return x.from == c.from }); {
	case same >= One:
		return l.open[i]
	case len(l.open) > All:
		return l.open[0]
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	l := c.of
	l.mu.Lock()
	if i := slices.Index(l.open, c); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.mu.Unlock()
	return c.Conn.Close()
}
