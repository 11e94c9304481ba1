package proxy_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/leaktest"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

const domain = "cluster.local"

// bound is how long anything may take before a test fails, on a machine that does other things.
const bound = 30 * time.Second

// world is an authority, a control plane made of a map, and proxies on loopback.
type world struct {
	t  testing.TB
	ca *ca.CA

	mu        sync.Mutex
	resources map[string][]byte
	feeds     []*feed
	deaf      bool // the control plane is away
	muted     string
	noWait    bool // for proxies to be ready
}

func newWorld(t testing.TB) *world {
	t.Helper()
	leaktest.Check(t)
	root, err := ca.Generate(domain, time.Now(), 24*time.Hour)
	must(t, err)
	authority, err := ca.Create(ca.Dir(filepath.Join(t.TempDir(), "ca")), ca.Config{TrustDomain: domain}, root, time.Now())
	must(t, err)
	w := &world{t: t, ca: authority, resources: map[string][]byte{}}
	w.trust()
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trust publishes the authority's bundle.
func (w *world) trust() {
	b := w.ca.Bundle()
	issuer := w.ca.Roots().Active.ID()
	w.set(config.KindTrust, domain, &config.Trust{Domain: domain, Sequence: b.Sequence, Roots: b.Roots, Issuer: issuer[:]})
}

// set publishes a resource; nil: it is gone.
func (w *world) set(kind, key string, v any) {
	name := config.Name(kind, key)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.resources, name)
	if v != nil {
		w.resources[name] = config.Append([]byte{}, v)
	}
	for _, f := range w.feeds {
		f.offer(name)
	}
}

// feed is a proxy's subscription. It hands over updates in a goroutine of its own, as a stream does.
type feed struct {
	w       *world
	p       *proxy.Proxy
	wanted  map[string]bool
	asked   map[string]int // how often
	queue   chan stream.Update
	mu      sync.Mutex
	refused map[string]error
	applied map[string]int
}

func (f *feed) Want(names ...string) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, n := range names {
		f.wanted[n] = true
		f.asked[n]++
		f.offer(n)
	}
}

func (f *feed) Drop(names ...string) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, n := range names {
		delete(f.wanted, n)
	}
}

func (f *feed) Restore(name string, _ []byte) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.wanted[name] = true
}

// offer needs the world's lock.
func (f *feed) offer(name string) {
	if f.wanted[name] && !f.w.deaf && f.w.muted != name {
		f.queue <- stream.Update{Name: name, Body: f.w.resources[name]}
	}
}

