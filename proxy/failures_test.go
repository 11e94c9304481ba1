package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// closed lets only callers of an account in; nil: nobody.
func closed(name string, accounts ...string) authz.Engine {
	e := authz.Engine{Dialect: decision.Istio, Closed: ptr(ref("AuthorizationPolicy", name)), Tiers: []authz.Tier{{Effect: authz.Allow}}}
	for _, a := range accounts {
		e.Tiers[0].Rules = append(e.Tiers[0].Rules, authz.Rule{Ref: ref("AuthorizationPolicy", name).At("rule 0"),
			From: []match.Source{{Principals: []match.String{{Value: domain + "/ns/default/sa/" + a}}}}})
	}
	return e
}

func ptr[T any](v T) *T { return &v }

// apply publishes the workload's configuration anew and waits until its proxy has it.
func (n *node) apply() {
	n.w.t.Helper()
	name := config.Name(config.KindWorkload, n.name)
	n.feed.mu.Lock()
	before := n.feed.applied[name]
	n.feed.mu.Unlock()
	n.w.set(config.KindWorkload, n.name, &n.cfg)
	eventually(n.w.t, "applied", func() bool {
		n.feed.mu.Lock()
		defer n.feed.mu.Unlock()
		return n.feed.applied[name] > before
	})
}

// TestDenied: the answer, the record and the header name the policy; for callers from outside the answer does not.
func TestDenied(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) {
		n.cfg.Inbound.Authz = []authz.Engine{closed("allow-friend", "friend")}
		n.publish(o, 80)
	})
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	for port, proto := range map[uint16]traffic.Proto{70: traffic.GRPC, 90: traffic.TCP} {
		svc.Ports = append(svc.Ports, config.Port{Number: port, Proto: proto, Pools: []config.Pool{{Endpoints: []traffic.Endpoint{b.endpoint(port)}}}})
	}
	w.publish(svc)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80", "240.0.0.1:70", "240.0.0.1:90") })
	friend := w.start("friend-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })

	resp, body := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/")
	if want := "AuthorizationPolicy default/allow-friend"; resp.StatusCode != 403 || !strings.Contains(body, want) || !strings.Contains(resp.Header.Get("weft-error"), want) {
		t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
	if r := b.records.wait(t, 1)[0]; !r.Denied() || r.Deciding.Ref.Name != "allow-friend" || r.Deciding.Reason != decision.NoRuleAllows || r.From.ID != a.id {
		t.Errorf("%+v", r)
	}
	resp, body = get(t, client(t, b.pub[80].Addr().String()), "http://callee/")
	if resp.StatusCode != 403 || strings.Contains(body, "allow-friend") || resp.Header.Get("weft-error") != "" || !strings.Contains(body, "no rule allows") {
		t.Errorf("to the outside: %d %q %v", resp.StatusCode, body, resp.Header)
	}
	_, err := echo.Unary(t.Context(), grpcConn(t, a.at("240.0.0.1:70")), "x")
	if status.Code(err) != codes.PermissionDenied { // "HTTP 403 -> PERMISSION_DENIED" (grpc/grpc doc/http-grpc-status-mapping.md)
		t.Errorf("gRPC: %v", err)
	}
	c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
	must(t, err)
	defer c.Close()
	io.WriteString(c, "hello\n")
	if got, err := io.ReadAll(c); len(got) > 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TCP: %q %v", got, err)
	}
	if resp, _ := get(t, client(t, friend.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("the friend gets %d", resp.StatusCode)
	}
	all := a.records.wait(t, 3) // in the order in which calls ended
	i := slices.IndexFunc(all, func(r observe.Record) bool { return r.Proto == traffic.TCP })
	if i < 0 || all[i].Status != 403 || all[i].Failed {
		t.Errorf("TCP at the caller: %+v", all)
	}
}

// TestStrict: "mTLS STRICT denies with its Ref".
func TestStrict(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) {
		n.cfg.Inbound.MTLS = &mtls.Policy{Ref: ref("PeerAuthentication", "strict"), Mode: mtls.Strict}
		n.publish(o, 80)
	})
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	if resp, body := get(t, client(t, b.pub[80].Addr().String()), "http://callee/"); resp.StatusCode != 403 {
		t.Errorf("in the clear: %d %s", resp.StatusCode, body)
	}
	if r := b.records.wait(t, 1)[0]; r.Deciding.Ref == nil || r.Deciding.Ref.Name != "strict" || r.Deciding.Reason != decision.Unauthenticated {
		t.Errorf("%+v", r)
	}
	if resp, _ := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("by mutual TLS: %d", resp.StatusCode)
	}
}

