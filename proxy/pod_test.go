package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// What a proxy does that shares its application's network namespace: connections are redirected to it, whatever their port.

// redirected opens a way in by which connections to a port of the workload's come, as if the kernel had redirected them.
func (n *node) redirected(o *proxy.Options, port uint16, why error) {
	l := listen(n.w.t)
	n.pub[port] = l
	o.AnyPort, o.Mesh = true, []netip.Prefix{}
	o.Published = append(o.Published, proxy.Published{Listener: l, Original: func(net.Conn) (netip.AddrPort, error) {
		return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.7"), port), why
	}})
}

// TestPlaintextIn: callers outside of the mesh are let in unless mutual TLS is strict, on the port that they called, have no identity, and
// are judged as such.
func TestPlaintextIn(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{TCPPort: "0", HTTPPort: "0", TCPBanner: "220 ready"})
	b := w.start("callee-1", map[uint16]string{80: s.HTTP.Addr().String()}, func(n *node, o *proxy.Options) {
		n.app[81], n.app[82], n.app[25] = n.app[80], n.app[80], s.TCP.Addr().String() // which it does not declare
		for port := range n.app {
			n.redirected(o, port, nil)
		}
		n.redirected(o, 9, errors.New("nobody knows where it was going"))
		n.cfg.Inbound.MTLS = &mtls.Policy{Ref: ref("PeerAuthentication", "all"), Mode: mtls.Permissive,
			Ports: []mtls.Port{{Ref: ref("PeerAuthentication", "port"), Port: 81, Mode: mtls.Strict}, {Port: 82, Mode: mtls.Disable}}}
	})
	at := func(port uint16) string { return b.pub[port].Addr().String() }
	for port, want := range map[uint16]int{80: 200, 81: 403, 82: 200} {
		resp, body := get(t, client(t, at(port)), "http://shop.example/", "x-forwarded-for", "1.2.3.4", "x-forwarded-client-cert", "URI=spiffe://x")
		if resp.StatusCode != want {
			t.Errorf("port %d: %d %s", port, resp.StatusCode, body)
		}
		if want != 200 {
			continue
		}
		if h := answerOf(t, body).Headers; h.Get("x-forwarded-for") != "127.0.0.1" || h.Get("x-forwarded-client-cert") != "" {
			t.Errorf("port %d: %v", port, h)
		}
	}
	for _, r := range b.records.wait(t, 3) {
		if !r.From.ID.IsZero() || r.Secure || r.Port == 81 && (r.Deciding.Ref == nil || r.Deciding.Ref.Name != "port") {
			t.Errorf("%+v", r)
		}
	}
	c, err := net.Dial("tcp", at(25)) // a server that speaks first
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(bound))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ready") {
		t.Errorf("%q, %v", line, err)
	}
	lost, err := net.Dial("tcp", at(9))
	must(t, err)
	defer lost.Close()
	if got, _ := io.ReadAll(lost); len(got) > 0 {
		t.Errorf("%q", got)
	}
	eventually(t, "counted", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.refused["no-destination"] == 1 })
	b.cfg.Inbound.Authz = []authz.Engine{closed("friends-only", "friend")}
	b.apply()
	if resp, _ := get(t, client(t, at(80)), "http://shop.example/"); resp.StatusCode != 403 {
		t.Errorf("a caller without an identity, where one is asked for: %d", resp.StatusCode)
	}
}

// has publishes what has an address.
func (w *world) has(a netip.Addr, x *config.Address) {
	if x == nil {
		w.set(config.KindAddress, a.String(), nil)
		return
	}
	w.set(config.KindAddress, a.String(), x)
}

