// Weft-proxy is the proxy of one workload. It is started by weft run, which passes it a configuration and open sockets through
// inherited descriptors; there is nothing to set by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
	"github.com/weft-mesh/weft/node/sandbox"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/observe/accesslog"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/observe/stat"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/stream"
)

// version is set by the linker (-X main.version=...).
var version = "dev"

func main() {
	sandbox.Main() // the same program is the first process of a sandbox
	if len(os.Args) > 1 {
		fmt.Println("weft-proxy " + version + "; it is started by weft run and takes no arguments")
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "weft-proxy:", err)
		os.Exit(1)
	}
}

func run() error {
	_ = sys.Undumpable() // the key is in this process's memory; where it can't be hidden, other users are kept out all the same
	c, err := launch.Read(os.NewFile(launch.FD, "configuration"))
	if err != nil {
		return err
	}
	s, err := newServer(c)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run()
}

// server is a proxy with what it is wired to.
type server struct {
	c        *launch.Config
	log      *slog.Logger
	proxy    *proxy.Proxy
	client   *stream.Client
	plane    plane.Plane
	registry metrics.Registry
	table    stat.Table
	access   *accesslog.Log
	doors    *node.Doors
	drain    chan struct{}
	away     bool // the control plane, as was last told

	warned sync.Mutex
	calm   time.Duration // one second for each warning that may be said now
	last   time.Time     // when it was added to
	silent int           // warnings that were left out since the last
}

func newServer(c *launch.Config) (*server, error) {
	s := &server{c: c, log: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("workload", c.Workload), plane: plane.Plane{Socket: c.Control},
		drain: make(chan struct{}, 1)}
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	refused, gauges := proxy.Count(&s.registry)
	o.Refused = refused
	s.client = &stream.Client{Dial: s.plane.Dial, Status: s.status,
		Hello: func() stream.Hello {
			root := o.Cert.OwnRoot()
			return stream.Hello{Workload: c.Workload, Token: c.Token, Version: version, Root: root[:]}
		}}
	o.Config = s.client
	if s.proxy, err = proxy.New(*o); err != nil {
		return nil, err
	}
	s.client.Apply = s.proxy.Apply
	o.Cert.OnChange(func() {
		if root := o.Cert.OwnRoot(); !root.IsZero() {
			s.client.Rests(root[:])
		}
	})
	gauges(s.proxy)
	return s, s.serveAdmin()
}

// warn logs what went wrong beside calls, at most once a second but for a few: a hostile peer must not fill the log.
func (s *server) warn(err error) {
	s.warned.Lock()
	defer s.warned.Unlock()
	now := time.Now()
	s.calm, s.last = min(s.calm+now.Sub(s.last), 10*time.Second), now
	if s.calm < time.Second {
		s.silent++
		return
	}
	s.calm -= time.Second
	s.log.Warn("proxy", "error", err, "unsaid", s.silent)
	s.silent = 0
}

// status logs that the control plane is away, and back: that it is there from the start is nothing to tell. The client's goroutine
// alone calls it.
func (s *server) status(err error) {
	switch {
	case err != nil:
		s.log.Warn("the control plane is away; what is known goes on", "error", err)
	case s.away:
		s.log.Info("the control plane is back")
	}
	s.away = err != nil
	s.proxy.Away(s.away)
}

func (s *server) options() (*proxy.Options, error) {
	c := s.c
	namespace, _, ok := strings.Cut(c.Workload, "/")
	if !ok {
		return nil, fmt.Errorf("workload %q: want namespace/name", c.Workload)
	}
	o := &proxy.Options{Workload: c.Workload, ID: identity.Of(c.TrustDomain, namespace, c.Account), Addr: c.App, Cert: cert.NewStore(time.Now),
		Cache: c.Cache, Warn: s.warn, Trusted: c.Trusted}
	if err := o.ID.Validate(); err != nil {
		return nil, err
	}
	o.Certify = func(ctx context.Context, csr []byte) ([][]byte, error) {
		return s.plane.Certify(ctx, c.Workload, c.Token, csr)
	}
	if o.Sink = s.sinks(); !c.NoResolve {
		o.Resolvers = resolvers(c)
	}
	return o, errors.Join(s.listeners(o), s.ways(o))
}

