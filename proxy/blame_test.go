package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// TestBlame: an endpoint is not left out for what a caller can bring about at will, by not sending its request, or by having this proxy run
// out of descriptors. It is for being slow itself.
func TestBlame(t *testing.T) {
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	port := &svc.Ports[0]
	port.Route = ref("VirtualService", "slow")
	backends := []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: svc.Host, Port: 80}, Weight: 1}}}
	slow := []match.Request{{Paths: []match.String{{Kind: match.Prefix, Value: "/delay"}}}}
	port.Rules = []mesh.Rule{{Rule: route.Rule{Ref: port.Route.At("http[0]"), Matches: slow}, Timeout: &timeout.Policy{Ref: port.Route.At("http[0].timeout"), Limit: 100 * time.Millisecond},
		Backends: backends}, {Rule: route.Rule{Ref: port.Route.At("http[1]")}, Backends: backends}}
	port.Pools[0].Policy.Outlier = &outlier.Policy{Ref: ref("DestinationRule", "out"), Consecutive: 1000}
	w.publish(svc)
	var short atomic.Bool
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80")
		o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if short.Load() {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to.String())
		}
	})
	failures := func() (n uint32) {
		for _, all := range a.Learnt() {
			for _, e := range all {
				n += e.Outlier.Failures
			}
		}
		return n
	}
	c := client(t, a.at("240.0.0.1:80"))
	calls := 0
	call := func(what, path string, body io.Reader, status int, blamed uint32) {
		t.Helper()
		before := failures()
		method := "GET"
		if body != nil {
			method = "POST"
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://callee"+path, body)
		must(t, err)
		resp, err := c.Do(r)
		must(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		calls++
		a.records.wait(t, calls)
		if n := failures() - before; resp.StatusCode != status || n != blamed {
			t.Errorf("%s: %d, and the endpoint failed %d times", what, resp.StatusCode, n)
		}
	}
	short.Store(true)
	call("no descriptor", "/", nil, 503, 0)
	short.Store(false)
	never, body := io.Pipe()
	defer body.Close()
	go io.WriteString(body, "one\n")
	call("a request that does not end", "/delay?ms=3000", never, 504, 0)
	call("an answer that does not come", "/delay?ms=3000", nil, 504, 1)
}