// TestPodAddress: who calls a pod by its address gets that pod, by mutual TLS if it has a proxy, and in the clear if it has none, as what is
// outside of the cluster.
func TestPodAddress(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	naked := netip.MustParseAddrPort(s.HTTP.Addr().String()) // an application by itself
	b := w.start("callee-1", map[uint16]string{80: naked.String(), naked.Port(): naked.String()}, func(n *node, _ *proxy.Options) {
		n.cfg.Addr = netip.MustParseAddr("127.0.0.99")
	})
	there := netip.AddrPortFrom(b.cfg.Addr, 80)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, there.String(), naked.String())
		o.Mesh = []netip.Prefix{}
	})
	meshed := b.endpoint(0)
	w.has(b.cfg.Addr, &config.Address{Workload: &meshed, Ports: []config.AppPort{{Number: 80, Proto: traffic.HTTP1}}})
	if resp, body := get(t, client(t, a.at(there.String())), "http://10.0.0.7/"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if r := b.records.wait(t, 1)[0]; r.From.ID != a.id || !r.Secure {
		t.Errorf("%+v", r)
	}
	a.records.wait(t, 1) // records come in the order in which calls end
	c := client(t, a.at(naked.String()))
	for i, x := range []*config.Address{nil, // nobody's: outside of the cluster
		{Workload: &traffic.Endpoint{Addr: netip.AddrPortFrom(naked.Addr(), 0), ID: b.id, Workload: "default/naked-1"}}} {
		w.has(naked.Addr(), x)
		a.feed.wait(t, config.Name(config.KindAddress, naked.Addr().String()), i)
		if resp, body := get(t, c, "http://10.0.0.8/"); resp.StatusCode != 200 || answerOf(t, body).Headers.Get("x-forwarded-client-cert") != "" {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if r := a.records.wait(t, 2+i)[1+i]; r.Secure || x != nil && r.To.Workload != "default/naked-1" {
			t.Errorf("%+v", r)
		}
	}
	// The address goes over to a pod with a proxy, while the application's connection stays.
	w.has(naked.Addr(), &config.Address{Workload: &meshed})
	a.feed.wait(t, config.Name(config.KindAddress, naked.Addr().String()), 2)
	if resp, body := get(t, c, "http://10.0.0.8/"); resp.StatusCode != 200 || answerOf(t, body).Headers.Get("x-forwarded-client-cert") == "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	a.cfg.Egress = []authz.Engine{{Dialect: decision.Cilium, Closed: ptr(ref("CiliumNetworkPolicy", "no-egress"))}}
	a.apply()
	for _, to := range []netip.AddrPort{there, naked} {
		if resp, body := get(t, client(t, a.at(to.String())), "http://10.0.0.7/"); resp.StatusCode != 403 || !strings.Contains(body, "no-egress") {
			t.Errorf("%s, not allowed: %d %s", to, resp.StatusCode, body)
		}
	}
}

// wait returns when a resource has been applied more than n times, if it is wanted at all.
func (f *feed) wait(t testing.TB, name string, n int) {
	t.Helper()
	f.w.mu.Lock()
	wanted := f.wanted[name]
	f.w.mu.Unlock()
	if wanted {
		eventually(t, "applied", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.applied[name] > n })
	}
}

// TestHeadlessByAddress: a caller of a headless service calls an address of its pods, which its name resolves to outside of the proxy's
// sight; the service's rules hold all the same.
func TestHeadlessByAddress(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	b := w.start("callee-1", map[uint16]string{80: s.HTTP.Addr().String()}, nil)
	there := netip.AddrPortFrom(b.cfg.Addr, 80)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, there.String()) })
	pod := b.endpoint(0)
	w.publish(&config.Service{Host: host("db"), Namespace: "default", Headless: true, Ports: []config.Port{{Number: 80, Proto: traffic.HTTP1,
		Pools: []config.Pool{{Endpoints: []traffic.Endpoint{b.endpoint(80)}}}}}})
	w.has(b.cfg.Addr, &config.Address{Workload: &pod, Members: []string{host("db")}})
	if resp, body := get(t, client(t, a.at(there.String())), "http://db-0.db/"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if r := a.records.wait(t, 1)[0]; !r.Secure || r.Service != host("db") || r.To.Workload != b.name {
		t.Errorf("%+v", r)
	}
}

