package meshtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/stream"
)

// workload is an application and its proxy.
type workload struct {
	*control.Workload
	mesh      *Mesh
	app       *app
	door      *door
	published map[uint16]net.Listener // by the application's port
	proxy     *proxy.Proxy
	certs     *cert.Store
	end       context.CancelFunc
	tasks     sync.WaitGroup
}

// Run starts workloads, each said as in a transcript's section workloads: "reviews-v1 service=reviews version=v1 ports=9080". It
// returns when they serve, and every proxy knows of them.
func (m *Mesh) Run(lines ...string) {
	m.t.Helper()
	var all []*workload
	for _, line := range lines {
		x, err := transcript.ParseWorkload(line)
		if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, m.run(x))
	}
	m.serving(all)
}

// RunGateway starts a proxy of a gateway, namespace/name. It returns when it serves.
func (m *Mesh) RunGateway(name string) {
	m.t.Helper()
	m.serving([]*workload{m.run(transcript.ProxyOf(name))})
}

func (m *Mesh) serving(all []*workload) {
	m.t.Helper()
	for _, w := range all {
		w.ready()
	}
	m.settle()
}

func (m *Mesh) run(x transcript.Workload) *workload {
	m.t.Helper()
	w := &workload{mesh: m, published: map[uint16]net.Listener{}}
	tunnel := w.register(x.Registration())
	isTLS := map[uint16]bool{}
	for _, p := range w.Ports {
		isTLS[p.Number] = p.Protocol == "tls"
	}
	tcp := map[uint16]bool{}
	for _, p := range w.Ports {
		tcp[p.Number] = isTCP(p.Protocol)
	}
	w.app = m.serve(w.Key(), tcp, isTLS)
	var err error
	if w.door, err = newDoor(); err != nil {
		m.t.Fatal(err)
	}
	o := w.options(tunnel)
	o.Gateway, o.Listen = x.Gateway, w.listen
	client := &stream.Client{
		Hello: func() (stream.Hello, error) {
			return stream.Hello{Workload: w.Key(), Token: w.Token, Root: w.root()}, nil
		},
		Dial:   func(ctx context.Context) (stream.Transport, error) { return newLine(ctx, m.control), nil },
		Apply:  func(u []stream.Update) map[string]error { return w.proxy.Apply(u) },
		Status: func(err error) { w.warn(err) },
	}
	o.Config = client
	if w.proxy, err = proxy.New(o); err != nil {
		m.t.Fatal(err)
	}
	o.Cert.OnChange(func() {
		if root := o.Cert.OwnRoot(); !root.IsZero() {
			client.Rests(root[:])
		}
	})
	ctx, end := context.WithCancel(m.ctx)
	w.end = end
	goes(ctx, &w.tasks, func() { _ = client.Run(ctx) })
	goes(ctx, &w.tasks, func() { _ = w.proxy.Run(ctx) })
	m.goes(w.tasks.Wait)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workloads[w.Key()] = w
	return w
}

func isTCP(appProtocol string) bool {
	switch appProtocol {
	case "tcp", "tls", "linkerd.io/opaque", "linkerd.io/tcp", "mysql", "redis", "mongo":
		return true
	}
	return false
}

// register finds an address for the workload that no other mesh on this machine takes meanwhile.
func (w *workload) register(r control.Registration) net.Listener {
	w.mesh.t.Helper()
	for range 10 {
		x, err := w.mesh.control.Register(r, os.Getuid())
		if err != nil {
			w.mesh.t.Fatal(err)
		}
		l, err := net.Listen("tcp", x.Tunnel().String())
		if err == nil {
			w.Workload = x
			return l
		}
		w.mesh.control.Deregister(x.Key(), x.Token)
	}
	w.mesh.t.Fatal("meshtest: no address for a workload is free")
	return nil
}

func (w *workload) options(tunnel net.Listener) proxy.Options {
	m := w.mesh
	w.certs = cert.NewStore(time.Now)
	o := proxy.Options{
		Workload: w.Key(), ID: identity.Of(transcript.TrustDomain, w.Namespace, w.Account), Addr: w.Address,
		Cert: w.certs, Certify: w.certify, Inbound: tunnel, DialApp: w.dialApp, Dial: w.dial,
		Sink: &m.records, Warn: w.warn, Draw: m.lot.draw, Clock: m.clock.now,
	}
	o.Outbound = []proxy.Outbound{{Listener: w.door, Original: func(c net.Conn) (netip.AddrPort, error) {
		return w.door.original(m.ctx, c)
	}}}
	for _, p := range w.Ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			m.t.Fatal(err)
		}
		w.published[p.Number] = l
		o.Published = append(o.Published, proxy.Published{Listener: l, Port: p.Number})
	}
	return o
}

