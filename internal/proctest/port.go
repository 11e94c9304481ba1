package proctest

import (
	"fmt"
	"net/netip"
	"syscall"
)

// FreePort is an address of loopback that nobody listens on, and that the kernel gives to nobody else before this process ends, neither to
// who listens on any port nor to who dials: a socket has it that does not listen. Whoever is told of it can listen there, if it does so with
// SO_REUSEADDR, as Go's listeners do.
func FreePort() (string, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("a socket to keep a port: %w", err)
	}
	at, err := bound(fd)
	if err != nil {
		_ = syscall.Close(fd)
		return "", fmt.Errorf("keep a port: %w", err)
	}
	return at.String(), nil
}

// bound gives a socket any port of loopback.
func bound(fd int) (at netip.AddrPort, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return at, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return at, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return at, err
	}
	is := name.(*syscall.SockaddrInet4) // as it was bound
	return netip.AddrPortFrom(netip.AddrFrom4(is.Addr), uint16(is.Port)), nil
}
