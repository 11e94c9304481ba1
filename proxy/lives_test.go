package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// load calls until stop, and counts what fails. more waits for calls that begin and end from now on.
func load(t *testing.T, c *http.Client, url string) (more func(), stop func() (calls, failed int64)) {
	var calls, ended, failed atomic.Int64
	var last atomic.Pointer[string]
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				calls.Add(1)
				resp, err := c.Post(url, "text/plain", strings.NewReader("x"))
				why := ""
				if err != nil {
					why = err.Error()
				} else {
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						why = resp.Status + " " + string(b)
					}
				}
				if why != "" {
					failed.Add(1)
					last.Store(&why)
				}
				ended.Add(1)
			}
		})
	}
	more = func() {
		t.Helper()
		want := ended.Load() + 24 // of 4 callers: at least 20 begin now
		eventually(t, "called again", func() bool { return ended.Load() >= want })
	}
	return more, func() (int64, int64) {
		close(done)
		wg.Wait()
		if s := last.Load(); s != nil {
			t.Logf("the last failure: %s", *s)
		}
		return calls.Load(), failed.Load()
	}
}

// TestRotation: the root is replaced under load: no call fails, and after the old root's retirement no connection rests on it.
func TestRotation(t *testing.T) {
	w, a, b := pair(t, echo.Options{}, declared)
	c := client(t, a.at("240.0.0.1:80"))
	long, err := net.Dial("tcp", a.at("240.0.0.1:90"))
	must(t, err)
	defer long.Close()
	io.WriteString(long, "hello\n")
	more, stop := load(t, c, "http://callee/")
	more()
	old := a.store.OwnRoot()

	must(t, w.ca.Begin(nil, time.Now()))
	w.trust()
	both := func(what string, ok func(n *node) bool) {
		eventually(t, what, func() bool { return ok(a) && ok(b) })
	}
	both("both know the new root", func(n *node) bool { return len(n.store.Bundle(domain).Roots()) == 2 })
	must(t, w.ca.Switch(w.ca.Bundle().Sequence, false, time.Now()))
	w.trust()
	both("both renewed", func(n *node) bool { return n.store.OwnRoot() != old && !n.store.OwnRoot().IsZero() })
	must(t, w.ca.Retire(true, time.Now()))
	w.trust()
	both("the old root is gone", func(n *node) bool { return len(n.store.Bundle(domain).Roots()) == 1 })
	more()
	if calls, failed := stop(); failed > 0 {
		t.Errorf("%d of %d calls failed", failed, calls)
	}
	// The connection that lasts rests on the old root: it has a moment to end by itself, and is cut then.
	long.SetReadDeadline(time.Now().Add(bound))
	if _, err := io.ReadAll(long); isTimeout(err) {
		t.Error("a connection on the retired root goes on")
	}
}

// TestExpired: "certificate expired, CA unreachable: refuse, with that reason" (DESIGN section 10), also where a connection is open.
func TestExpired(t *testing.T) {
	var ahead atomic.Int64
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	b := w.start("callee-1", apps(s), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	w.serve("stream", "240.0.0.2", 90, traffic.TCP, b.endpoint(90))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80", "240.0.0.2:90")
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		n.store = cert.NewStore(o.Clock)
		o.Cert, o.Certify = n.store, func(ctx context.Context, csr []byte) ([][]byte, error) {
			if ahead.Load() > 0 {
				return nil, errors.New("the authority is away")
			}
			return n.certify(ctx, csr)
		}
	})
	c := client(t, a.at("240.0.0.1:80"))
	if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Fatal(resp.Status, body)
	}
	long, err := net.Dial("tcp", a.at("240.0.0.2:90"))
	must(t, err)
	defer long.Close()
	long.SetDeadline(time.Now().Add(bound))
	r := bufio.NewReader(long)
	say := func() {
		t.Helper()
		io.WriteString(long, "hello\n")
		if line, err := r.ReadString('\n'); line != "hello\n" {
			t.Fatal(line, err)
		}
	}
	say()
	ahead.Store(int64(25 * time.Hour))
	if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 503 || !strings.Contains(body, "expired") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	say() // what is under way goes on
}

