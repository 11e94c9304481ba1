package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/examples/bookinfo/serve"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// pair is a caller and a callee that runs the test application; the service's three ports are declared as protos says, by number.
func pair(t testing.TB, o echo.Options, protos map[uint16]traffic.Proto) (w *world, a, b *node) {
	t.Helper()
	w = newWorld(t)
	o.Instance = serve.Instance{Service: "callee"}
	b = w.start("callee-1", apps(startEcho(t, o)), nil)
	svc := w.serve("callee", "240.0.0.1", 80, protos[80], b.endpoint(80))
	for _, port := range []uint16{70, 90} {
		p := svc.Ports[0]
		p.Number, p.Proto = port, protos[port]
		p.Pools = append(p.Pools[:0:0], p.Pools[0])
		p.Pools[0].Endpoints = []traffic.Endpoint{b.endpoint(port)}
		svc.Ports = append(svc.Ports, p)
	}
	w.publish(svc)
	a = w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80", "240.0.0.1:70", "240.0.0.1:90") })
	return w, a, b
}

var declared = map[uint16]traffic.Proto{80: traffic.HTTP1, 70: traffic.GRPC, 90: traffic.TCP}
var undeclared = map[uint16]traffic.Proto{80: traffic.Detect, 70: traffic.Detect, 90: traffic.Detect}

// both runs a test with declared ports and with ports that say nothing.
func both(t *testing.T, o echo.Options, f func(t *testing.T, w *world, a, b *node)) {
	for name, protos := range map[string]map[uint16]traffic.Proto{"declared": declared, "undeclared": undeclared} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t, o, protos)
			f(t, w, a, b)
		})
	}
}

func TestHTTP2(t *testing.T) {
	both(t, echo.Options{}, func(t *testing.T, _ *world, a, b *node) {
		c := client(t, a.at("240.0.0.1:80"))
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		c.Transport.(*http.Transport).Protocols = p
		resp, body := get(t, c, "http://callee/x")
		if got := answerOf(t, body); resp.ProtoMajor != 2 || got.Proto != "HTTP/2.0" || got.Host != "callee" {
			t.Errorf("%s, the application saw %+v", resp.Proto, got)
		}
		if r := b.records.wait(t, 1)[0]; r.Proto != traffic.HTTP2 {
			t.Errorf("%+v", r)
		}
	})
}

func TestRequestBodies(t *testing.T) {
	_, a, b := pair(t, echo.Options{}, declared)
	c := client(t, a.at("240.0.0.1:80"))
	big := make([]byte, 3<<20)
	rand.Read(big)
	for name, body := range map[string][]byte{"none": {}, "small": []byte("hello"), "large": big} {
		for _, sized := range []bool{true, false} {
			var r io.Reader = bytes.NewReader(body)
			if !sized {
				r = io.MultiReader(r) // net/http cannot tell how long it is
			}
			resp, err := c.Post("http://callee/echo", "text/plain", r)
			must(t, err)
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s, sized %v: %d bytes back of %d, %v", name, sized, len(got), len(body), err)
			}
		}
	}
	for _, n := range []*node{a, b} {
		var sent, received int64
		for _, r := range n.records.wait(t, 6) {
			sent += r.Sent
			received += r.Received
		}
		if want := int64(2 * (5 + 3<<20)); sent != want || received != want {
			t.Errorf("%s counts %d sent and %d received, want %d", n.name, sent, received, want)
		}
	}
}

