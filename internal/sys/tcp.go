package sys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive finds a dead peer of a quiet connection after a minute: 30 s + 3 x 10 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// ListenConfig returns the configuration of every listener of weft: keep-alive as above, and plain TCP. Go's default is
// Multipath TCP, whose sockets a sockmap refuses and which costs a fallback for each connection.
func ListenConfig() *net.ListenConfig {
	lc := &net.ListenConfig{KeepAliveConfig: keepAlive}
	lc.SetMultipathTCP(false)
	return lc
}

// ListenTCP listens on addr and nothing else: an IPv6 address takes no IPv4. Port 0 lets the kernel choose one.
func ListenTCP(addr netip.AddrPort) (*net.TCPListener, error) {
	l, err := ListenConfig().Listen(context.Background(), network("tcp", addr.Addr()), addr.String())
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("%w (another process has this port; `ss -ltnp` names it)", err)
	case errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("%w (ports under net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE)", err)
	case err != nil:
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// DialOptions change DialTCP. The zero value changes nothing.
type DialOptions struct {
	From netip.Addr // source address; zero: the kernel's choice
}

// DialTCP connects to an address, with keep-alive and TCP as ListenConfig has them.
func DialTCP(ctx context.Context, to netip.AddrPort, o DialOptions) (*net.TCPConn, error) {
	return o.dial(ctx, to, o.apply)
}

// dial connects with what prepare makes of the socket.
func (o DialOptions) dial(ctx context.Context, to netip.AddrPort, prepare func(fd int) error) (*net.TCPConn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	d := net.Dialer{KeepAliveConfig: keepAlive, FallbackDelay: -1, Control: option(prepare)} // it is given addresses: no families race
	d.SetMultipathTCP(false)
	if o.From.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.From, 0))
	}
	c, err := d.DialContext(ctx, network("tcp", to.Addr()), to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func (o DialOptions) apply(fd int) error {
	if o.From.IsValid() {
		return bindNoPort(fd)
	}
	return nil
}

// bindNoPort lets the kernel choose the source port when it knows the destination: a port taken at bind serves one
// destination only, so 28,000 connections would use all of them up.
func bindNoPort(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("source port at connect: %w", err)
	}
	return nil
}

// network narrows a protocol to the family of an address.
func network(proto string, a netip.Addr) string {
	if a.Unmap().Is4() {
		return proto + "4"
	}
	return proto + "6"
}
