// Weft-proxy is the proxy of one workload. On a machine it is started by weft run, which passes it a configuration and open sockets
// through inherited descriptors; in a Kubernetes pod by the container that the injector adds, which says the same in its environment.
// There is nothing to set by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
	"github.com/weft-mesh/weft/node/podnet"
	"github.com/weft-mesh/weft/node/sandbox"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/observe/accesslog"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/observe/stat"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/proxy/room"
	"github.com/weft-mesh/weft/stream"
)

// version is set by the linker (-X main.version=...).
var version = "dev"

func main() {
	sandbox.Main() // the same program is the first process of a sandbox
	start := map[string]func() error{"": run, "pod": runPod, "redirect": redirect}[strings.Join(os.Args[1:], " ")]
	if start == nil {
		fmt.Println("weft-proxy " + version + "; it is started by weft run, and in pods as weft-proxy redirect and weft-proxy pod")
		return
	}
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "weft-proxy:", err)
		if errors.Is(err, podnet.ErrMissing) {
			os.Exit(podnet.ExitMissing)
		}
		os.Exit(1)
	}
}

func run() error {
	_ = sys.Undumpable() // the key is in this process's memory; where it can't be hidden, other users are kept out all the same
	c, err := launch.Read(os.NewFile(launch.FD, "configuration"))
	if err != nil {
		return err
	}
	if c.TakeOver > 0 {
		return takeOver(c)
	}
	return serve(c, &descriptors{})
}

// serve is the life of a process that takes nobody's place.
func serve(c *launch.Config, fds *descriptors) error {
	s, err := newServer(c, fds, nil)
	if err != nil {
		return err
	}
	defer s.close()
	s.owner.Store(true)
	if err := s.serveAdmin(); err != nil {
		return err
	}
	if c.Pod != nil {
		fds.release()
	}
	s.run(func() {})
	return nil
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
	room     *room.Room
	drain    chan struct{}
	away     bool // the control plane, as was last told

	fds   *descriptors
	since atomic.Int64 // when the first of the processes that counted began: nanoseconds of Unix time
	owner atomic.Bool  // the workload has this process, and no other one has taken over
	move  handover

	warned sync.Mutex
	calm   time.Duration // one second for each warning that may be said now
	last   time.Time     // when it was added to
	silent int           // warnings that were left out since the last
}

// newServer makes a proxy that serves as soon as it is run. state is of the process whose place this one takes; nil: there is none.
func newServer(c *launch.Config, fds *descriptors, state []byte) (*server, error) {
	s := &server{c: c, log: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("workload", c.Workload), plane: planeOf(c),
		drain: make(chan struct{}, 1), fds: fds, move: handover{done: make(chan time.Duration, 1)}}
	s.since.Store(time.Now().UnixNano())
	s.room = bounded()
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	if s.move.starter, err = s.starter(); err != nil {
		return nil, err
	}
	o.State, o.Room = state, s.room
	gauges := proxy.Count(&s.registry, o)
	s.client = &stream.Client{Dial: s.plane.Dial, Status: s.status,
		Hello: func() (stream.Hello, error) {
			token, err := s.plane.Proof()
			root := o.Cert.OwnRoot()
			return stream.Hello{Workload: c.Workload, Token: token, Version: version, Root: root[:]}, err
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
	return s, nil
}

// planeOf is the control plane that a proxy is told of.
func planeOf(c *launch.Config) plane.Plane {
	return plane.Plane{Socket: c.Control, Token: c.Token, Address: c.Remote.Address, Roots: c.Remote.Roots, TokenFile: c.Remote.Token}
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
		Cache: c.Cache, Warn: s.warn, Gateway: c.Gateway, Listen: s.listenPort, ListenUDP: s.listenDatagrams}
	if err := o.ID.Validate(); err != nil {
		return nil, err
	}
	o.Certify = func(ctx context.Context, csr []byte) ([][]byte, error) {
		return s.plane.Certify(ctx, c.Workload, csr)
	}
	if o.Sink = s.sinks(); !c.NoResolve {
		o.Resolvers = resolvers(c)
	}
	if c.Pod != nil {
		o.Mesh, o.AnyPort = []netip.Prefix{}, true // a cluster's addresses are among the world's, and a pod need not declare its ports
		o.IdleOutside = idlePod
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