// TestExpiredCaller: a callee takes no new calls over a connection whose caller has shown a certificate that has expired since; a
// caller that has another connects anew, and no call fails.
func TestExpiredCaller(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	b := w.start("callee-1", apps(s), func(_ *node, o *proxy.Options) {
		o.Clock = func() time.Time { return time.Now().Add(24*time.Hour - 200*time.Millisecond) } // callers' certificates end soon
	})
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	n := 0
	eventually(t, "connected anew", func() bool {
		if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 200 {
			t.Fatal(resp.Status, body)
		}
		n++
		rs := b.records.wait(t, n)
		return rs[n-1].From.Addr != rs[0].From.Addr
	})
}

// TestDrain: calls under way end, new ones are made elsewhere, and none fails.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	one, two := w.start("callee-1", apps(s), nil), w.start("callee-2", apps(s), nil)
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, one.endpoint(80), two.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	more, stop := load(t, c, "http://callee/delay?ms=20")
	more()
	svc.Ports[0].Pools[0].Endpoints[0].Draining = true // the control plane tells the callers first
	w.publish(svc)
	more()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := one.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	if one.Ready() == nil {
		t.Error("ready while draining")
	}
	one.stop()
	more()
	if calls, failed := stop(); failed > 0 {
		t.Errorf("%d of %d calls failed", failed, calls)
	}
}

// TestDrainCaller: the caller's own proxy lets its calls end too, and its kept-alive connections close.
func TestDrainCaller(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(entered)
			<-leave
		}
	}))
	t.Cleanup(app.Close)
	w := newWorld(t)
	b := w.start("callee-1", map[uint16]string{80: app.Listener.Addr().String()}, nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	get(t, c, "http://callee/") // leaves an idle connection
	got := make(chan int, 1)
	go func() {
		resp, err := client(t, a.at("240.0.0.1:80")).Get("http://callee/held")
		if err != nil {
			got <- 0
			return
		}
		resp.Body.Close()
		got <- resp.StatusCode
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- a.Drain(ctx) }()
	eventually(t, "refusing", func() bool {
		_, err := c.Get("http://callee/")
		return err != nil
	})
	close(leave)
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
	if status := <-got; status != 200 {
		t.Errorf("the call under way: %d", status)
	}
}

// stranger dials a proxy with a certificate of its own.
func (w *world) stranger(id identity.ID, to netip.AddrPort, alpn string) (*cert.Conn, error) {
	nc, err := net.Dial("tcp", to.String())
	must(w.t, err)
	c, _, err := w.credentials(id).Client(w.t.Context(), nc, identity.Of(domain, "default", "callee"), alpn)
	return c, err
}

// credentials are a certificate of the mesh's, and what it believes.
func (w *world) credentials(id identity.ID) *cert.Store {
	store := cert.NewStore(time.Now)
	b := w.ca.Bundle()
	var raw []byte
	for _, r := range b.Roots {
		raw = append(raw, r...)
	}
	bundle, err := cert.ParseBundle(domain, b.Sequence, raw)
	must(w.t, err)
	must(w.t, store.SetBundles(bundle))
	key, csr, err := cert.NewRequest(id)
	must(w.t, err)
	got, err := w.ca.Issue(csr, ca.Claim{ID: id, Workload: id.Namespace + "/" + id.ServiceAccount + "-1"}, time.Now())
	must(w.t, err)
	own, err := cert.ParseIdentity(got.Chain, key)
	must(w.t, err)
	must(w.t, store.SetIdentity(own))
	return store
}

