//go:build unix

package h1

import (
	"net"
	"syscall"
)

// probe looks at an idle connection without waiting, and takes nothing out.
type probe struct {
	raw  syscall.RawConn
	look func(fd uintptr)
	old  bool
	b    [1]byte
}

// stale says whether the peer has closed an idle connection, or has sent what nobody asked for. On a connection with TLS what
// comes in idle times is its end. It costs a system call (0.3 µs), and spares requests that must not be repeated.
func (p *probe) stale(nc net.Conn) bool {
	if p.look == nil && !p.attach(nc) {
		return false
	}
	p.old = true
	err := p.raw.Control(p.look) // not Read: that heeds a read deadline, and one may have passed meanwhile
	return p.old || err != nil
}

func (p *probe) attach(nc net.Conn) bool {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	p.raw = raw
	p.look = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), p.b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.old = err != syscall.EAGAIN && err != syscall.EINTR
	}
	return true
}
