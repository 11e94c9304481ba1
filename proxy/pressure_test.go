package proxy_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// TestSlowReader: of an answer that nobody reads two proxies hold their windows and no more, however large it is: a stream's window
// (256 KiB) each, and a buffer, of which the largest have 1 MiB.
func TestSlowReader(t *testing.T) {
	const size, bound = 64 << 20, 2 * (256<<10 + 1<<20)
	for name, proto := range map[string]traffic.Proto{"HTTP/1.1": traffic.HTTP1, "HTTP/2": traffic.HTTP2} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			app := startH2C(t, func(w http.ResponseWriter, _ *http.Request) {
				part := make([]byte, 16<<10)
				for sent.Load() < size {
					if _, err := w.Write(part); err != nil {
						return
					}
					sent.Add(int64(len(part)))
				}
			}, 0, nil)
			w := newWorld(t)
			b := w.start("callee-1", map[uint16]string{80: app}, nil)
			w.serve("callee", "240.0.0.1", 80, proto, b.endpoint(80))
			a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
			c := http.DefaultTransport.(*http.Transport).Clone()
			if proto == traffic.HTTP2 {
				c.Protocols = new(http.Protocols)
				c.Protocols.SetUnencryptedHTTP2(true)
				c.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
			}
			t.Cleanup(c.CloseIdleConnections)
			req, err := http.NewRequest(http.MethodGet, "http://"+a.at("240.0.0.1:80")+"/", nil)
			must(t, err)
			before := held()
			resp, err := c.RoundTrip(req)
			must(t, err)
			defer resp.Body.Close()
			last, still := int64(-1), 0
			eventually(t, "stands still", func() bool {
				if now := sent.Load(); now != last {
					last, still = now, 0
				}
				still++
				return still > 20
			})
			if more := held() - before; last >= size || more > bound {
				t.Errorf("%d bytes of %d were sent, and %d are held, at most %d may be", last, size, more, bound)
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("%d bytes came, %v", n, err)
			}
		})
	}
}