// TestHBONE: a foreign proxy's tunnels are taken as Istio's ztunnel makes them; what is no tunnel, or not for this workload, is not.
func TestHBONE(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	b := w.start("callee-1", apps(s), func(n *node, o *proxy.Options) { n.cfg.Inbound.Authz = []authz.Engine{closed("ztunnels", "ztunnel")} })
	for _, x := range []struct {
		name, alpn, method, authority, path, status string
		headers                                     []string
	}{
		{"a tunnel", "h2", "CONNECT", "127.0.0.1:90", "", "200", nil},
		// ztunnel answers 401 here, and takes any status but 200 from others as a failure; weft has one answer for who may not
		{"of whom no policy lets pass", "h2", "CONNECT", "127.0.0.1:90", "", "403", nil},
		{"its weft headers mean nothing", "h2", "CONNECT", "127.0.0.1:90", "", "200", []string{"weft-port", "1", "weft-proto", "tcp"}},
		{"another address", "h2", "CONNECT", "127.0.0.9:90", "", "400", nil},
		{"a port that is not declared", "h2", "CONNECT", "127.0.0.1:91", "", "503", nil},
		{"no tunnel", "h2", "GET", "callee", "/", "400", []string{"weft-port", "80", "weft-proto", "http/1.1"}},
		{"weft's own without a port", "weft/1", "GET", "callee", "/", "400", []string{"weft-proto", "http/1.1"}},
		{"weft's own with a bad protocol", "weft/1", "GET", "callee", "/", "400", []string{"weft-port", "80", "weft-proto", "udp"}},
		{"weft's own", "weft/1", "GET", "callee", "/", "200", []string{"weft-port", "80", "weft-proto", "http/1.1"}},
	} {
		account := "ztunnel"
		if x.status == "403" {
			account = "somebody"
		}
		c, err := w.stranger(identity.Of(domain, "default", account), b.tunnel, x.alpn)
		must(t, err)
		c.SetDeadline(time.Now().Add(bound))
		io.WriteString(c, xhttp2.ClientPreface)
		f := xhttp2.NewFramer(c, c)
		f.WriteSettings()
		var block strings.Builder
		enc := hpack.NewEncoder(&block)
		fields := []string{":method", x.method, ":authority", x.authority}
		if x.path != "" {
			fields = append(fields, ":scheme", "http", ":path", x.path)
		}
		fields = append(fields, x.headers...)
		for i := 0; i < len(fields); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: x.path != ""})
		if got := statusOf(t, f); got != x.status {
			t.Errorf("%s: status %s, want %s", x.name, got, x.status)
		}
		c.Close()
	}
}

func statusOf(t *testing.T, f *xhttp2.Framer) (status string) {
	t.Helper()
	dec := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		if h.Name == ":status" {
			status = h.Value
		}
	})
	for {
		frame, err := f.ReadFrame()
		must(t, err)
		switch frame := frame.(type) {
		case *xhttp2.HeadersFrame:
			_, err := dec.Write(frame.HeaderBlockFragment())
			must(t, err)
			return status
		case *xhttp2.RSTStreamFrame:
			return frame.ErrCode.String()
		}
	}
}

// TestBadPeers: bytes that make no sense at the mutual TLS port end in a closed connection and a counted reason.
func TestBadPeers(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	for _, x := range []struct {
		name string
		do   func(net.Conn)
	}{
		{"plaintext", func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }},
		{"nothing", func(c net.Conn) {}},
		{"no client certificate", func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"weft/1"}}).Handshake()
		}},
	} {
		c, err := net.Dial("tcp", b.tunnel.String())
		must(t, err)
		x.do(c)
		c.(*net.TCPConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(bound))
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("%s: the connection stays open", x.name)
		}
		c.Close()
	}
	eventually(t, "counted", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.refused["tls-handshake"] == 3
	})
	if c, err := w.stranger(identity.Of(domain, "default", "x"), b.tunnel, "http/1.1"); err == nil {
		c.Close()
		t.Error("a protocol that is not spoken was agreed on")
	}
}

