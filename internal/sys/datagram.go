package sys

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenUDP opens a port of UDP at an address; none: at all of both families.
func ListenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	host, over := "", "udp"
	if a := addr.Addr(); a.IsValid() {
		host, over = a.String(), network("udp", a)
	}
	c, err := ListenConfig().ListenPacket(context.Background(), over, net.JoinHostPort(host, strconv.Itoa(int(addr.Port()))))
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// Datagrams is a socket of UDP that speaks with one address alone. It hears of what the other side's host says of datagrams that nobody
// takes there: Receive or Send fails with ECONNREFUSED.
type Datagrams struct {
	*net.UDPConn
	raw syscall.RawConn
}

// DialUDP opens one. Nothing is sent.
func DialUDP(to netip.AddrPort) (*Datagrams, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	c, err := net.DialUDP(network("udp", to.Addr()), nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	return &Datagrams{c, raw}, nil
}

// Receive waits for a datagram, and reads it into what room returns, which is asked when there is one; it may be asked several times. What
// does not fit is lost. A read deadline bounds the wait.
func (d *Datagrams) Receive(room func() []byte) (n int, err error) {
	var failed error
	err = d.raw.Read(func(fd uintptr) bool {
		if !readable(int(fd)) {
			return false
		}
		n, failed = unix.Read(int(fd), room())
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err == nil && failed != nil {
		n, err = 0, &net.OpError{Op: "read", Net: "udp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: os.NewSyscallError("read", failed)}
	}
	return max(n, 0), err
}

// readable says whether there is a datagram, or an error, to be read at once.
func readable(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err != nil || n > 0
}

// Send sends a datagram, or drops it if the socket has no room for it: it never waits.
func (d *Datagrams) Send(b []byte) error {
	var failed error
	err := d.raw.Write(func(fd uintptr) bool {
		_, failed = unix.Write(int(fd), b)
		return true
	})
	if err == nil && failed != nil && failed != unix.EAGAIN {
		err = &net.OpError{Op: "write", Net: "udp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: os.NewSyscallError("write", failed)}
	}
	return err
}