func grpcConn(t testing.TB, addr string, more ...grpc.DialOption) *grpc.ClientConn {
	c, err := grpc.NewClient("passthrough:///"+addr, append(more, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("callee:70"))...)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGRPC(t *testing.T) {
	both(t, echo.Options{}, func(t *testing.T, _ *world, a, b *node) {
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		c := grpcConn(t, a.at("240.0.0.1:70"))
		var trailer metadata.MD
		got, err := echo.Unary(metadata.AppendToOutgoingContext(ctx, echo.AskTrailer, "t"), c, "hello", grpc.Trailer(&trailer))
		if err != nil || got != "hello" || len(trailer.Get(echo.AskTrailer)) != 1 {
			t.Errorf("unary: %q %v, trailers %v", got, err, trailer)
		}
		_, err = echo.Unary(metadata.AppendToOutgoingContext(ctx, echo.AskStatus, "9", echo.AskMessage, "not now: 100%"), c, "x")
		if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "not now: 100%" {
			t.Errorf("status: %v", err)
		}
		stream, err := echo.BidiStream(ctx, c)
		must(t, err)
		for i := range 3 {
			must(t, stream.Send(wrapperspb.String(fmt.Sprint(i))))
			m, err := stream.Recv()
			if err != nil || m.Value != fmt.Sprint(i) {
				t.Fatalf("bidi: %v %v", m, err)
			}
		}
		must(t, stream.CloseSend())
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("bidi ends with %v", err)
		}
		down, err := echo.ServerStream(ctx, c, "s")
		must(t, err)
		for range 3 {
			if _, err := down.Recv(); err != nil {
				t.Error("server stream:", err)
			}
		}
		if _, err := down.Recv(); err != io.EOF {
			t.Errorf("server stream ends with %v", err)
		}
		for _, n := range []*node{a, b} {
			// A caller that takes a moment to speak leaves another record where it declares nothing, see TestSlowHTTP2.
			all := n.records.of(t, 4, func(r *observe.Record) bool { return r.Proto == traffic.GRPC })
			slices.SortFunc(all, func(x, y observe.Record) int { return x.Start.Compare(y.Start) })
			for i, r := range all {
				if want := []string{"0", "9", "0", "0"}[i]; r.GRPC != want || r.Proto != traffic.GRPC || r.Failed {
					t.Errorf("%s: %+v", n.name, r)
				}
			}
		}
	})
}

// TestWebSocket: the handshake and its headers reach the application as HTTP/1.1, the bytes both ways as they are.
func TestWebSocket(t *testing.T) {
	both(t, echo.Options{}, func(t *testing.T, _ *world, a, b *node) {
		c, err := net.Dial("tcp", a.at("240.0.0.1:80"))
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(bound))
		io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: callee\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		must(t, err)
		// RFC 6455 section 1.3: "the server would [...] return [...] s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
		if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("%v", resp)
		}
		c.Write([]byte{0x81, 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'}) // a masked text frame
		var frame [7]byte
		if _, err := io.ReadFull(r, frame[:]); err != nil || string(frame[2:]) != "hello" {
			t.Fatalf("%q %v", frame, err)
		}
		c.Close()
		for _, n := range []*node{a, b} {
			if r := n.records.wait(t, 1)[0]; r.Status != 101 || r.Sent != 11 || r.Received < 7 {
				t.Errorf("%s: %+v", n.name, r)
			}
		}
	})
}

func TestTCP(t *testing.T) {
	both(t, echo.Options{}, func(t *testing.T, _ *world, a, b *node) {
		c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(bound))
		io.WriteString(c, "one\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || line != "one\n" {
			t.Fatalf("%q %v", line, err)
		}
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() { c.Write(big); c.(*net.TCPConn).CloseWrite() }()
		got, err := io.ReadAll(c) // the caller's half is closed; what the callee sends still comes
		if err != nil || !bytes.Equal(got, big) {
			t.Fatalf("%d bytes back, %v", len(got), err)
		}
		for _, n := range []*node{a, b} {
			if r := n.records.wait(t, 1)[0]; r.Status != 200 || r.Sent != 4+1<<20 || r.Received != 4+1<<20 || r.Proto != traffic.TCP || !r.Secure || r.Service != host("callee") {
				t.Errorf("%s: %+v", n.name, r)
			}
		}
	})
}

// TestServerFirst: "the upstream is dialled at once, whoever speaks first decides, and the answer is remembered per port, so no
// server-first protocol hangs" (DESIGN section 5).
func TestServerFirst(t *testing.T) {
	both(t, echo.Options{TCPPort: "0", TCPBanner: "220 ready"}, func(t *testing.T, _ *world, a, b *node) {
		for range 3 {
			c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
			must(t, err)
			c.SetDeadline(time.Now().Add(bound))
			r := bufio.NewReader(c)
			if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ready") {
				t.Fatalf("%q %v", line, err)
			}
			io.WriteString(c, "GET / HTTP/1.1\n") // what looks like HTTP is none once the callee has spoken
			if line, err := r.ReadString('\n'); err != nil || line != "GET / HTTP/1.1\n" {
				t.Fatalf("%q %v", line, err)
			}
			c.Close()
		}
		a.records.wait(t, 3) // what they have shown is remembered
		c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(bound))
		io.WriteString(c, "GET / HTTP/1.1\n") // before the callee has spoken, who is known to be the first here
		r := bufio.NewReader(c)
		for _, want := range []string{"220 ready", "GET / HTTP/1.1"} {
			if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
				t.Fatalf("%q %v, want %q", line, err, want)
			}
		}
		c.Close()
		for _, n := range []*node{a, b} {
			if r := n.records.wait(t, 4); len(r) != 4 || r[0].Proto != traffic.TCP || r[3].Proto != traffic.TCP {
				t.Errorf("%s: %+v", n.name, r)
			}
		}
	})
}