// TestTooManyConnections: beyond the bound connections are closed, and the others go on.
func TestTooManyConnections(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80"); o.MaxConns = 2 })
	c := client(t, a.at("240.0.0.1:80"))
	get(t, c, "http://callee/")
	second, err := net.Dial("tcp", a.at("240.0.0.1:80"))
	must(t, err)
	defer second.Close() // it is accepted before the next one
	third, err := net.Dial("tcp", a.at("240.0.0.1:80"))
	must(t, err)
	defer third.Close()
	third.SetReadDeadline(time.Now().Add(bound))
	if _, err := third.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the third connection: %v", err)
	}
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// ask sends one DNS query over UDP.
func ask(t testing.TB, to, name string, kind dnsmessage.Type) (rcode dnsmessage.RCode, addrs []string) {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	q, err := m.Pack()
	must(t, err)
	c, err := net.Dial("udp", to)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(bound))
	c.Write(q)
	b := make([]byte, 2000)
	n, err := c.Read(b)
	must(t, err)
	must(t, m.Unpack(b[:n]))
	for _, a := range m.Answers {
		switch x := a.Body.(type) {
		case *dnsmessage.AResource:
			addrs = append(addrs, netip.AddrFrom4(x.A).String())
		case *dnsmessage.AAAAResource:
			addrs = append(addrs, netip.AddrFrom16(x.AAAA).String())
		}
	}
	if m.ID != 7 || !m.Response {
		t.Errorf("%+v", m.Header)
	}
	return m.RCode, addrs
}

func TestDNS(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{})
	one, two := w.start("callee-1", apps(s), nil), w.start("callee-2", apps(s), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, one.endpoint(80))
	e1, e2 := one.endpoint(80), two.endpoint(80)
	e1.Addr, e2.Addr = netip.MustParseAddrPort("127.64.0.1:80"), netip.MustParseAddrPort("127.64.0.2:80")
	headless := w.serve("headless", "240.0.0.2", 80, traffic.HTTP1, e1, e2)
	headless.IPs, headless.Headless = nil, true
	w.publish(headless)
	upstream, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer upstream.Close()
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := upstream.ReadFrom(b)
			if err != nil {
				return
			}
			b[2] |= 0x80 // the query comes back as its own answer
			upstream.WriteTo(b[:n], from)
		}
	}()
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "127.64.0.2:80")
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		n.dns = c
		o.DNS = append(o.DNS, c)
		o.Resolvers = []netip.AddrPort{upstream.LocalAddr().(*net.UDPAddr).AddrPort()}
	})
	at := a.dns.LocalAddr().String()
	for _, x := range []struct {
		name  string
		kind  dnsmessage.Type
		rcode dnsmessage.RCode
		addrs string
	}{
		{"callee.default.svc.cluster.local.", dnsmessage.TypeA, 0, "240.0.0.1"},
		{"CALLEE.default.svc.cluster.local.", dnsmessage.TypeA, 0, "240.0.0.1"},
		{"callee.", dnsmessage.TypeA, 0, "240.0.0.1"},
		{"callee.default.", dnsmessage.TypeA, 0, "240.0.0.1"},
		{"callee.default.svc.", dnsmessage.TypeA, 0, "240.0.0.1"},
		{"callee.default.svc.cluster.local.", dnsmessage.TypeAAAA, 0, ""},
		{"callee.default.svc.cluster.local.", dnsmessage.TypeTXT, 0, ""},
		{"headless.default.svc.cluster.local.", dnsmessage.TypeA, 0, "127.64.0.1 127.64.0.2"},
		{"nobody.default.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeNameError, ""},
		{"callee.default.svc.cluster.local.default.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeNameError, ""},
		{"example.org.", dnsmessage.TypeA, 0, ""},
	} {
		rcode, addrs := ask(t, at, x.name, x.kind)
		if got := strings.Join(addrs, " "); rcode != x.rcode || got != x.addrs {
			t.Errorf("%s %v: %v %q", x.name, x.kind, rcode, got)
		}
	}
	// Who calls an endpoint by its own address gets that one, by mutual TLS.
	for range 5 {
		if resp, body := get(t, client(t, a.at("127.64.0.2:80")), "http://callee/"); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if r := two.records.wait(t, 5)[0]; len(one.records.all) > 0 || !r.Secure {
		t.Errorf("%+v and %+v", one.records.all, r)
	}
}

// TestForget: what is not called is dropped, and asked for again when it is.
func TestForget(t *testing.T) {
	w, a, _ := func() (*world, *node, *node) {
		w := newWorld(t)
		b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
		w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
		a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80"); o.Forget = time.Second })
		return w, a, b
	}()
	c := client(t, a.at("240.0.0.1:80"))
	get(t, c, "http://callee/")
	name := config.Name(config.KindService, host("callee"))
	asked := 0
	eventually(t, "dropped", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		asked = a.feed.asked[name]
		return !a.feed.wanted[name]
	})
	if resp, body := get(t, c, "http://callee/"); resp.StatusCode != 200 { // on the same connection
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.feed.asked[name] == asked { // it may have been dropped again meanwhile
		t.Error("not asked for again")
	}
}

// TestSilentToNobody: who waits for a callee to speak first is not kept waiting when there is none; the record says why.
func TestSilentToNobody(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", map[uint16]string{90: "127.0.0.1:1"}, nil)
	w.serve("callee", "240.0.0.1", 90, traffic.Detect, b.endpoint(90))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:90") })
	c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
	must(t, err)
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(bound))
	if _, err := io.ReadAll(c); isTimeout(err) {
		t.Error("the connection stays open")
	}
	if r := a.records.wait(t, 1)[0]; !r.Failed || r.Proto != traffic.TCP {
		t.Errorf("%+v", r)
	}
}

// TestSlowSpeakerWherePolicyWantsHTTP: a try that policy denies, because it is no HTTP, does not end a connection that becomes HTTP.
func TestSlowSpeakerWherePolicyWantsHTTP(t *testing.T) {
	w := newWorld(t)
	e := closed("only-x")
	e.Tiers[0].Rules = []authz.Rule{{Ref: ref("AuthorizationPolicy", "only-x"), To: []match.Request{{Paths: []match.String{{Value: "/x"}}}}}}
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, _ *proxy.Options) { n.cfg.Inbound.Authz = []authz.Engine{e} })
	w.serve("callee", "240.0.0.1", 80, traffic.Detect, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	for path, status := range map[string]int{"/x": 200, "/y": 403} {
		c, err := net.Dial("tcp", a.at("240.0.0.1:80"))
		must(t, err)
		time.Sleep(200 * time.Millisecond)
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: callee\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %v %v", path, resp, err)
		}
		c.Close()
	}
}

