package h1

import (
	"encoding/binary"
	"net"
	"syscall"
)

// probe looks at a connection without waiting, and takes nothing out.
type probe struct {
	raw    syscall.RawConn
	peek   func(fd uintptr)
	saw    sight
	sealed bool // by TLS
	b      [1]byte
}

// look costs a system call (0.3 µs).
func (p *probe) look(nc net.Conn) sight {
	if p.peek == nil && !p.attach(nc) {
		return sawNothing
	}
	p.saw = sawEnd
	if err := p.raw.Control(p.peek); err != nil { // not Read: that heeds a read deadline, and one may have passed meanwhile
		return sawEnd
	}
	return p.saw
}

func (p *probe) attach(nc net.Conn) bool {
	at := below(nc)
	p.sealed = at != nc
	sc, ok := at.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	p.raw = raw
	p.peek = func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), p.b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
			p.saw = sawNothing
		case err == nil && n > 0 && !(p.sealed && finished(fd)): // else what waits is close_notify, or nothing that makes a whole
			p.saw = sawBytes
		}
	}
	return true
}

// closeWait is Linux's TCP_CLOSE_WAIT: the peer sends no more.
const closeWait = 8

// finished says whether that is so, though there is something to be read.
func finished(fd uintptr) bool {
	var info [4]byte // tcpi_state is the first one of TCP_INFO
	v, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	binary.NativeEndian.PutUint32(info[:], uint32(v))
	return err == nil && info[0] == closeWait
}

// below is the connection under TLS, and under whatever else there is.
func below(nc net.Conn) net.Conn {
	for {
		on, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = on.NetConn()
	}
}