func (f *feed) run(ctx context.Context) {
	for {
		select {
		case u := <-f.queue:
			err := f.p.Apply([]stream.Update{u})[u.Name]
			f.mu.Lock()
			f.refused[u.Name] = err
			f.applied[u.Name]++
			f.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// records is a sink that keeps everything.
type records struct {
	mu  sync.Mutex
	all []observe.Record
}

func (r *records) Take(x *observe.Record) {
	y := *x
	y.Verdicts = slices.Clone(x.Verdicts)
	for _, s := range []*string{&y.Service, &y.Subset, &y.Method, &y.Authority, &y.Path, &y.RequestID, &y.GRPC} {
		*s = strings.Clone(*s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, y)
}

// wait returns the records once there are n, and fails if there never are.
func (r *records) wait(t testing.TB, n int) []observe.Record {
	t.Helper()
	return r.of(t, n, func(*observe.Record) bool { return true })
}

// of returns the records that are like something once there are n of them, and fails if there never are.
func (r *records) of(t testing.TB, n int, like func(*observe.Record) bool) (all []observe.Record) {
	t.Helper()
	for end := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		all = all[:0]
		r.mu.Lock()
		for i := range r.all {
			if like(&r.all[i]) {
				all = append(all, r.all[i])
			}
		}
		r.mu.Unlock()
		if len(all) >= n {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("%d records, want %d: %+v", len(all), n, all)
		}
	}
}

// node is a workload with its proxy.
type node struct {
	*proxy.Proxy
	w       *world
	name    string // namespace/name
	id      identity.ID
	cfg     config.Workload
	app     map[uint16]string // the workload's ports, and where the application really listens
	tunnel  netip.AddrPort
	out     map[netip.AddrPort]net.Listener // the ways out, by original destination
	pub     map[uint16]net.Listener
	dns     net.PacketConn
	records records
	store   *cert.Store
	feed    *feed
	stop    func()
	refused map[string]int
	drained atomic.Int32 // how often its admin socket was told to drain
	mu      sync.Mutex
	opts    proxy.Options
}

// start runs a proxy for a workload of namespace default: account is its name without what follows the last dash. change may
// change what it is given.
func (w *world) start(name string, app map[uint16]string, change func(*node, *proxy.Options)) *node {
	w.t.Helper()
	account, _, _ := strings.Cut(name, "-")
	n := &node{w: w, name: "default/" + name, id: identity.Of(domain, "default", account), app: app, out: map[netip.AddrPort]net.Listener{},
		pub: map[uint16]net.Listener{}, refused: map[string]int{}}
	n.store = cert.NewStore(time.Now)
	n.feed = &feed{w: w, wanted: map[string]bool{}, asked: map[string]int{}, queue: make(chan stream.Update, 10000), refused: map[string]error{}, applied: map[string]int{}}
	n.cfg = config.Workload{Name: name, Namespace: "default", ID: n.id, Addr: netip.AddrFrom4([4]byte{127, 0, 0, byte(len(w.feeds) + 1)}), Labels: []string{"app=" + account}}
	for _, port := range slices.Sorted(maps.Keys(app)) {
		n.cfg.Ports = append(n.cfg.Ports, config.AppPort{Number: port, Proto: traffic.Detect})
	}
	in := listen(w.t)
	n.tunnel = in.Addr().(*net.TCPAddr).AddrPort()
	n.opts = proxy.Options{Workload: n.name, ID: n.id, Cert: n.store, Config: n.feed, Inbound: in, Sink: &n.records, Certify: n.certify,
		DialApp: n.dialApp, Lookup: 2 * time.Second, Grace: time.Second, Warn: func(err error) { w.t.Logf("%s: %v", name, err) },
		Refused: func(why string) { n.mu.Lock(); n.refused[why]++; n.mu.Unlock() }}
	if change != nil {
		change(n, &n.opts)
	}
	w.set(config.KindWorkload, n.name, &n.cfg)
	n.run()
	return n
}

func (n *node) run() {
	n.w.t.Helper()
	p, err := proxy.New(n.opts)
	must(n.w.t, err)
	n.Proxy, n.feed.p = p, p
	n.w.mu.Lock()
	n.w.feeds = append(n.w.feeds, n.feed)
	n.w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { n.feed.run(ctx) })
	wg.Go(func() { p.Run(ctx) })
	n.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	n.w.t.Cleanup(n.stop)
	if !n.w.noWait {
		eventually(n.w.t, "ready", func() bool { return p.Ready() == nil })
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never " + what)
		}
	}
}

func (n *node) certify(_ context.Context, csr []byte) ([][]byte, error) {
	got, err := n.w.ca.Issue(csr, ca.Claim{ID: n.id, Workload: n.name}, time.Now())
	return got.Chain, err
}

func (n *node) dialApp(ctx context.Context, port uint16, _ netip.Addr) (net.Conn, error) {
	at, ok := n.app[port]
	if !ok {
		return nil, fmt.Errorf("nobody listens on %d", port)
	}
	c, err := sys.DialTCP(ctx, netip.MustParseAddrPort(at), sys.DialOptions{})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	must(t, err)
	return l
}

// to opens a way out to an address that the workload could dial.
func (n *node) to(o *proxy.Options, addrs ...string) {
	for _, a := range addrs {
		at := netip.MustParseAddrPort(a)
		l := listen(n.w.t)
		n.out[at] = l
		o.Outbound = append(o.Outbound, proxy.Outbound{Listener: l, Original: func(net.Conn) (netip.AddrPort, error) { return at, nil }})
	}
}

// publish opens a way in.
func (n *node) publish(o *proxy.Options, ports ...uint16) {
	for _, p := range ports {
		l := listen(n.w.t)
		n.pub[p] = l
		o.Published = append(o.Published, proxy.Published{Listener: l, Port: p})
	}
}

// at is where a test dials to reach what the workload would dial as addr.
func (n *node) at(addr string) string { return n.out[netip.MustParseAddrPort(addr)].Addr().String() }

// endpoint is the workload as a service's port sees it.
func (n *node) endpoint(port uint16) traffic.Endpoint {
	return traffic.Endpoint{Addr: netip.AddrPortFrom(n.cfg.Addr, port), ID: n.id, Workload: n.name, Tunnel: n.tunnel}
}

// serve publishes a service with one port, and returns its configuration, to be changed and published again.
func (w *world) serve(name, vip string, port uint16, proto traffic.Proto, endpoints ...traffic.Endpoint) *config.Service {
	svc := &config.Service{Host: host(name), Namespace: "default", IPs: []netip.Addr{netip.MustParseAddr(vip)},
		Ports: []config.Port{{Number: port, Proto: proto, Pools: []config.Pool{{Endpoints: endpoints}}}}}
	w.publish(svc)
	return svc
}

func host(name string) string { return name + ".default.svc.cluster.local" }

func (w *world) publish(svc *config.Service) {
	w.set(config.KindService, svc.Host, svc)
	for _, ip := range svc.IPs {
		w.set(config.KindAddress, ip.String(), &config.Address{Host: svc.Host})
	}
}

func ref(kind, name string) decision.Ref {
	return decision.Ref{Dialect: decision.Istio, Kind: kind, Namespace: "default", Name: name}
}

// mute has the control plane say nothing of a resource, until unmute.
func (w *world) mute(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.muted = name
}

func (w *world) unmute() { w.mute("") }

// unready is start for a proxy that does not become ready.
func (w *world) unready(name string, change func(*node, *proxy.Options)) *node {
	w.noWait = true
	defer func() { w.noWait = false }()
	return w.start(name, nil, change)
}
