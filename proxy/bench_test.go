package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// answer is an application that costs next to nothing: the same 1 KB to each request without a body.
func answer(b *testing.B) net.Listener {
	l := listen(b)
	b.Cleanup(func() { l.Close() })
	body := make([]byte, 1024)
	resp := append([]byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1024\r\n\r\n"), body...)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 {
						c.Write(resp)
					}
				}
			}()
		}
	}()
	return l
}

// BenchmarkPair is one request through both proxies, with the application and the caller in the same process.
func BenchmarkPair(b *testing.B) {
	w := newWorld(b)
	app := answer(b)
	callee := w.start("callee-1", map[uint16]string{80: app.Addr().String()}, func(_ *node, o *proxy.Options) { o.Sink = nil })
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, callee.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80"); o.Sink = nil })
	request := []byte("GET /x HTTP/1.1\r\nhost: callee\r\nuser-agent: bench\r\nx-request-id: 1\r\n\r\n")
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(max(callers/2, 1))
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", a.at("240.0.0.1:80"))
				must(b, err)
				defer c.Close()
				r := bufio.NewReader(c)
				for pb.Next() {
					c.Write(request)
					resp, err := http.ReadResponse(r, nil)
					if err != nil || resp.StatusCode != 200 {
						b.Fatal(resp, err)
					}
					io.Copy(io.Discard, resp.Body)
				}
			})
		})
	}
}
