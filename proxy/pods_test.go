package proxy_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// here is the address that the callers of these tests have.
const here = "127.0.0.1"

// scraped lets in a pod with a label, whether it has a proxy or not, and nobody else.
func scraped() authz.Engine {
	return authz.Engine{Dialect: decision.Cilium, Closed: ptr(ref("NetworkPolicy", "scraped")), Tiers: []authz.Tier{{Rules: []authz.Rule{{
		Ref: ref("NetworkPolicy", "scraped").At("ingress[0]"), From: []match.Source{{Authenticated: true, ByAddress: true,
			Namespaces: []match.String{{Value: "monitoring"}}, Selectors: []match.Selector{{Labels: []string{"app=prometheus"}}}}}}}}}}
}

var prometheus = &traffic.Pod{Namespace: "monitoring", Labels: []string{"app=prometheus"}}

// others are pods that scraped keeps out, one after another.
var others = map[string]*traffic.Pod{"other labels": {Namespace: "monitoring", Labels: []string{"app=other"}},
	"another pod": {Namespace: "evil", Labels: []string{"app=prometheus"}}, "none": nil}

// pod publishes what has the callers' address.
func (w *world) pod(pod *traffic.Pod) {
	if pod == nil {
		w.set(config.KindPod, here, nil)
		return
	}
	w.set(config.KindPod, here, pod)
}

// scrapedBy is a workload that scraped guards.
func (w *world) scrapedBy(change func(*node, *proxy.Options)) *node {
	return w.start("callee-1", apps(startEcho(w.t, echo.Options{})), func(n *node, o *proxy.Options) {
		n.cfg.Inbound.Authz, n.cfg.ByAddress, n.cfg.Labelled = []authz.Engine{scraped()}, true, true
		n.publish(o, 80, 90)
		if change != nil {
			change(n, o)
		}
	})
}

// TestPods: a caller without a proxy is the pod that has its address, whatever a header says; as long as nobody can say which, it is nobody
// that may come.
func TestPods(t *testing.T) {
	w := newWorld(t)
	name := config.Name(config.KindPod, here)
	w.muted = name
	b := w.scrapedBy(func(_ *node, o *proxy.Options) { o.Lookup = 200 * time.Millisecond })
	c := client(t, b.pub[80].Addr().String())
	if resp, body := get(t, c, "http://callee/", "x-forwarded-for", "127.0.0.77"); resp.StatusCode != 503 || !strings.Contains(body, "unauthenticated") {
		t.Errorf("a caller of whom nobody knows: %d %s", resp.StatusCode, body)
	}
	if r := b.records.wait(t, 1)[0]; r.Deciding.Reason != decision.Unauthenticated || r.Err == nil || !strings.Contains(r.Err.Error(), "control plane") {
		t.Errorf("%+v", r)
	}
	w.mu.Lock()
	w.muted = ""
	w.mu.Unlock()
	is := func(what string, pod *traffic.Pod, status int) {
		t.Helper()
		w.pod(pod)
		eventually(t, what, func() bool { resp, _ := get(t, c, "http://callee/"); return resp.StatusCode == status })
	}
	for what, pod := range others {
		is(what, pod, 403)
		is("let in", prometheus, 200)
	}
	is("unclear", &traffic.Pod{Unclear: true}, 503)
	w.mu.Lock()
	defer w.mu.Unlock()
	for asked := range b.feed.asked {
		if kind, _ := config.Cut(asked); kind == config.KindPeer || kind == config.KindPod && asked != name {
			t.Errorf("asked for %s", asked)
		}
	}
}

// lasting opens a connection that lasts, and makes sure that it does.
func lasting(t *testing.T, at net.Addr) *bufio.ReadWriter { return lastingFrom(t, here, at) }

func lastingFrom(t *testing.T, from string, at net.Addr) *bufio.ReadWriter {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", at.String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(bound)))
	rw := bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
	goesOn(t, rw)
	return rw
}

// goesOn makes sure that the connection does.
func goesOn(t *testing.T, c *bufio.ReadWriter) {
	t.Helper()
	c.WriteString("hello\n")
	must(t, c.Flush())
	if line, err := c.ReadString('\n'); line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

// cut makes sure that the connection ends, and not because of the test's own limit.
func cut(t *testing.T, what string, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); len(rest) > 0 || isTimeout(err) {
		t.Errorf("%s, and the connection goes on: %q, %v", what, rest, err)
	}
}

