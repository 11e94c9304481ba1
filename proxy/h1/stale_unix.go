//go:build unix

package h1

import (
	"net"
	"syscall"
)

// stale says whether the peer has closed an idle connection, or has sent what nobody asked for. It looks without waiting and
// takes nothing out.
func stale(nc net.Conn) bool {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn() // of TLS: what comes in idle times is its end
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	old := true
	err = raw.Control(func(fd uintptr) { // not Read: that heeds a read deadline, and one may have passed meanwhile
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		old = err != syscall.EAGAIN && err != syscall.EINTR
	})
	return old || err != nil
}