// TestAddressOfAnother: who lists an address as his service's does not get the calls of another namespace to it.
func TestAddressOfAnother(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	thief := w.start("thief-1", apps(startEcho(t, echo.Options{})), nil)
	outside := s.HTTP.Addr().String()
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, outside, "240.0.0.1:80") })
	listed := traffic.Endpoint{Addr: netip.MustParseAddrPort(outside), ID: thief.id, Workload: thief.name, Tunnel: thief.tunnel}
	w.publish(&config.Service{Host: "shop.evil.svc.cluster.local", Namespace: "evil", IPs: []netip.Addr{netip.MustParseAddr("240.0.0.1")},
		Ports: []config.Port{{Number: 80, Proto: traffic.HTTP1, Pools: []config.Pool{{Endpoints: []traffic.Endpoint{listed}}}}}})
	get(t, client(t, a.at("240.0.0.1:80")), "http://shop.evil/") // so that it is held
	a.records.wait(t, 1)
	if resp, body := get(t, client(t, a.at(outside)), "http://outside/"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if r := a.records.wait(t, 2)[1]; r.Secure || r.Service != "" || r.To.Workload != "" {
		t.Errorf("%+v", r)
	}
}

// TestMutualRequired: where a policy wants mutual TLS, an endpoint without a proxy is not called.
func TestMutualRequired(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	naked := traffic.Endpoint{Addr: netip.MustParseAddrPort(s.HTTP.Addr().String()), ID: w.start("naked-1", nil, nil).id, Workload: "default/naked-1"}
	svc := w.serve("naked", "240.0.0.1", 80, traffic.HTTP1, naked)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	if resp, body := get(t, c, "http://naked/"); resp.StatusCode != 200 {
		t.Errorf("without a policy: %d %s", resp.StatusCode, body)
	}
	a.records.wait(t, 1)
	svc.Ports[0].Pools[0].Policy.Secure = &traffic.Secure{Ref: ref("DestinationRule", "mutual"), Mode: traffic.Required}
	w.publish(svc)
	a.feed.wait(t, config.Name(config.KindService, svc.Host), 1)
	if resp, body := get(t, c, "http://naked/"); resp.StatusCode != 503 || !strings.Contains(body, "connect") {
		t.Errorf("with one: %d %s", resp.StatusCode, body)
	}
	if r := a.records.wait(t, 2)[1]; r.Err == nil || !strings.Contains(r.Err.Error(), "a policy wants mutual TLS") {
		t.Errorf("%+v", r)
	}
}

// TestItself: a service's caller may be its own callee.
func TestItself(t *testing.T) {
	w := newWorld(t)
	a := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, a.endpoint(80))
	if resp, body := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for _, r := range a.records.wait(t, 2) {
		if r.From.ID != a.id || r.To.ID != a.id || !r.Secure {
			t.Errorf("%+v", r)
		}
	}
}

// TestProbeAnswers: the kubelet asks the proxy's port for readiness by the probe's name, and hears what the application said.
func TestProbeAnswers(t *testing.T) {
	w := newWorld(t)
	a := w.start("callee-1", nil, nil)
	l := listen(t)
	var heard string
	a.ServeAdmin(l, &proxy.Admin{Probe: func(name, agent string) error {
		heard = name + " " + agent
		if name == "app/readiness" {
			return errors.New("not now")
		}
		return nil
	}}, false)
	c := client(t, l.Addr().String())
	for path, want := range map[string]int{"/ready": 200, "/probe/app/liveness": 200, "/probe/app/readiness": 503, "/metrics": 404, "/config": 404} {
		if resp, body := get(t, c, "http://10.0.0.7:15021"+path, "user-agent", "kube-probe/1.36"); resp.StatusCode != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		} else if path == "/probe/app/readiness" && (heard != "app/readiness kube-probe/1.36" || !strings.Contains(body, "not now")) {
			t.Errorf("%q %q", heard, body)
		}
	}
}
