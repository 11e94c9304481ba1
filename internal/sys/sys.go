// Package sys is weft's one door to the operating system: sockets with the options that a mesh wants, original
// destinations, peers of Unix sockets, descriptors passed between processes, and the calls that shut a program in.
// Nothing else imports golang.org/x/sys/unix.
//
// It describes no policy: each function does one thing and says which. Errors wrap the kernel's errno, so that
// errors.Is(err, syscall.EPERM) and the like work.
//
// weft runs on Linux only, and so does this package: there are no files for other systems.
package sys

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is what has a descriptor: a *net.TCPConn, a *net.UnixConn, an *os.File.
type Conn interface {
	SyscallConn() (syscall.RawConn, error)
}

// control runs f on c's descriptor, which stays open meanwhile.
func control(c Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// option adapts f to net.Dialer.Control and net.ListenConfig.Control.
func option(f func(fd int) error) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var inner error
		if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
			return err
		}
		return inner
	}
}

// addrPort reads a kernel address. An IPv4 address in IPv6 clothes comes back as IPv4.
func addrPort(sa unix.Sockaddr) (netip.AddrPort, error) {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%w: %T is no internet address", errors.ErrUnsupported, sa)
}
