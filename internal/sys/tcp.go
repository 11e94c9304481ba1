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

// Dialer returns the configuration of every call of weft, to be changed at will: as ListenConfig, and no racing of address
// families, because weft dials addresses and not names.
func Dialer() *net.Dialer {
	d := &net.Dialer{KeepAliveConfig: keepAlive, FallbackDelay: -1}
	d.SetMultipathTCP(false)
	return d
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
	From        netip.Addr    // source address; zero: the kernel's choice
	Timeout     time.Duration // for the connection to stand; zero: the context's
	UserTimeout time.Duration // see UserTimeout; zero: the kernel's (minutes)
}

// DialTCP connects to an address.
func DialTCP(ctx context.Context, to netip.AddrPort, o DialOptions) (*net.TCPConn, error) {
	return o.dial(ctx, to, o.apply)
}

// dial connects with what prepare makes of the socket.
func (o DialOptions) dial(ctx context.Context, to netip.AddrPort, prepare func(fd int) error) (*net.TCPConn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	d := Dialer()
	d.Timeout, d.Control = o.Timeout, option(prepare)
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
	if o.UserTimeout > 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout.Milliseconds())); err != nil {
			return fmt.Errorf("TCP user timeout: %w", err)
		}
	}
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

// UserTimeout bounds how long sent bytes may stay unacknowledged before the connection fails (TCP_USER_TIMEOUT, RFC 5482,
// in milliseconds). Zero restores the kernel's default.
func UserTimeout(c Conn, d time.Duration) error {
	return control(c, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// network narrows a protocol to the family of an address.
func network(proto string, a netip.Addr) string {
	if a.Unmap().Is4() {
		return proto + "4"
	}
	return proto + "6"
}
