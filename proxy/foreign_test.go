package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// ztunnel is a proxy that knows HBONE alone: it answers CONNECT, with the bytes that come. It tells asked of each request.
func ztunnel(t *testing.T, n *node, asked chan<- *http.Request) netip.AddrPort {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Clone(context.Background())
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		b := make([]byte, 1000)
		for {
			n, err := r.Body.Read(b)
			_, _ = w.Write(b[:n])
			if _ = http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
	})
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				c, _, err := n.store.Server(context.Background(), raw, "h2")
				if err != nil {
					return
				}
				defer c.Close()
				(&xhttp2.Server{}).ServeConn(c, &xhttp2.ServeConnOpts{Handler: h})
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestTunnelToForeignProxy: what is no HTTP goes to a proxy that is not weft's as HBONE has it: a CONNECT to the application's address,
// by mutual TLS under ALPN h2. A request, which such a proxy takes in a tunnel only, is refused with that reason.
func TestTunnelToForeignProxy(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	asked := make(chan *http.Request, 10)
	at := ztunnel(t, b, asked)
	stream, request := b.endpoint(90), b.endpoint(80)
	stream.Tunnel, request.Tunnel = at, at
	w.serve("stream", "240.0.0.1", 90, traffic.TCP, stream)
	w.serve("request", "240.0.0.2", 80, traffic.HTTP1, request)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:90", "240.0.0.2:80") })

	c, err := net.Dial("tcp", a.at("240.0.0.1:90"))
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(bound))
	io.WriteString(c, "hello\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
		t.Fatalf("%q %v", line, err)
	}
	if r := <-asked; r.Method != "CONNECT" || r.Host != stream.Addr.String() {
		t.Errorf("%s %s", r.Method, r.Host)
	}
	c.Close()
	if r := a.records.wait(t, 1)[0]; r.Status != 200 || !r.Secure || r.To.ID != b.id || r.Sent != 6 || r.Received != 6 {
		t.Errorf("%+v", r)
	}
	resp, body := get(t, client(t, a.at("240.0.0.2:80")), "http://request/")
	if resp.StatusCode != 503 || !strings.Contains(a.records.wait(t, 2)[1].Err.Error(), "takes tunnels only") || len(asked) > 0 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
