package h2

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/weft-mesh/weft/traffic"
)

// answer answers 1 KB out of memory.
type answer struct{ traffic.Bytes }

var kilobyte = []byte(strings.Repeat("x", 1024))

func serveKilobyte(st *Stream) {
	c := st.Call()
	readAllInto(c.Body)
	c.Response.Status = 200
	c.Response.Header.Receive("content-type", "text/plain")
	c.Response.Header.Receive("content-length", "1024")
	c.Response.Header.Receive("server", "bench")
	c.Response.Body = &answer{traffic.Bytes{B: kilobyte}}
	st.Respond()
	c.Finish(time.Time{})
}

func readAllInto(b traffic.Body) (n int) {
	for b != nil {
		p, err := b.Next()
		n += len(p)
		if err != nil {
			break
		}
	}
	return n
}

// BenchmarkTLS is the same under TLS 1.3.
func BenchmarkTLS(b *testing.B) {
	c, s := tlsPair(b)
	srv := NewServer(s, ServerOptions{}, serveKilobyte)
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	p := &pair{Client: NewClient(c, ClientOptions{})}
	<-p.ready
	b.ReportAllocs()
	b.ResetTimer()
	spread(b, 64, func() func() error {
		c := &traffic.Call{}
		return func() error { return benchCall(c, p, nil) }
	})
	b.StopTimer()
	p.Client.Close()
	srv.Close()
	<-served
}

func benchCall(c *traffic.Call, p *pair, body *traffic.Bytes) error {
	c.Begin(nil, benchConn)
	c.Proto, c.Method, c.Scheme, c.Authority, c.Path = traffic.HTTP2, "GET", "http", "reviews.default.svc.cluster.local:9080", "/reviews/7"
	c.Header.Receive("user-agent", "bench/1.0")
	c.Header.Receive("accept", "*/*")
	c.Header.Receive("x-request-id", "5f2f1e70-0c52-9a1c-8a3f-3f1c1d6f7f10")
	if body != nil {
		c.Method, body.B = "POST", kilobyte
		c.Body = body
	}
	if err := p.RoundTrip(c); err != nil {
		return err
	}
	readAllInto(c.Response.Body)
	if c.Response.Body != nil {
		c.Response.Body.Close(nil)
	}
	c.Finish(time.Time{})
	return nil
}

var benchConn = &traffic.Conn{}

// BenchmarkRoundTrip is a call and 1 KB back, Client and Server and all, over loopback TCP.
func BenchmarkRoundTrip(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, post := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/body=%v", callers, post), func(b *testing.B) {
				p := newPair(b, ClientOptions{}, ServerOptions{}, serveKilobyte)
				<-p.ready
				b.ReportAllocs()
				b.ResetTimer()
				spread(b, callers, func() func() error {
					c, body := &traffic.Call{}, &traffic.Bytes{}
					if !post {
						body = nil
					}
					return func() error { return benchCall(c, p, body) }
				})
				b.StopTimer()
			})
		}
	}
}

// spread runs b.N rounds on callers goroutines.
func spread(b *testing.B, callers int, caller func() func() error) {
	var wg sync.WaitGroup
	work := make(chan int, callers)
	for range callers {
		wg.Go(func() {
			call := caller()
			for n := range work {
				for range n {
					if err := call(); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	const batch = 16
	for n := b.N; n > 0; n -= batch {
		work <- min(n, batch)
	}
	close(work)
	wg.Wait()
}

// BenchmarkOracle is the same through net/http and x/net/http2, for the ratio.
func BenchmarkOracle(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c, s := tcpPair(b)
			srv := &http2.Server{}
			go srv.ServeConn(s, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("content-type", "text/plain")
				w.Write(kilobyte)
			})})
			tr := &http2.Transport{AllowHTTP: true, DialTLS: func(string, string, *tls.Config) (net.Conn, error) { return c, nil }}
			defer tr.CloseIdleConnections()
			b.ReportAllocs()
			b.ResetTimer()
			spread(b, callers, func() func() error {
				buf := make([]byte, 4096)
				return func() error {
					req, _ := http.NewRequest("GET", "http://reviews.default.svc.cluster.local:9080/reviews/7", nil)
					req.Header.Set("x-request-id", "5f2f1e70-0c52-9a1c-8a3f-3f1c1d6f7f10")
					resp, err := tr.RoundTrip(req)
					if err != nil {
						return err
					}
					for {
						if _, err := resp.Body.Read(buf); err != nil {
							break
						}
					}
					return resp.Body.Close()
				}
			})
		})
	}
}

// BenchmarkBulk moves 16 MiB down one stream.
func BenchmarkBulk(b *testing.B) {
	const size = 16 << 20
	p := newPair(b, ClientOptions{}, ServerOptions{}, func(st *Stream) {
		st.Call().Response.Status = 200
		st.Call().Response.Body = &source{left: size, piece: 64 << 10}
		st.Respond()
		st.Call().Finish(time.Time{})
	})
	b.ReportAllocs()
	b.SetBytes(size)
	for b.Loop() {
		c := newCall("GET", "/", nil)
		if err := p.RoundTrip(c); err != nil {
			b.Fatal(err)
		}
		if n := readAllInto(c.Response.Body); n != size {
			b.Fatal(n)
		}
		c.Finish(time.Time{})
	}
}

// BenchmarkBulkOracle is the same through net/http and x/net/http2.
func BenchmarkBulkOracle(b *testing.B) {
	const size = 16 << 20
	chunk := make([]byte, 64<<10)
	c, s := tcpPair(b)
	srv := &http2.Server{}
	go srv.ServeConn(s, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range size / len(chunk) {
			w.Write(chunk)
		}
	})})
	tr := &http2.Transport{AllowHTTP: true, DialTLS: func(string, string, *tls.Config) (net.Conn, error) { return c, nil }}
	defer tr.CloseIdleConnections()
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	b.SetBytes(size)
	for b.Loop() {
		req, _ := http.NewRequest("GET", "http://a/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := resp.Body.Read(buf); err != nil {
				break
			}
		}
		resp.Body.Close()
	}
}
