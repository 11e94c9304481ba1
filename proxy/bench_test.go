package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/observe/stat"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// These benchmarks run callers, proxies and application in one process, on loopback, and the same against a named peer made of the
// standard library in turns with weft, so that both meet the same machine. Per operation they report, beside time and
// allocations (those of weft's turns, callers and application included, which allocate nothing but for gRPC):
//
//	peer-ns/op   the peer's time
//	ratio        weft's time to the peer's
//	cpu-ratio    weft's CPU to the peer's, user and system, less what callers and application need without any proxy
//	cpu-µs/op    weft's CPU, less the same
//
// The peer of a hop is an httputil.ReverseProxy, of a pair two with mutual TLS between them, over HTTP/1.1 (which is faster there
// than HTTP/2), or HTTP/2 for gRPC; that of TCP two relays by io.Copy with mutual TLS between them. It has no routing, policy or
// metrics; weft has its production chain: a route, retries, timeouts, authorization, metrics, and no access log.

// turn is how many operations weft, the peer, and nobody in between do in turns.
const turn = 2000

// caller does one operation after the other.
type caller func() error

// side is one way to the application.
type side struct {
	callers   []caller
	took, cpu time.Duration
}

// do has the callers make n operations in all.
func (s *side) do(b *testing.B, n int) {
	start, before := time.Now(), cpuTime()
	var wg sync.WaitGroup
	for i, call := range s.callers {
		mine := n / len(s.callers)
		if i < n%len(s.callers) {
			mine++
		}
		wg.Go(func() {
			for range mine {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.took += time.Since(start)
	s.cpu += cpuTime() - before
}

// cpuTime is the process's, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compare takes turns; open makes a caller of the way that leads through addr.
func compare(b *testing.B, callers int, weft, peer, direct string, open func(b *testing.B, addr string) caller) {
	b.Helper()
	sides := [3]side{}
	for i, addr := range []string{weft, peer, direct} {
		for range callers {
			sides[i].callers = append(sides[i].callers, open(b, addr))
		}
		sides[i].do(b, 10*callers+100)
		sides[i].took, sides[i].cpu = 0, 0
	}
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= turn {
		n := min(left, turn)
		sides[0].do(b, n)
		b.StopTimer()
		sides[1].do(b, n)
		sides[2].do(b, n)
		b.StartTimer()
	}
	b.StopTimer()
	w, p, d := sides[0], sides[1], sides[2]
	b.ReportMetric(float64(p.took)/float64(b.N), "peer-ns/op")
	b.ReportMetric(float64(w.took)/float64(p.took), "ratio")
	b.ReportMetric(float64(w.cpu-d.cpu)/float64(p.cpu-d.cpu), "cpu-ratio")
	b.ReportMetric(float64((w.cpu-d.cpu).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkHop is a published listener of the callee's proxy and the application.
func BenchmarkHop(b *testing.B) {
	w := newWorld(b) // first: it looks last for what is left over
	app := answers(b)
	_, callee := w.production(map[uint16]string{80: app})
	peer := serveHTTP(b, reverse("http", app, nil), nil)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("http1-1KB/callers=%d", n), func(b *testing.B) {
			compare(b, n, callee.pub[80].Addr().String(), peer, app, getter)
		})
	}
}

// BenchmarkPair is the caller's proxy, mutual TLS, the callee's proxy and the application.
func BenchmarkPair(b *testing.B) {
	b.Run("http1-1KB", func(b *testing.B) {
		w := newWorld(b)
		app := answers(b)
		from, _ := w.production(map[uint16]string{80: app})
		peer := peerPair(b, app, false)
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) { compare(b, n, from.at("240.0.0.1:80"), peer, app, getter) })
		}
	})
	b.Run("grpc-unary", func(b *testing.B) {
		w := newWorld(b)
		app := startEcho(b, echo.Options{GRPCPort: "0"}).GRPC.Addr().String()
		from, _ := w.production(map[uint16]string{70: app})
		peer := peerPair(b, app, true)
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) { compare(b, n, from.at("240.0.0.1:70"), peer, app, unary()) })
		}
	})
	b.Run("tcp-64B", func(b *testing.B) {
		w := newWorld(b)
		app := echoes(b)
		from, _ := w.production(map[uint16]string{90: app})
		server, client := mutual(b)
		inner := relay(b, func() (net.Conn, error) { return net.Dial("tcp", app) }, server)
		peer := relay(b, func() (net.Conn, error) { return tls.Dial("tcp", inner, client) }, nil)
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) { compare(b, n, from.at("240.0.0.1:90"), peer, app, echoer) })
		}
	})
}

