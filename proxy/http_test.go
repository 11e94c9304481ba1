package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/examples/bookinfo/serve"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// startEcho runs the test application.
func startEcho(t testing.TB, o echo.Options) *echo.Server {
	t.Helper()
	o.Host = "127.0.0.1"
	if o.HTTPPort == "" && o.TCPPort == "" && o.GRPCPort == "" {
		o.HTTPPort, o.TCPPort, o.GRPCPort = "0", "0", "0"
	}
	s, err := echo.Listen(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

// apps are the ports of a workload that runs the test application: 80 HTTP, 90 TCP, 70 gRPC.
func apps(s *echo.Server) map[uint16]string {
	out := map[uint16]string{}
	for port, l := range map[uint16]net.Listener{80: s.HTTP, 90: s.TCP, 70: s.GRPC} {
		if l != nil {
			out[port] = l.Addr().String()
		}
	}
	return out
}

// client is an application's own: all its connections go to one address.
func client(t testing.TB, addr string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: bound}
}

func get(t testing.TB, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	must(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(b)
}

func answerOf(t testing.TB, body string) (a echo.Answer) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return a
}

// TestForgedTrailers: what identity headers may not say, trailers may not either; an application may merge both (RFC 9110 section
// 6.5.1).
func TestForgedTrailers(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) { n.publish(o, 80) })
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	for _, at := range []string{a.at("240.0.0.1:80"), b.pub[80].Addr().String()} {
		c, err := net.Dial("tcp", at)
		must(t, err)
		defer c.Close()
		fmt.Fprint(c, "POST /x HTTP/1.1\r\nhost: callee\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"+
			"x-forwarded-client-cert: forged\r\nweft-port: 1\r\nchecksum: 42\r\n\r\n")
		got, err := io.ReadAll(c)
		if s := string(got); err != nil || strings.Contains(s, "forged") || strings.Contains(strings.ToLower(s), "weft-port") || !strings.Contains(s, `"42"`) {
			t.Errorf("%v\n%s", err, s)
		}
	}
}

func TestOneCall(t *testing.T) {
	w := newWorld(t)
	s := startEcho(t, echo.Options{Instance: serve.Instance{Service: "reviews", Version: "v1"}})
	b := w.start("reviews-1", apps(s), nil)
	w.serve("reviews", "240.0.0.1", 9080, traffic.HTTP1, b.endpoint(80))
	a := w.start("productpage-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:9080") })

	resp, body := get(t, client(t, a.at("240.0.0.1:9080")), "http://reviews:9080/reviews/7?x=1", "end-user", "jason", "weft-port", "1", "x-forwarded-client-cert", "forged")
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	got := answerOf(t, body)
	if got.Proto != "HTTP/1.1" || got.Target != "/reviews/7?x=1" || got.Host != "reviews:9080" || got.Headers.Get("end-user") != "jason" {
		t.Errorf("the application saw %+v", got)
	}
	if xfcc := got.Headers.Get("x-forwarded-client-cert"); xfcc != "By="+b.id.String()+";URI="+a.id.String() || got.Headers.Get("weft-port") != "" {
		t.Errorf("headers %v", got.Headers)
	}
	for _, n := range []*node{a, b} {
		r := n.records.wait(t, 1)[0]
		if r.Status != 200 || !r.Secure || r.From.ID != a.id || r.To.ID != b.id || r.From.Workload != "default/productpage-1" || r.To.Workload != "default/reviews-1" ||
			r.Service != host("reviews") || r.Path != "/reviews/7" || r.RequestID == "" || r.Received != int64(len(body)) || r.Head <= 0 || r.Took < r.Head {
			t.Errorf("%v: %+v", n.name, r)
		}
		if want := map[*node]observe.Reporter{a: observe.Source, b: observe.Destination}[n]; r.Reporter != want {
			t.Errorf("%s reports as %v", n.name, r.Reporter)
		}
	}
}