// TestSlowSpeaker: a caller that is silent for a while and then speaks HTTP is served as one, and the try leaves no trace.
func TestSlowSpeaker(t *testing.T) {
	_, a, b := pair(t, echo.Options{}, undeclared)
	for _, text := range []string{"GET /one HTTP/1.1\r\nHost: callee\r\nConnection: close\r\n\r\n", "GE|T /two HTTP/1.1\r\nHost: callee\r\nConnection: close\r\n\r\n"} {
		c, err := net.Dial("tcp", a.at("240.0.0.1:80"))
		must(t, err)
		c.SetDeadline(time.Now().Add(bound))
		for _, part := range strings.Split(text, "|") {
			time.Sleep(100 * time.Millisecond)
			io.WriteString(c, part)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		c.Close()
	}
	time.Sleep(100 * time.Millisecond)
	for _, n := range []*node{a, b} {
		if r := n.records.wait(t, 2); len(r) != 2 || r[0].Proto != traffic.HTTP1 || r[0].Status != 200 {
			t.Errorf("%s: %+v", n.name, r)
		}
	}
}

// tapped is a connection that tells when something has come by it.
type tapped struct {
	net.Conn
	said *atomic.Bool
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.said.Store(true)
	}
	return n, err
}

func (c *tapped) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// TestSlowHTTP2: a caller of HTTP/2 that is silent for a while finds a server that has said its settings meanwhile. It is served all the
// same, and the next one too.
func TestSlowHTTP2(t *testing.T) {
	var said atomic.Bool
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(_ *node, o *proxy.Options) {
		dial := o.DialApp
		o.DialApp = func(ctx context.Context, port uint16, caller netip.Addr) (net.Conn, error) {
			c, err := dial(ctx, port, caller)
			if err != nil {
				return nil, err
			}
			return &tapped{c, &said}, nil
		}
	})
	w.serve("callee", "240.0.0.1", 70, traffic.Detect, b.endpoint(70))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:70") })
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for range 2 {
		c := grpcConn(t, a.at("240.0.0.1:70"), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			eventually(t, "called because the caller is silent", said.Load)
			time.Sleep(100 * time.Millisecond) // longer than a caller is waited for
			return nc, err
		}))
		if got, err := echo.Unary(ctx, c, "hello"); err != nil || got != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if r := a.records.wait(t, 2); len(r) != 2 || r[0].Proto != traffic.GRPC || r[1].Proto != traffic.GRPC {
		t.Errorf("the caller's: %+v", r)
	}
	// The callee's proxy saw a connection by which its application had said something: that it keeps.
	if r := b.records.wait(t, 3); len(r) != 3 || r[0].Proto != traffic.TCP || r[1].Proto != traffic.GRPC || r[2].Proto != traffic.GRPC {
		t.Errorf("the callee's: %+v", r)
	}
}