// production is a caller and a callee with what is on in production.
func (w *world) production(app map[uint16]string) (from, to *node) {
	w.t.Helper()
	sink := func(o *proxy.Options) { o.Sink = observe.Sinks{&metrics.Registry{}, &stat.Table{}} }
	protos := map[uint16]traffic.Proto{80: traffic.HTTP1, 70: traffic.GRPC, 90: traffic.TCP}
	to = w.start("callee-1", app, func(n *node, o *proxy.Options) {
		sink(o)
		for port := range app {
			n.publish(o, port)
		}
		allow := authz.Tier{Rules: []authz.Rule{{Ref: ref("AuthorizationPolicy", "all")}}}
		deny := authz.Tier{Effect: authz.Deny, Rules: []authz.Rule{{Ref: ref("AuthorizationPolicy", "no-admin"), To: []match.Request{{Paths: []match.String{{Value: "/admin"}}}}}}}
		if app[90] != "" { // bytes that are not HTTP match every DENY that speaks of HTTP
			deny.Rules = nil
		}
		n.cfg.Inbound.Authz = []authz.Engine{{Tiers: []authz.Tier{deny, allow}}}
	})
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1)
	port := svc.Ports[0]
	svc.Ports = svc.Ports[:0]
	for number := range app {
		port.Number, port.Proto, port.Pools = number, protos[number], append(port.Pools[:0:0], port.Pools...)
		port.Pools[0].Endpoints = []traffic.Endpoint{to.endpoint(number)}
		port.Route = ref("VirtualService", "callee")
		backend := []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: svc.Host, Port: number}, Weight: 1}}}
		port.Rules = []mesh.Rule{
			{Rule: route.Rule{Ref: port.Route.At("http[0]"), Matches: []match.Request{{Headers: []match.Header{{Name: "end-user", Values: []match.String{{Value: "jason"}}}}}}}, Backends: backend},
			{Rule: route.Rule{Ref: port.Route.At("http[1]")}, Backends: backend, Timeout: &timeout.Policy{Ref: port.Route.At("http[1].timeout"), Limit: time.Minute},
				Retry: &retry.Policy{Ref: port.Route.At("http[1].retries"), Attempts: 2, Connect: true, Refused: true, Reset: true}}}
		svc.Ports = append(svc.Ports, port)
	}
	w.publish(svc)
	from = w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		sink(o)
		for port := range app {
			n.to(o, fmt.Sprintf("240.0.0.1:%d", port))
		}
	})
	return from, to
}

// accept serves the connections of a listener that ends with the benchmark.
func accept(b testing.TB, l net.Listener, serve func(net.Conn)) string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	b.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// answers is an application that answers each request without a body with 1 KB, and allocates nothing.
func answers(b testing.TB) string {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + string(bytes.Repeat([]byte("x"), 1024)))
	return accept(b, listen(b), func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := head(r); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// head reads the head of a message, and returns its content-length.
func head(r *bufio.Reader) (length int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return length, nil
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			length = 0
			for _, d := range bytes.TrimSpace(line[len(name):]) {
				length = length*10 + int(d-'0')
			}
		}
	}
}

func dial(b *testing.B, addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	must(b, err)
	b.Cleanup(func() { c.Close() })
	return c
}

// getter sends GETs by a connection of its own, and allocates nothing.
func getter(b *testing.B, addr string) caller {
	c := dial(b, addr)
	r := bufio.NewReaderSize(c, 8<<10)
	request := []byte("GET /api/items/7 HTTP/1.1\r\nHost: callee\r\nUser-Agent: bench\r\nAccept: */*\r\nX-Request-Id: 0123456789abcdef\r\n\r\n")
	return func() error {
		if _, err := c.Write(request); err != nil {
			return err
		}
		n, err := head(r)
		if err == nil && n != 1024 {
			err = errors.New("an answer of " + strconv.Itoa(n) + " bytes")
		}
		if err != nil {
			return err
		}
		_, err = r.Discard(n)
		return err
	}
}