func (s *server) sinks() observe.Sinks {
	sinks := observe.Sinks{&s.registry, &s.table}
	if f := accesslog.Format(s.c.Log); f == accesslog.JSON || f == accesslog.Text {
		s.access = accesslog.Start(accesslog.Options{To: os.Stderr, Format: f})
		sinks = append(sinks, s.access)
	}
	return sinks
}

// listeners opens the ways in.
func (s *server) listeners(o *proxy.Options) (err error) {
	if s.c.Inbound > 0 {
		if o.Inbound, err = inherit(s.c.Inbound, "inbound"); err != nil {
			return err
		}
	}
	for _, p := range s.c.Published {
		l, err := inherit(p.FD, "published")
		if err != nil {
			return err
		}
		o.Published = append(o.Published, proxy.Published{Listener: l, Port: p.Port})
	}
	return nil
}

// ways opens the ways out, and the one to the application: through the doors of a sandbox, or by loopback addresses.
func (s *server) ways(o *proxy.Options) error {
	for _, x := range s.c.Listeners {
		l, err := inherit(x.FD, "listener")
		if err != nil {
			return err
		}
		o.Outbound = append(o.Outbound, proxy.Outbound{Listener: l, Original: func(net.Conn) (netip.AddrPort, error) { return x.Original, nil }})
	}
	if s.c.Doors == "" {
		o.DialApp = s.dialLoopback
		return nil
	}
	doors, err := node.Adopt(s.c.Doors)
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

func inherit(fd int, name string) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inherited descriptor %d (%s): %w", fd, name, err)
	}
	return l, nil
}

func (s *server) serveAdmin() error {
	a := &proxy.Admin{Stats: &s.table, Metrics: &s.registry, Since: time.Now(), Drain: func() {
		select {
		case s.drain <- struct{}{}:
		default:
		}
	}}
	if s.c.Admin != "" {
		l, err := listenUnix(s.c.Admin)
		if err != nil {
			return err
		}
		s.proxy.ServeAdmin(l, a, true)
	}
	if s.c.Metrics > 0 {
		l, err := inherit(s.c.Metrics, "metrics")
		if err != nil {
			return err
		}
		s.proxy.ServeAdmin(l, a, false)
	}
	return nil
}

// listenUnix takes the path over from a proxy that was killed.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}

// run serves until a signal, or the end of the sandbox, and drains then.
func (s *server) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan error, 2)
	go func() { ended <- s.client.Run(ctx) }()
	go func() { ended <- s.proxy.Run(ctx) }()
	go s.tellReady(ctx)
	first := false
	select {
	case <-signals:
		first = true
	case <-s.drain:
	case <-s.gone():
	}
	drain, stop := context.WithTimeout(ctx, time.Duration(s.c.Drain)*time.Second)
	defer stop()
	go func() { // a second signal does not wait
		if !first {
			<-signals
		}
		<-signals
		stop()
	}()
	if err := s.proxy.Drain(drain); err != nil {
		s.log.Warn("calls were cut at the end", "error", err)
	}
	cancel()
	<-ended
	<-ended
	return nil
}

// gone is closed when the sandbox has ended: its listeners would be kept by a proxy that lives on.
func (s *server) gone() <-chan struct{} {
	if s.doors == nil {
		return nil
	}
	return s.doors.App.Gone()
}

// tellReady writes a line once calls can be served.
func (s *server) tellReady(ctx context.Context) {
	if s.c.Ready <= 0 {
		return
	}
	f := os.NewFile(uintptr(s.c.Ready), "ready")
	defer f.Close()
	for s.proxy.Ready() != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	_, _ = f.WriteString("ready\n")
}

func (s *server) close() {
	if s.access != nil {
		s.access.Close()
	}
	if s.doors != nil {
		s.doors.Close()
	}
	if s.c.Admin != "" {
		os.Remove(s.c.Admin)
	}
}

// resolvers are the machine's, for names that are not the mesh's: those that it was started with, or those of resolv.conf.
func resolvers(c *launch.Config) []netip.AddrPort {
	if len(c.Resolvers) > 0 {
		return c.Resolvers
	}
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	return nameservers(string(b))
}

// nameservers reads resolv.conf (resolv.conf(5)).
func nameservers(text string) (out []netip.AddrPort) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}