// TestWrongPeer: "a peer whose certificate is valid but of another account than the endpoint's gets no byte" (DESIGN section 5).
func TestWrongPeer(t *testing.T) {
	w := newWorld(t)
	thief := w.start("thief-1", apps(startEcho(t, echo.Options{})), nil)
	e := thief.endpoint(80)
	e.ID = w.start("callee-1", nil, nil).id
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, e)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	resp, body := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/secret")
	if resp.StatusCode != 502 || !strings.Contains(body, "wrong peer") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if r := a.records.wait(t, 1)[0]; r.Deciding.Reason != decision.WrongPeer || !errors.Is(r.Err, traffic.ErrWrongPeer) {
		t.Errorf("%+v", r)
	}
	if len(thief.records.all) > 0 {
		t.Errorf("the thief got %+v", thief.records.all)
	}
}

// TestNoCertificate: "refuse, with that reason, never plaintext" (DESIGN section 10).
func TestNoCertificate(t *testing.T) {
	w := newWorld(t)
	var served atomic.Int32
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Add(1)
			c.Close()
		}
	}()
	b := w.start("callee-1", nil, nil)
	e := b.endpoint(80)
	e.Tunnel = l.Addr().(*net.TCPAddr).AddrPort()
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, e)
	a := w.unready("caller-1", func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80")
		o.Certify = func(context.Context, []byte) ([][]byte, error) { return nil, errors.New("away") }
	})
	resp, body := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/")
	if resp.StatusCode != 503 || !strings.Contains(body, "no identity") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if served.Load() > 0 {
		t.Error("the callee was dialled")
	}
	if err := a.Ready(); err == nil {
		t.Error("ready without a certificate")
	}
}

// TestUnknown: mesh addresses that are not known are refused, and ports that a service does not have; others pass, unless a policy
// says no.
func TestUnknown(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	outside := s.HTTP.Addr().String()
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.9:80", "127.64.9.9:80", "240.0.0.1:8080", "240.0.0.1:8081", outside)
	})
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1)
	const nobody = "no such service (no service of the mesh is there)"
	for addr, want := range map[string]string{"240.0.0.9:80": nobody, "127.64.9.9:80": nobody,
		"240.0.0.1:8080": "no such service (" + host("callee") + " has no port 8080, but 80)"} {
		resp, body := get(t, client(t, a.at(addr)), "http://nobody/")
		if resp.StatusCode != 502 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", addr, resp.StatusCode, body)
		}
	}
	waits, err := net.Dial("tcp", a.at("240.0.0.1:8081"))
	must(t, err)
	defer waits.Close()
	must(t, waits.SetDeadline(time.Now().Add(time.Minute)))
	if n, err := waits.Read(make([]byte, 1)); n > 0 || err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("who waits for a callee that is not there gets %d bytes, %v", n, err)
	}
	resp, body := get(t, client(t, a.at(outside)), "http://example.org/")
	if got := answerOf(t, body); resp.StatusCode != 200 || got.Host != "example.org" || got.Headers.Get("x-forwarded-client-cert") != "" || got.Headers.Get("weft-port") != "" {
		t.Errorf("outside: %d %+v", resp.StatusCode, got)
	}
	all := a.records.wait(t, 5)
	i := slices.IndexFunc(all, func(r observe.Record) bool { return r.To.Addr.String() == outside })
	if i < 0 || all[i].Secure || all[i].Service != "" || all[i].Status != 200 {
		t.Errorf("%+v", all)
	}
	a.cfg.Egress = []authz.Engine{{Dialect: decision.Cilium, Closed: ptr(ref("CiliumNetworkPolicy", "no-egress"))}}
	a.apply()
	if resp, body = get(t, client(t, a.at(outside)), "http://example.org/"); resp.StatusCode != 403 || !strings.Contains(body, "no-egress") {
		t.Errorf("outside, not allowed: %d %s", resp.StatusCode, body)
	}
}