// at is where a port can be reached from outside; nil: nowhere.
func (w *workload) at(port uint16) net.Listener {
	w.mesh.mu.Lock()
	defer w.mesh.mu.Unlock()
	return w.published[port]
}

// listen opens a port of the gateway that the workload is a proxy of, on one of the machine's choice.
func (w *workload) listen(port uint16) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.mesh.mu.Lock()
	defer w.mesh.mu.Unlock()
	w.published[port] = l
	return l, nil
}

func (w *workload) warn(err error) {
	if err != nil {
		w.mesh.warn(fmt.Errorf("%s: %w", w.Key(), err))
	}
}

func (w *workload) root() []byte {
	if id := w.certs.OwnRoot(); id != (identity.RootID{}) {
		return id[:]
	}
	return nil
}

func (w *workload) certify(ctx context.Context, csr []byte) ([][]byte, error) {
	r, err := w.mesh.control.Certify(ctx, &stream.CertifyRequest{Workload: w.Key(), Token: w.Token, CSR: csr})
	if err != nil {
		return nil, err
	}
	return r.Chain, nil
}

var errArranged = errors.New("connection refused, as the test asks")

func (w *workload) dialApp(ctx context.Context, port uint16, _ netip.Addr) (net.Conn, error) {
	if w.app.does.Load().Refuses || w.mesh.refuse.Add(-1) >= 0 {
		return nil, errArranged
	}
	w.mesh.refuse.Store(0)
	at, err := w.app.at(port)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", at)
}

// dial connects to other proxies. What goes to a workload in the clear reaches its proxy as what comes from outside does; any
// address beyond this machine is the application outside.
func (w *workload) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if l := w.mesh.inTheClear(to); l != nil {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.Address, 0))}
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}
	if to.Addr().IsLoopback() {
		c, err := sys.DialTCP(ctx, to, sys.DialOptions{From: w.Address})
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	at := w.mesh.outside.ports[0]
	if w.mesh.calls.opaque() {
		at = w.mesh.outside.lines
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", at.Addr().String())
}

// inTheClear finds where a workload's port is published.
func (m *Mesh) inTheClear(to netip.AddrPort) net.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.workloads {
		if w.Address == to.Addr() {
			return w.published[to.Port()]
		}
	}
	return nil
}

// ready waits until the proxy serves.
func (w *workload) ready() {
	w.mesh.t.Helper()
	changed := make(chan struct{}, 1)
	defer w.certs.OnChange(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	for w.certs.Ready() != nil {
		select {
		case <-changed:
		case <-timer.C:
			w.mesh.t.Fatalf("meshtest: %s has no certificate after %v: %v", w.Key(), bound, w.certs.Ready())
		}
	}
	w.mesh.settle()
	if err := w.proxy.Ready(); err != nil {
		w.mesh.t.Fatalf("meshtest: %s: %v", w.Key(), err)
	}
}

// workload finds one by its key, or by its name in the namespace default.
func (m *Mesh) workload(name string) *workload {
	m.t.Helper()
	for _, key := range []string{name, "default/" + name} {
		if w := m.workloads[key]; w != nil {
			return w
		}
	}
	m.t.Fatalf("meshtest: there is no workload %s", name)
	return nil
}

// Fail makes a workload's application answer everything with a status; 0 makes it well again.
func (m *Mesh) Fail(name string, status int) {
	m.t.Helper()
	m.behave(name, explain.App{Status: status})
}

// behave makes a workload's application answer otherwise from now on.
func (m *Mesh) behave(name string, does explain.App) {
	m.t.Helper()
	m.workload(name).app.does.Store(&does)
}

// Kill ends a workload at once, as a kill -9 does that hits application and proxy; every proxy knows when it returns.
func (m *Mesh) Kill(name string) {
	m.t.Helper()
	w := m.workload(name)
	w.crash()
	m.control.Deregister(w.Key(), w.Token)
	m.settle()
}

// Crash ends a workload at once, and nobody is told of it: the others find out when they call.
func (m *Mesh) Crash(name string) {
	m.t.Helper()
	m.workload(name).crash()
}

func (w *workload) crash() {
	w.end()
	close(w.app.gone)
	w.tasks.Wait()
	w.mesh.mu.Lock()
	defer w.mesh.mu.Unlock()
	delete(w.mesh.workloads, w.Key())
}