// unary makes gRPC calls, all by one connection for each way.
func unary() func(b *testing.B, addr string) caller {
	conns := map[string]*grpc.ClientConn{}
	return func(b *testing.B, addr string) caller {
		if conns[addr] == nil {
			conns[addr] = grpcConn(b, addr)
		}
		return func() error {
			got, err := echo.Unary(context.Background(), conns[addr], "hello")
			if err == nil && got != "hello" {
				err = errors.New("the answer is " + got)
			}
			return err
		}
	}
}

// echoes is an application that sends back what it gets.
func echoes(b *testing.B) string {
	return accept(b, listen(b), func(c net.Conn) {
		p := make([]byte, 4<<10)
		for {
			n, err := c.Read(p)
			if err != nil {
				return
			}
			if _, err := c.Write(p[:n]); err != nil {
				return
			}
		}
	})
}

// echoer sends 64 bytes and waits for them.
func echoer(b *testing.B, addr string) caller {
	c := dial(b, addr)
	out, in := bytes.Repeat([]byte("e"), 64), make([]byte, 64)
	return func() error {
		if _, err := c.Write(out); err != nil {
			return err
		}
		_, err := io.ReadFull(c, in)
		return err
	}
}

// mutual is what the two ends of the peer's connections are configured with.
func mutual(b *testing.B) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer"}, DNSNames: []string{"peer"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(b, err)
	x, err := x509.ParseCertificate(der)
	must(b, err)
	roots := x509.NewCertPool()
	roots.AddCert(x)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return &tls.Config{Certificates: own, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13},
		&tls.Config{Certificates: own, RootCAs: roots, ServerName: "peer", MinVersion: tls.VersionTLS13}
}

// peerPair is two reverse proxies with mutual TLS between them.
func peerPair(b *testing.B, app string, h2 bool) string {
	server, client := mutual(b)
	inner, outer := reverse("http", app, nil), (*httputil.ReverseProxy)(nil)
	if h2 {
		clear := new(http.Protocols)
		clear.SetUnencryptedHTTP2(true)
		inner.Transport.(*http.Transport).Protocols = clear
		outer = reverse("https", serveHTTP(b, inner, server), client)
		outer.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	} else {
		server.NextProtos = []string{"http/1.1"}
		outer = reverse("https", serveHTTP(b, inner, server), client)
	}
	return serveHTTP(b, outer, nil)
}

// reverse is a reverse proxy to addr, with the settings that make it fast.
func reverse(scheme, addr string, conf *tls.Config) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: scheme, Host: addr})
			r.Out.Host = r.In.Host
		},
		Transport:     &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 256, MaxIdleConns: 256, DisableCompression: true},
		BufferPool:    new(slabs),
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

// slabs are the buffers of a reverse proxy.
type slabs struct{ sync.Pool }

func (s *slabs) Get() []byte {
	if p, ok := s.Pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (s *slabs) Put(p []byte) { s.Pool.Put(&p) }

// serveHTTP serves until the benchmark ends.
func serveHTTP(b *testing.B, h *httputil.ReverseProxy, conf *tls.Config) string {
	l := listen(b)
	protos := new(http.Protocols)
	protos.SetHTTP1(true)
	protos.SetHTTP2(conf == nil || conf.NextProtos == nil)
	protos.SetUnencryptedHTTP2(conf == nil)
	s := &http.Server{Handler: h, TLSConfig: conf, Protocols: protos, ErrorLog: log.New(io.Discard, "", 0)}
	var wg sync.WaitGroup
	wg.Go(func() {
		if conf != nil {
			_ = s.ServeTLS(l, "", "")
			return
		}
		_ = s.Serve(l)
	})
	b.Cleanup(func() {
		s.Close()
		h.Transport.(*http.Transport).CloseIdleConnections()
		wg.Wait()
	})
	return l.Addr().String()
}

// relay passes bytes on, both ways.
func relay(b *testing.B, to func() (net.Conn, error), conf *tls.Config) string {
	l := listen(b)
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	return accept(b, l, func(c net.Conn) {
		up, err := to()
		if err != nil {
			return
		}
		defer up.Close()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(up, c)
			up.Close()
		})
		_, _ = io.Copy(c, up)
		c.Close()
		wg.Wait()
	})
}