// TestControlPlaneAway: what is not known is refused with that reason, after a bounded wait; what is known goes on.
func TestControlPlaneAway(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	w.serve("other", "240.0.0.2", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80", "240.0.0.2:80")
		o.Lookup = 200 * time.Millisecond
	})
	c := client(t, a.at("240.0.0.1:80"))
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	w.mu.Lock()
	w.deaf = true
	w.mu.Unlock()
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("what is known: %s", resp.Status)
	}
	resp, body := get(t, client(t, a.at("240.0.0.2:80")), "http://other/")
	if resp.StatusCode != 503 || !strings.Contains(body, "control plane") {
		t.Errorf("what is not: %d %s", resp.StatusCode, body)
	}
}

// TestUndeclaredPort: only ports that the workload declares are reached, whatever a caller's proxy asks for.
func TestUndeclaredPort(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	b := w.start("callee-1", map[uint16]string{80: s.HTTP.Addr().String()}, nil)
	b.app[81] = s.HTTP.Addr().String()
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(81))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	if resp, body := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 503 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestElsewhere: calls whose endpoint is dead, or whose application is, go to another one, also those that must not be made twice:
// nothing has reached an application.
func TestElsewhere(t *testing.T) {
	w := newWorld(t)
	good := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	appless := w.start("callee-2", map[uint16]string{80: "127.0.0.1:1"}, nil)
	dead := w.start("callee-3", map[uint16]string{80: "127.0.0.1:1"}, nil)
	dead.stop()
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, good.endpoint(80), appless.endpoint(80), dead.endpoint(80))
	c := client(t, a.at("240.0.0.1:80"))
	const calls = 8 // the retry budget lets ten a second pass in any case
	for range calls {
		resp, err := c.Post("http://callee/", "text/plain", strings.NewReader("once"))
		must(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("weft-error"))
		}
	}
	for _, r := range a.records.wait(t, calls) {
		if r.Failed {
			t.Errorf("%d attempts, %v", r.Attempts, r.Verdicts)
		}
	}
	if n := len(good.records.wait(t, calls)); n != calls {
		t.Errorf("%d calls arrived", n)
	}
}

// TestTimeout: a 504 names the rule that set the deadline.
func TestTimeout(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	svc.Ports[0].Route = ref("VirtualService", "slow")
	svc.Ports[0].Rules = []mesh.Rule{{Rule: route.Rule{Ref: svc.Ports[0].Route.At("http[0]")}, Timeout: &timeout.Policy{Ref: svc.Ports[0].Route.At("http[0].timeout"), Limit: 100 * time.Millisecond},
		Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: svc.Host, Port: 80}, Weight: 1}}}}}
	w.publish(svc)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	resp, body := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/delay?ms=60000") // longer than a client waits here
	if resp.StatusCode != 504 || !strings.Contains(body, "http[0].timeout") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if r := a.records.wait(t, 1)[0]; r.Deciding.Reason != decision.TimedOut || r.Deciding.Ref.Rule != "http[0].timeout" {
		t.Errorf("%+v", r)
	}
}