// TestMalformed: "the RFC's answer or a closed connection [...] and a counted reason", and others are not affected.
func TestMalformed(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) { n.publish(o, 80) })
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	for name, x := range map[string]struct {
		bytes  string
		status int
	}{
		"two lengths (RFC 9112 section 6.1)":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"a folded line (RFC 9112 section 5.2)": {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400},
		"no request":                           {"\x00\x01\x02\x03\r\n\r\n", 400},
		"too long (RFC 6585 section 5)":        {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 100_000) + "\r\n\r\n", 431},
	} {
		for _, at := range []string{a.at("240.0.0.1:80"), b.pub[80].Addr().String()} {
			c, err := net.Dial("tcp", at)
			must(t, err)
			c.SetDeadline(time.Now().Add(bound))
			go io.WriteString(c, x.bytes)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if at != a.at("240.0.0.1:80") && name == "no request" {
				c.Close() // nothing is declared there: it is TCP, and the application's affair
				continue
			}
			if err != nil || resp.StatusCode != x.status {
				t.Errorf("%s: %v %v", name, resp, err)
			}
			c.Close()
		}
	}
	a.mu.Lock()
	if a.refused["malformed-request"] != 4 {
		t.Errorf("counted %v", a.refused)
	}
	a.mu.Unlock()
	if resp, _ := get(t, client(t, a.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}
