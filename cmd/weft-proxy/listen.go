package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/proxy/few"
	"github.com/weft-mesh/weft/proxy/upgrade"
)

// descriptors are those that the process was given. They stay open as long as it lives: another process that takes its place gets
// them.
type descriptors struct {
	fds    map[int]int // by the number that the configuration has for each
	passed bool        // fds has all that there are; else numbers are the descriptors themselves
}

// adminListener is its number: the configuration has the path alone.
const adminListener = 0

// file returns a file of the caller's.
func (d *descriptors) file(n int, what string) (*os.File, error) {
	fd, ok := d.fds[n]
	if !ok && d.passed {
		return nil, fmt.Errorf("the process before did not pass on descriptor %d (%s)", n, what)
	}
	if !ok {
		fd = n
		d.keep(n, fd)
	}
	return sys.DuplicateFile(fd, what)
}

func (d *descriptors) keep(n, fd int) {
	if d.fds == nil {
		d.fds = map[int]int{}
	}
	d.fds[n] = fd
}

func (d *descriptors) listener(n int, what string) (net.Listener, error) {
	f, err := d.file(n, what)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d (%s): %w", n, what, err)
	}
	return l, nil
}

// starter reaches whoever started this process.
func (s *server) starter() (*upgrade.Starter, error) {
	if s.c.Starter <= 0 {
		return nil, nil
	}
	return upgrade.Reach(os.NewFile(uintptr(s.c.Starter), "starter"))
}

// listeners opens the ways in.
func (s *server) listeners(o *proxy.Options) (err error) {
	if s.c.Inbound > 0 {
		if o.Inbound, err = s.fds.listener(s.c.Inbound, "inbound"); err != nil {
			return err
		}
	}
	for _, p := range s.c.Published {
		l, err := s.fds.listener(p.FD, "published")
		if err != nil {
			return err
		}
		o.Published = append(o.Published, proxy.Published{Listener: l, Port: p.Port})
	}
	if s.c.Pod == nil {
		return nil
	}
	for _, n := range s.c.Pod.In {
		l, err := s.fds.listener(n, "inbound in the clear")
		if err != nil {
			return err
		}
		o.Published = append(o.Published, proxy.Published{Listener: l, Original: original})
	}
	return nil
}

// ways opens the ways out, and the one to the application: in its pod, through the doors of a sandbox, or by loopback addresses.
func (s *server) ways(o *proxy.Options) error {
	for _, x := range s.c.Listeners {
		l, err := s.fds.listener(x.FD, "listener")
		if err != nil {
			return err
		}
		o.Outbound = append(o.Outbound, proxy.Outbound{Listener: l, Original: func(net.Conn) (netip.AddrPort, error) { return x.Original, nil }})
	}
	if s.c.Pod != nil {
		return s.podWays(o)
	}
	if s.c.Doors == "" {
		o.DialApp = s.dialLoopback
		return nil
	}
	doors, err := node.Adopt(s.c.Doors, func(n int) (*os.File, error) { return s.fds.file(n, "door") })
	if err != nil {
		return err
	}
	s.doors = doors
	for _, l := range doors.Outbound {
		o.Outbound = append(o.Outbound, proxy.Outbound{Listener: l, Original: original})
	}
	for _, c := range doors.DNS {
		o.DNS = append(o.DNS, c)
	}
	for _, l := range doors.DNSStream {
		o.DNSStream = append(o.DNSStream, l)
	}
	o.DialApp = func(ctx context.Context, port uint16, from netip.Addr) (net.Conn, error) {
		c, err := doors.App.DialApp(ctx, port, from)
		if err != nil {
			return nil, err // not a *net.TCPConn that is nil
		}
		return c, nil
	}
	return nil
}

func original(c net.Conn) (netip.AddrPort, error) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("a %T has no original destination", c)
	}
	return sys.OriginalDst(t)
}

// lowPorts is where an application without a sandbox listens instead of on a port that only root may open.
const lowPorts = 10000

// listenPort opens a port of the gateway, of a pod at all its addresses.
func (s *server) listenPort(port uint16) (net.Listener, error) {
	if !s.c.Opens.IsValid() {
		return sys.ListenConfig().Listen(context.Background(), "tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
	}
	l, err := sys.ListenTCP(netip.AddrPortFrom(s.c.Opens, port))
	if errors.Is(err, syscall.EACCES) && port < 1024 {
		l, err = sys.ListenTCP(netip.AddrPortFrom(s.c.Opens, port+lowPorts))
	}
	if err != nil {
		return nil, err // not a *net.TCPListener that is nil
	}
	return l, nil
}

// listenDatagrams does the same for UDP.
func (s *server) listenDatagrams(port uint16) (*net.UDPConn, error) {
	c, err := sys.ListenUDP(netip.AddrPortFrom(s.c.Opens, port))
	if errors.Is(err, syscall.EACCES) && port < 1024 && s.c.Opens.IsValid() {
		c, err = sys.ListenUDP(netip.AddrPortFrom(s.c.Opens, port+lowPorts))
	}
	return c, err
}

// dialLoopback connects to an application that listens on its workload's address.
func (s *server) dialLoopback(ctx context.Context, port uint16, _ netip.Addr) (net.Conn, error) {
	c, err := sys.DialTCP(ctx, netip.AddrPortFrom(s.c.App, port), sys.DialOptions{})
	if errors.Is(err, syscall.ECONNREFUSED) && port < 1024 {
		c, err = sys.DialTCP(ctx, netip.AddrPortFrom(s.c.App, port+lowPorts), sys.DialOptions{})
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// serveAdmin answers questions from now on.
func (s *server) serveAdmin() error {
	a := &proxy.Admin{Stats: &s.table, Metrics: &s.registry, Since: time.Unix(0, s.since.Load()), Upgrade: s.upgrade, Drain: func() {
		select {
		case s.drain <- struct{}{}:
		default:
		}
	}}
	if s.c.Admin != "" {
		l, err := s.adminListener()
		if err != nil {
			return err
		}
		s.proxy.ServeAdmin(l, a, true)
	}
	if s.c.Metrics > 0 {
		l, err := s.fds.listener(s.c.Metrics, "metrics")
		if err != nil {
			return err
		}
		s.proxy.ServeAdmin(few.Listen(l), a, false)
	}
	if s.c.Pod != nil && s.c.Pod.Probing > 0 {
		return s.serveProbes()
	}
	return nil
}

func (s *server) adminListener() (net.Listener, error) {
	if s.fds.passed {
		return s.fds.listener(adminListener, "admin")
	}
	l, err := listenUnix(s.c.Admin)
	if err != nil {
		return nil, err
	}
	fd, err := sys.Duplicate(l)
	if err != nil {
		l.Close()
		return nil, err
	}
	s.fds.keep(adminListener, fd)
	return l, nil
}

// listenUnix takes the path over from a proxy that was killed.
func listenUnix(path string) (*net.UnixListener, error) {
	if err := sys.RemoveSocket(path); err != nil {
		return nil, err
	}
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // another process may have it too
	return l, nil
}