// TestTightened: "policy tightened: live connections that are no longer allowed are closed" (DESIGN section 10).
func TestTightened(t *testing.T) {
	_, a, b := pair(t, echo.Options{}, declared)
	c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(bound))
	r := bufio.NewReader(c)
	io.WriteString(c, "one\n")
	_, err = r.ReadString('\n')
	must(t, err)
	rpc, err := echo.BidiStream(t.Context(), grpcConn(t, a.at("240.0.0.1:70")))
	must(t, err)
	must(t, rpc.Send(&echo.Message{Value: "one"}))
	_, err = rpc.Recv()
	must(t, err)

	more, body := io.Pipe()
	defer body.Close()
	go io.WriteString(body, "one\n")
	streams := map[string]io.Reader{}
	for _, x := range []struct {
		name, method, path string
		body               io.Reader
	}{{"of unknown length", "POST", "/echo", more}, {"long", "GET", "/bytes?n=100000000", nil}} {
		req, err := http.NewRequestWithContext(t.Context(), x.method, "http://callee"+x.path, x.body)
		must(t, err)
		resp, err := client(t, a.at("240.0.0.1:80")).Do(req)
		must(t, err)
		defer resp.Body.Close()
		_, err = io.ReadFull(resp.Body, make([]byte, 4))
		must(t, err)
		streams[x.name] = resp.Body
	}

	b.cfg.Inbound.Authz = []authz.Engine{closed("still-allowed", "caller")}
	b.apply()
	time.Sleep(50 * time.Millisecond)
	io.WriteString(c, "two\n")
	if line, err := r.ReadString('\n'); line != "two\n" {
		t.Fatalf("a policy that allows the connection closed it: %v", err)
	}
	b.cfg.Inbound.Authz = []authz.Engine{closed("not-any-more", "friend")}
	b.apply()
	if rest, err := io.ReadAll(r); len(rest) > 0 || isTimeout(err) {
		t.Errorf("%q %v", rest, err)
	}
	if _, err := rpc.Recv(); err == nil {
		t.Error("the gRPC stream goes on")
	}
	for name, r := range streams {
		if n, err := io.Copy(io.Discard, r); err == nil || isTimeout(err) {
			t.Errorf("an answer %s goes on: %d bytes, %v", name, n, err)
		}
	}
	for _, r := range b.records.wait(t, 4) {
		if r.Deciding.Ref == nil || r.Deciding.Ref.Name != "not-any-more" {
			t.Errorf("%+v", r)
		}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// TestRouteWaitsForItsEnds: "a route switches only when its new backends' endpoints have arrived" (DESIGN section 3).
func TestRouteWaitsForItsEnds(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	old := w.start("old-1", apps(s), nil)
	fresh := w.start("fresh-1", apps(s), nil)
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, old.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	svc.Ports[0].Route = ref("VirtualService", "move")
	svc.Ports[0].Rules = []mesh.Rule{{Rule: route.Rule{Ref: svc.Ports[0].Route.At("http[0]")},
		Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: host("fresh"), Port: 80}, Weight: 1}}}}}
	// The control plane answers for the new backend only later.
	fresh.w.mute(config.Name(config.KindService, host("fresh")))
	w.publish(svc)
	eventually(t, "asked for the new backend", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return a.feed.wanted[config.Name(config.KindService, host("fresh"))]
	})
	for range 20 {
		if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 200 {
			t.Fatalf("while the backend is unknown: %d %s", resp.StatusCode, body)
		}
	}
	if n := len(fresh.records.all); n > 0 {
		t.Errorf("%d calls went there already", n)
	}
	w.unmute()
	w.serve("fresh", "240.0.0.2", 80, traffic.HTTP1, fresh.endpoint(80))
	eventually(t, "switched", func() bool {
		if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		fresh.records.mu.Lock()
		defer fresh.records.mu.Unlock()
		return len(fresh.records.all) > 0
	})
}

