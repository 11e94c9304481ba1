package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// startH2C runs an application that speaks HTTP/2 in the clear, and HTTP/1.1. It takes most streams of one connection; 0: net/http's 250.
func startH2C(t *testing.T, h http.HandlerFunc, most int, accepted func(net.Conn)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: most}
	s.Config.ConnState = func(c net.Conn, st http.ConnState) {
		if st == http.StateNew && accepted != nil {
			accepted(c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// h2c is a client that speaks HTTP/2 in the clear.
func h2c(t *testing.T) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: bound}
}

// holder opens as many streams as a connection may have, and lets none of them go on.
func holder(t *testing.T, at, method, path string, settings ...http2.Setting) {
	t.Helper()
	nc, err := net.Dial("tcp", at)
	must(t, err)
	t.Cleanup(func() { nc.Close() })
	_, err = io.WriteString(nc, http2.ClientPreface)
	must(t, err)
	fr := http2.NewFramer(nc, nc)
	must(t, fr.WriteSettings(settings...))
	var block strings.Builder
	enc := hpack.NewEncoder(&block)
	for id := uint32(1); id < 500; id += 2 {
		block.Reset()
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path}, {Name: ":authority", Value: "a"}} {
			must(t, enc.WriteField(f))
		}
		must(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: method == "GET"}))
	}
	go func() { _, _ = io.Copy(io.Discard, nc) }()
}

// TestHeldStreams: callers that hold all the streams that they may have, and send or read nothing on them, keep nobody else out.
func TestHeldStreams(t *testing.T) {
	const large = 1 << 20
	unended := func(t *testing.T, at string) { holder(t, at, "POST", "/") }
	unread := func(t *testing.T, at string) {
		holder(t, at, "GET", "/large", http2.Setting{ID: http2.SettingInitialWindowSize})
	}
	for name, x := range map[string]struct {
		hold func(t *testing.T, at string)
		most int // streams of one connection to the application
	}{
		"requests that do not end":                     {unended, 0},
		"answers that nobody reads":                    {unread, 0},
		"answers that nobody reads, many a connection": {unread, 1000}, // where the connection's window ends before its streams do
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Int64
			app := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/other" {
					_, _ = io.WriteString(w, "here")
					return
				}
				held.Add(1)
				if r.URL.Path == "/large" {
					_, _ = w.Write(make([]byte, large))
				}
				_, _ = io.Copy(io.Discard, r.Body)
			}, x.most, nil)
			w := newWorld(t)
			b := w.start("callee-1", map[uint16]string{80: app}, func(n *node, o *proxy.Options) { n.publish(o, 80) })
			at := b.pub[80].Addr().String()
			c := h2c(t)
			ask := func() {
				resp, err := c.Get("http://" + at + "/other")
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if b, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != "here" {
					t.Error(resp.Status, string(b), err)
				}
			}
			for range 10 {
				x.hold(t, at)
				ask() // while they come
			}
			eventually(t, "held", func() bool { ask(); return held.Load() == 2500 })
			for range 300 {
				ask()
			}
		})
	}
}

// TestCallsPerConnection: a connection carries no more calls than the policy says, however many come at once.
func TestCallsPerConnection(t *testing.T) {
	for _, most := range []uint32{1, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			var mu sync.Mutex
			carried := map[string]int{}
			app := startH2C(t, func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				carried[r.RemoteAddr]++
			}, 0, nil)
			w := newWorld(t)
			svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP2, traffic.Endpoint{Addr: netip.MustParseAddrPort(app)})
			svc.Ports[0].Pools[0].Policy = mesh.Outbound{Connect: &traffic.Connect{MaxRequests: most}}
			w.publish(svc)
			a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
			c := h2c(t)
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					for range 3 {
						resp, err := c.Get("http://" + a.at("240.0.0.1:80") + "/")
						if err != nil {
							t.Error(err)
							return
						}
						resp.Body.Close()
						if resp.StatusCode != 200 {
							t.Error(resp.Status)
						}
					}
				})
			}
			all.Wait()
			mu.Lock()
			defer mu.Unlock()
			for conn, n := range carried {
				if n > int(most) {
					t.Errorf("%s carried %d calls, at most %d may be", conn, n, most)
				}
			}
		})
	}
}
