package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// yielding is a caller's proxy and a callee's, with what else has the caller's listeners.
func yielding(t *testing.T, change func(*proxy.Options)) (w *world, a *node, other *net.TCPListener) {
	w = newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	w.serve("tcp", "240.0.0.2", 90, traffic.TCP, b.endpoint(90))
	a = w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80", "240.0.0.2:90")
		if change != nil {
			change(o)
		}
	})
	f, err := a.out[netip.MustParseAddrPort("240.0.0.1:80")].(*net.TCPListener).File()
	must(t, err)
	defer f.Close()
	l, err := net.FileListener(f)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return w, a, l.(*net.TCPListener)
}

// connect dials and returns once the proxy has accepted.
func (n *node) connect(t *testing.T, addr string, open func() float64) net.Conn {
	t.Helper()
	before := open()
	c, err := net.Dial("tcp", n.at(addr))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(bound)))
	eventually(t, "accepted", func() bool { return open() > before })
	return c
}

// post1 sends a request and returns the answer, with its body read.
func post1(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	_, err := io.WriteString(c, "POST /echo HTTP/1.1\r\nHost: callee\r\nContent-Length: 5\r\n\r\nhello")
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if string(b) != "hello" {
		t.Errorf("%s: %q", resp.Status, b)
	}
	return resp
}

// gauge reads one of a proxy's own.
func gauge(r *metrics.Registry, name string) func() float64 {
	return func() (v float64) {
		for line := range strings.Lines(string(r.Append(nil))) {
			if rest, ok := strings.CutPrefix(line, name+" "); ok {
				v, _ = strconv.ParseFloat(strings.TrimSpace(rest), 64)
			}
		}
		return v
	}
}

// TestYield: what was accepted is served once more, told that it ends, and nothing new is accepted.
func TestYield(t *testing.T) {
	var r metrics.Registry
	_, a, other := yielding(t, nil)
	of := proxy.Count(&r, &proxy.Options{})
	of(a.Proxy)
	open := gauge(&r, "weft_connections")
	used, silent, tcp := a.connect(t, "240.0.0.1:80", open), a.connect(t, "240.0.0.1:80", open), a.connect(t, "240.0.0.2:90", open)
	if resp := post1(t, used); resp.Close {
		t.Error("the first answer already announces the end")
	}
	io.WriteString(tcp, "one")
	must(t, read(tcp, "one"))
	a.Yield()
	if a.Ready() == nil {
		t.Error("ready after it has yielded")
	}
	for name, c := range map[string]net.Conn{"used": used, "silent": silent} {
		if resp := post1(t, c); !resp.Close {
			t.Errorf("%s: the answer does not announce the end: %v", name, resp.Header)
		}
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("%s: then %q, %v", name, b, err)
		}
	}
	next, err := net.Dial("tcp", a.at("240.0.0.1:80"))
	must(t, err)
	defer next.Close()
	got, err := other.Accept()
	must(t, err)
	got.Close()
	settled := make(chan struct{})
	go func() { defer close(settled); a.Settle(t.Context()) }()
	io.WriteString(tcp, "two")
	must(t, read(tcp, "two"))
	select {
	case <-settled:
		t.Error("settled, with a connection that is open")
	default:
	}
	tcp.Close()
	<-settled
}

// read takes what is wanted from c.
func read(c io.Reader, want string) error {
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// TestSettleCuts: at its end what lasts is cut, counted and recorded with its reason; what idles is closed and not counted.
func TestSettleCuts(t *testing.T) {
	var r metrics.Registry
	var cut atomic.Int64
	_, a, _ := yielding(t, func(o *proxy.Options) {
		o.Cut = func(why string) {
			if why != "upgrade-limit" {
				t.Errorf("cut because of %q", why)
			}
			cut.Add(1)
		}
	})
	of := proxy.Count(&r, &proxy.Options{})
	of(a.Proxy)
	open := gauge(&r, "weft_connections")
	idle, tcp := a.connect(t, "240.0.0.1:80", open), a.connect(t, "240.0.0.2:90", open)
	post1(t, idle)
	io.WriteString(tcp, "one")
	must(t, read(tcp, "one"))
	a.Yield()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	a.Settle(over)
	if n := cut.Load(); n != 1 {
		t.Errorf("%d connections are counted as cut", n)
	}
	for name, c := range map[string]net.Conn{"idle": idle, "TCP": tcp} {
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Errorf("%s: it is open", name)
		}
	}
	for _, x := range a.records.wait(t, 2) {
		if x.Proto == traffic.TCP && x.Reason() != decision.Outlasted {
			t.Errorf("the record says %v", x.Reason())
		}
	}
}

// TestState: another process serves with what one has, without a control plane and without asking for a certificate; with a state
// that it cannot use it does not begin.
func TestState(t *testing.T) {
	w, a, _ := yielding(t, func(o *proxy.Options) { o.Cache = filepath.Join(t.TempDir(), "cache") })
	get(t, client(t, a.at("240.0.0.1:80")), "http://callee/") // so that it knows the service
	state := a.State()
	w.mu.Lock()
	w.deaf = true
	w.mu.Unlock()
	b := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80")
		o.Certify, o.State = nil, state
	})
	if resp, body := get(t, client(t, b.at("240.0.0.1:80")), "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("%s: %s", resp.Status, body)
	}
	for name, bad := range map[string][]byte{"nonsense": {0xff, 0xff}, "half of it": state[:len(state)/2]} {
		o := b.opts
		o.State, o.Inbound, o.Outbound = bad, nil, nil
		if _, err := proxy.New(o); err == nil {
			t.Errorf("%s: a proxy begins with it", name)
		}
	}
}

// TestYieldedNames: queries that came before have their answers, and none is taken any more.
func TestYieldedNames(t *testing.T) {
	w := newWorld(t)
	upstream, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer upstream.Close()
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		n.dns = c
		o.DNS = append(o.DNS, c)
		o.Resolvers = []netip.AddrPort{upstream.LocalAddr().(*net.UDPAddr).AddrPort()}
	})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		ask(t, a.dns.LocalAddr().String(), "example.org.", dnsmessage.TypeA)
	}()
	b := make([]byte, 2000)
	n, from, err := upstream.ReadFrom(b)
	must(t, err)
	a.Yield()
	b[2] |= 0x80 // the query comes back as its own answer
	_, err = upstream.WriteTo(b[:n], from)
	must(t, err)
	<-answered
	f, err := a.dns.(*net.UDPConn).File()
	must(t, err)
	defer f.Close()
	other, err := net.FilePacketConn(f)
	must(t, err)
	defer other.Close()
	must(t, other.SetReadDeadline(time.Now().Add(bound)))
	c, err := net.Dial("udp", a.dns.LocalAddr().String())
	must(t, err)
	defer c.Close()
	_, err = c.Write(b[:n])
	must(t, err)
	if m, _, err := other.ReadFrom(b); err != nil || m != n {
		t.Errorf("who has the socket too reads %d bytes, %v", m, err)
	}
}
