package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotRedirected says that a connection was made to the listener itself: no redirection brought it, so there is no
// other place where it wanted to go.
var ErrNotRedirected = errors.New("connection was not redirected: it was made to the listener's own address")

// originalDst is SO_ORIGINAL_DST (linux/netfilter_ipv4.h) and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv6/ip6_tables.h).
const originalDst = 80

// OriginalDst returns the address that the peer of an accepted connection dialled before REDIRECT brought it here.
// The connection tracking of the network namespace that the socket was made in answers. A connection to the listener's
// own address is ErrNotRedirected: who serves it would call himself.
func OriginalDst(c Conn) (to netip.AddrPort, err error) {
	err = control(c, func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return fmt.Errorf("own address of a redirected connection: %w", err)
		}
		own, err := addrPort(sa)
		if err != nil {
			return err
		}
		to, err = original(fd, own)
		return err
	})
	return to, err
}

func original(fd int, own netip.AddrPort) (to netip.AddrPort, err error) {
	if own.Addr().Is4() {
		to, err = original4(fd)
	} else {
		to, err = original6(fd)
	}
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && to == own:
		return netip.AddrPort{}, ErrNotRedirected
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("original destination: %w (is connection tracking loaded?)", err)
	}
	return to, nil
}

// original4 borrows a getsockopt of the right size: sockaddr_in is the first 16 bytes of what it reads.
func original4(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, originalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := m.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
}

// original6 does the same with a struct that begins with a sockaddr_in6.
func original6(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, originalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port := (*[2]byte)(unsafe.Pointer(&m.Addr.Port))[:]
	return netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr).Unmap(), binary.BigEndian.Uint16(port)), nil
}