// TestPublished: outside callers reach a declared port in the clear, and nothing that they say of forwarding counts.
func TestPublished(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) { n.publish(o, 80, 90) })
	_, body := get(t, client(t, b.pub[80].Addr().String()), "http://shop.example/", "x-forwarded-for", "1.2.3.4", "x-envoy-retry-on", "5xx", "l5d-x", "y",
		"x-forwarded-client-cert", "URI=spiffe://x", "weft-port", "90")
	h := answerOf(t, body).Headers
	if h.Get("x-forwarded-for") != "127.0.0.1" || h.Get("x-forwarded-proto") != "http" || h.Get("x-request-id") == "" {
		t.Errorf("%v", h)
	}
	for _, name := range []string{"x-envoy-retry-on", "l5d-x", "x-forwarded-client-cert", "weft-port"} {
		if h.Get(name) != "" {
			t.Errorf("%s passed", name)
		}
	}
	if r := b.records.wait(t, 1)[0]; r.Secure || !r.From.ID.IsZero() || r.Status != 200 {
		t.Errorf("%+v", r)
	}
	c, err := net.Dial("tcp", b.pub[90].Addr().String())
	must(t, err)
	defer c.Close()
	io.WriteString(c, "hello\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

// TestManyCallsShareLinks: pools are keyed by identities; calls of many connections travel on few.
func TestManyCallsShareLinks(t *testing.T) {
	_, a, b := pair(t, echo.Options{}, declared)
	c := client(t, a.at("240.0.0.1:80"))
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 20 {
				resp, err := c.Get("http://callee/bytes?n=2000")
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, r := range b.records.wait(t, 64*20) {
		seen[r.From.Addr.String()] = true
	}
	if len(seen) > 2 {
		t.Errorf("%d connections between the two proxies", len(seen))
	}
}

// TestUpgradeIgnored: "A server MAY ignore a received Upgrade header field" (RFC 9110 section 7.8); its answer is the caller's.
func TestUpgradeIgnored(t *testing.T) {
	_, a, b := pair(t, echo.Options{}, declared)
	for _, upgrade := range []string{"websocket", "h2c"} {
		c, err := net.Dial("tcp", a.at("240.0.0.1:80"))
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(bound))
		for range 2 { // the connection goes on after it
			fmt.Fprintf(c, "GET /plain HTTP/1.1\r\nHost: callee\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", upgrade)
		}
		r := bufio.NewReader(c)
		for range 2 {
			resp, err := http.ReadResponse(r, nil)
			must(t, err)
			body, err := io.ReadAll(resp.Body)
			if got := answerOf(t, string(body)); err != nil || resp.StatusCode != 200 || got.Path != "/plain" || resp.Header.Get("weft-status") != "" || got.Headers.Get("http2-settings") != "" {
				t.Errorf("%s: %d %+v", upgrade, resp.StatusCode, got)
			}
		}
	}
	for _, n := range []*node{a, b} {
		for _, r := range n.records.wait(t, 4) {
			if r.Status != 200 || r.Method != "GET" {
				t.Errorf("%s: %+v", n.name, r)
			}
		}
	}
}

// TestConnect: a CONNECT to an application that is a proxy itself is its own affair.
func TestConnect(t *testing.T) {
	w := newWorld(t)
	l := listen(t)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			if req, err := http.ReadRequest(r); err == nil && req.Method == "CONNECT" && req.Host == "elsewhere:443" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				io.Copy(c, r)
			}
			c.Close()
		}
	}()
	b := w.start("callee-1", map[uint16]string{80: l.Addr().String()}, nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c, err := net.Dial("tcp", a.at("240.0.0.1:80"))
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(bound))
	io.WriteString(c, "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	must(t, err)
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	io.WriteString(c, "through\n")
	if line, err := r.ReadString('\n'); line != "through\n" {
		t.Errorf("%q %v", line, err)
	}
}

// TestMirror: a copy goes to its own target, with headers of its own.
func TestMirror(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	s := startEcho(t, echo.Options{})
	m := w.start("shadow-1", map[uint16]string{8080: s.HTTP.Addr().String()}, nil)
	w.serve("shadow", "240.0.0.2", 90, traffic.HTTP1, m.endpoint(8080))
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	svc.Ports[0].Route = ref("VirtualService", "mirror")
	svc.Ports[0].Rules = []mesh.Rule{{Rule: route.Rule{Ref: svc.Ports[0].Route.At("http[0]")},
		Mirrors:  []mirror.Policy{{Ref: svc.Ports[0].Route.At("http[0].mirror"), Target: traffic.Target{Service: host("shadow"), Port: 90}, Share: mirror.All}},
		Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: svc.Host, Port: 80}, Weight: 1}}}}}
	w.publish(svc)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	resp, err := client(t, a.at("240.0.0.1:80")).Post("http://callee/x", "text/plain", strings.NewReader("body"))
	must(t, err)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if h := answerOf(t, string(body)).Headers; resp.StatusCode != 200 || len(h["X-Forwarded-For"]) != 1 {
		t.Errorf("%d %v", resp.StatusCode, h)
	}
	r := m.records.wait(t, 1)[0]
	if r.Status != 200 || r.Port != 8080 || r.Path != "/x" || r.Sent != 4 || !r.Secure {
		t.Errorf("%+v", r)
	}
	if n := len(a.records.wait(t, 1)); n != 1 {
		t.Errorf("%d records at the caller", n)
	}
}
