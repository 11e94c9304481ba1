package sys

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Family is an address family that sockets come in.
type Family byte

// The two families of the internet.
const (
	IPv4 Family = unix.AF_INET
	IPv6 Family = unix.AF_INET6
)

// FamilyOf returns the family of an address; an IPv4 address in IPv6 clothes is IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// StreamSocket makes a TCP socket that is not connected, in the network namespace of the calling thread, where it stays
// whoever uses it: it does not block and is closed on exec. The caller closes it.
func StreamSocket(f Family) (fd int, err error) {
	if f != IPv4 && f != IPv6 {
		return -1, fmt.Errorf("socket of family %d: %w", f, unix.EAFNOSUPPORT)
	}
	fd, err = unix.Socket(int(f), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// CloseFD closes a bare descriptor.
func CloseFD(fd int) { unix.Close(fd) }

// DialWith is DialTCP on a socket that take returns, as StreamSocket made it, maybe in another network namespace. It
// belongs to DialWith from then on.
//
// The dialer of the net package makes a socket of its own and shows it before it connects: the other one is put in its
// place, under its number. So deadlines, cancelling and the net package's care for simultaneous connects all work.
func DialWith(ctx context.Context, to netip.AddrPort, o DialOptions, take func(context.Context) (fd int, err error)) (*net.TCPConn, error) {
	return o.dial(ctx, to, func(fd int) error {
		taken, err := take(ctx)
		if err != nil {
			return err
		}
		defer unix.Close(taken)
		if err := unix.Dup3(taken, fd, unix.O_CLOEXEC); err != nil {
			return os.NewSyscallError("dup3", err)
		}
		return o.apply(fd)
	})
}