// TestBadConfiguration: the last good version stays in force, and the control plane is told why.
func TestBadConfiguration(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	get(t, c, "http://callee/")
	bad := *svc
	bad.Ports = append([]config.Port(nil), svc.Ports...)
	bad.Ports[0].Route = ref("VirtualService", "bad")
	bad.Ports[0].Rules = []mesh.Rule{{Rule: route.Rule{Ref: bad.Ports[0].Route.At("http[0]"), Matches: []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "("}}}}}}}
	refused := a.Apply([]stream.Update{{Name: config.Name(config.KindService, svc.Host), Body: config.Append(nil, &bad)},
		{Name: config.Name(config.KindPeer, "x/y"), Body: []byte{0xff}}, {Name: "unheard/of", Body: []byte{}}})
	if len(refused) != 3 || !strings.Contains(refused[config.Name(config.KindService, svc.Host)].Error(), "http[0]") {
		t.Errorf("%v", refused)
	}
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("the last good version is gone: %s", resp.Status)
	}
}

// TestRestartAlone: "last good config written to disk [...] so a proxy restarts without a control plane".
func TestRestartAlone(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	cache := t.TempDir() + "/cache"
	setup := func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80"); o.Cache = cache }
	a := w.start("caller-1", nil, setup)
	get(t, client(t, a.at("240.0.0.1:80")), "http://callee/")
	a.stop()
	w.mu.Lock()
	w.deaf = true
	w.mu.Unlock()
	again := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		setup(n, o)
		o.Certify = func(context.Context, []byte) ([][]byte, error) { return nil, errors.New("away") }
	})
	if resp, body := get(t, client(t, again.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// A proxy that can't keep its configuration leaves no older one: what that allows may be forbidden by now.
func TestOlderConfigurationIsNotKept(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	cache := dir + "/" + strings.Repeat("c", 250) // no room for the name of a new file beside it, as there may be none for its bytes
	var warned atomic.Pointer[error]
	setup := func(path string) func(*node, *proxy.Options) {
		return func(_ *node, o *proxy.Options) { o.Cache, o.Warn = path, func(err error) { warned.Store(&err) } }
	}
	w.start("caller-1", nil, setup(dir+"/first")).stop()
	if err := os.Rename(dir+"/first", cache); err != nil || warned.Load() != nil {
		t.Fatal(err, warned.Load())
	}
	w.start("caller-1", nil, setup(cache)).stop()
	if _, err := os.Stat(cache); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: the older configuration is there still", err)
	}
	if err := warned.Load(); err == nil || !errors.Is(*err, syscall.ENAMETOOLONG) {
		t.Errorf("nobody was told: %v", err)
	}
}

// TestLabelledCallers: policies that read labels of callers get those that the control plane knows, and nobody is let in while it
// does not know the caller.
func TestLabelledCallers(t *testing.T) {
	w := newWorld(t)
	deny := authz.Engine{Dialect: decision.Cilium, Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{{Ref: ref("CiliumNetworkPolicy", "no-bad"),
		From: []match.Source{{Selectors: []match.Selector{{Labels: []string{"role=bad"}}}}}}}}}}
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) {
		n.cfg.Inbound.Authz, n.cfg.Labelled = []authz.Engine{deny}, true
		o.Lookup = 200 * time.Millisecond
	})
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 503 || !strings.Contains(body, "labels") {
		t.Errorf("a caller that is not known: %d %s", resp.StatusCode, body)
	}
	for _, x := range []struct {
		labels string
		status int
	}{{"role=good", 200}, {"role=bad", 403}, {"role=good", 200}} {
		w.set(config.KindPeer, a.name, &config.Peer{ID: a.id, Labels: []string{x.labels}})
		eventually(t, "in effect", func() bool {
			resp, _ := get(t, c, "http://callee/")
			return resp.StatusCode == x.status
		})
	}
}