// TestPodsOfLiveConnections: what lasts is cut when its pod is not allowed any more, and when another one has its address; also where nothing
// was asked about it for so long that what is not used was dropped.
func TestPodsOfLiveConnections(t *testing.T) {
	w := newWorld(t)
	b := w.scrapedBy(func(_ *node, o *proxy.Options) { o.Forget = time.Second })
	cuts := 0
	for what, pod := range others {
		w.pod(prometheus)
		r := lasting(t, b.pub[90].Addr())
		w.pod(pod)
		cut(t, what, r)
		cuts++
		if r := b.records.wait(t, cuts)[cuts-1]; r.Deciding.Ref == nil || r.Deciding.Ref.Name != "scraped" || r.Deciding.Outcome != decision.Deny {
			t.Errorf("%s: %+v", what, r)
		}
		w.pod(prometheus)
		eventually(t, "let in again", func() bool {
			resp, _ := get(t, client(t, b.pub[80].Addr().String()), "http://callee/")
			return resp.StatusCode == 200
		})
		cuts = len(b.records.wait(t, cuts+1))
	}
	r := lasting(t, b.pub[90].Addr())
	idle := config.Name(config.KindPod, "127.0.0.2")
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", b.pub[90].Addr().String())
	must(t, err)
	defer c.Close()
	io.WriteString(c, "hello\n")
	eventually(t, "dropped", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return b.feed.asked[idle] > 0 && !b.feed.wanted[idle]
	})
	w.pod(others["another pod"])
	cut(t, "what others were is forgotten", r)
}

// TestUnclearPodsOfLiveConnections: what was let in stays while nobody can say whose it is.
func TestUnclearPodsOfLiveConnections(t *testing.T) {
	w := newWorld(t)
	b := w.scrapedBy(nil)
	w.pod(prometheus)
	c := lasting(t, b.pub[90].Addr())
	w.pod(&traffic.Pod{Unclear: true})
	eventually(t, "unclear", func() bool {
		b.feed.mu.Lock()
		defer b.feed.mu.Unlock()
		return b.feed.applied[config.Name(config.KindPod, here)] > 1
	})
	for _, from := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} { // each is cut as all are judged anew
		w.set(config.KindPod, from, prometheus)
		other := lastingFrom(t, from, b.pub[90].Addr())
		w.set(config.KindPod, from, others["other labels"])
		cut(t, "another's labels have changed", other)
		goesOn(t, c)
	}
}

// TestPodsAtAGateway: the same rules guard what comes to a gateway, call by call.
func TestPodsAtAGateway(t *testing.T) {
	w := newWorld(t)
	backend := w.start("backend-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	tcp := ends(90, "", mesh.EntryTCP, host("stream"))
	tcp.Hosts[0].Rules[0].Backends[0].Target.Port = 90
	w.serve("stream", "240.0.0.2", 90, traffic.TCP, backend.endpoint(90))
	e := w.edge(&config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{ends(80, "a.example", mesh.EntryHTTP, host("backend")), tcp}})
	e.cfg.Inbound.Authz, e.cfg.ByAddress = []authz.Engine{scraped()}, true
	e.apply()
	at := map[bool]net.Addr{}
	for range 2 {
		l := <-e.open
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(bound)))
		io.WriteString(c, "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n")
		answer, _ := io.ReadAll(c)
		c.Close()
		at[strings.HasPrefix(string(answer), "HTTP/1.1 403")] = l.Addr()
	}
	if len(at) != 2 {
		t.Fatalf("a caller that is no pod: %v", at)
	}
	c := client(t, at[true].String())
	for what, pod := range others {
		w.pod(prometheus)
		eventually(t, "let in", func() bool { resp, _ := get(t, c, "http://a.example/"); return resp.StatusCode == 200 })
		r := lasting(t, at[false])
		w.pod(pod)
		cut(t, what, r)
		eventually(t, what, func() bool { resp, _ := get(t, c, "http://a.example/"); return resp.StatusCode == 403 }) // on the same connection
	}
}

// TestPodsAreNotOnDisk: a proxy that begins without a control plane goes on with what it had, but believes no address.
func TestPodsAreNotOnDisk(t *testing.T) {
	w := newWorld(t)
	w.pod(prometheus)
	cache := t.TempDir() + "/cache"
	b := w.scrapedBy(func(n *node, o *proxy.Options) {
		n.cfg.Inbound.Authz[0].Tiers[0].Rules = append(n.cfg.Inbound.Authz[0].Tiers[0].Rules, authz.Rule{Ref: ref("NetworkPolicy", "open"),
			To: []match.Request{{Ports: []match.Range{match.OnePort(90)}}}})
		o.Cache = cache
	})
	if resp, body := get(t, client(t, b.pub[80].Addr().String()), "http://callee/"); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	b.stop()
	w.mu.Lock()
	w.deaf = true
	w.mu.Unlock()
	b.opts.Published, b.opts.Inbound = nil, listen(t)
	b.publish(&b.opts, 80, 90)
	b.run()
	b.Away(true)
	lasting(t, b.pub[90].Addr()) // what does not hang on the pod
	if resp, body := get(t, client(t, b.pub[80].Addr().String()), "http://callee/"); resp.StatusCode != 503 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	w.mu.Lock()
	w.deaf = false
	w.mu.Unlock()
	b.Away(false)
	w.pod(prometheus)
	eventually(t, "believed", func() bool {
		resp, _ := get(t, client(t, b.pub[80].Addr().String()), "http://callee/")
		return resp.StatusCode == 200
	})
}
