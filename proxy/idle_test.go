package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

const aRequest = "GET / HTTP/1.1\r\nHost: callee\r\n\r\n"

// socket is a caller that holds no memory of Go's.
type socket int

// dialSockets opens connections, which shut closes, or the end of the test.
func dialSockets(t testing.TB, addr string, n int) (all []socket, shut func()) {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	all = make([]socket, 0, n)
	shut = sync.OnceFunc(func() {
		for _, s := range all {
			syscall.Close(int(s))
		}
	})
	t.Cleanup(shut)
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		must(t, err)
		all = append(all, socket(fd))
		must(t, syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}))
	}
	return all, shut
}

func (s socket) Write(p []byte) (int, error) { return syscall.Write(int(s), p) }

func (s socket) Read(p []byte) (int, error) {
	n, err := syscall.Read(int(s), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// answered sends a request, reads its answer of 1 KB with buf, and says what went wrong.
func answered(rw io.ReadWriter, buf []byte) error {
	if _, err := io.WriteString(rw, aRequest); err != nil {
		return err
	}
	for got := 0; got < 1024; {
		n, err := rw.Read(buf)
		if err != nil {
			return err
		}
		got += n
	}
	return nil
}

// held is the memory of objects and stacks once nothing is being freed any more. The runtime's poller has 0.2 KB more for each
// connection, outside of both.
func held() int {
	for range 4 { // pools give up what nobody uses at the second, stacks shrink by half each time
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// idleBytes is what a connection in the clear may hold that idles.
const idleBytes = 1536

// TestIdleConnections: those that have been silent for a moment, before their first request or after it, hold no goroutine and at
// most idleBytes, and serve as before.
func TestIdleConnections(t *testing.T) {
	w := newWorld(t)
	from, to := w.production(map[uint16]string{80: answers(t)})
	n := 1000 // with 400, what else goes on in the process counts 300 bytes for each now and then
	if raceEnabled {
		n = 40
	}
	buf := make([]byte, 8<<10)
	for addr, used := range map[string]bool{from.at("240.0.0.1:80"): true, to.pub[80].Addr().String(): false} {
		t.Run(fmt.Sprintf("used=%v", used), func(t *testing.T) {
			at := settled(t)
			rest := func() { // what serves connections between the proxies and to the application stays
				eventually(t, "without goroutines for connections that idle", func() bool { return runtime.NumGoroutine() <= at+n/8+12 })
			}
			open, shut := dialSockets(t, addr, n) // what a crowd leaves behind is not an idle connection's
			for _, s := range open {
				must(t, answered(s, buf))
			}
			rest()
			each := math.MaxInt
			for try := 0; try < 3 && each > idleBytes; try++ { // what else goes on in the process counts too, now and then
				shut() // the proxy itself closes callers from outside that idle for a minute
				settled(t)
				before := held()
				open, shut = dialSockets(t, addr, n)
				for _, s := range open {
					if used {
						must(t, answered(s, buf))
					}
				}
				rest()
				settled(t)
				each = (held() - before) / n
				t.Logf("%d bytes for each", each)
			}
			if each > idleBytes && !raceEnabled {
				t.Errorf("%d bytes for each connection that idles, three times", each)
			}
			for range 2 {
				for _, s := range open {
					must(t, answered(s, buf))
				}
				rest()
			}
		})
	}
}

// settled waits until the number of goroutines has not changed for a while, and returns it.
func settled(t testing.TB) int {
	t.Helper()
	n, same := runtime.NumGoroutine(), 0
	eventually(t, "quiet", func() bool {
		if now := runtime.NumGoroutine(); now != n {
			n, same = now, 0
		}
		same++
		return same > 70 // longer than connections are waited for
	})
	return n
}

// TestIdleEnds: whatever ends a connection that nobody serves, it does end.
func TestIdleEnds(t *testing.T) {
	for name, end := range map[string]func(n *node){
		"drain": func(n *node) { must(n.w.t, n.Drain(n.w.t.Context())) },
		"stop":  func(n *node) { n.stop() },
		"time":  func(*node) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			callee := w.start("callee-1", map[uint16]string{80: answers(t)}, func(n *node, o *proxy.Options) {
				n.publish(o, 80)
				if name == "time" {
					o.Idle = time.Second
				}
			})
			callee.cfg.Ports[0].Proto = traffic.HTTP1
			at := settled(t)
			for _, used := range []bool{true, false} {
				c, err := net.Dial("tcp", callee.pub[80].Addr().String())
				must(t, err)
				defer c.Close()
				if used {
					must(t, answered(c, make([]byte, 8<<10)))
				}
				defer func() {
					_, err := bufio.NewReader(c).ReadByte()
					if hard := name == "stop" && errors.Is(err, syscall.ECONNRESET); err != io.EOF && !hard { // one that was served a moment ago is cut
						t.Errorf("used=%v: %v, want the connection's end", used, err)
					}
				}()
			}
			eventually(t, "at rest", func() bool { return runtime.NumGoroutine() <= at+1 }) // the application serves a connection
			end(callee)
		})
	}
}

// TestIdleWithoutDescriptors: a connection that begins to idle when there are no descriptors left goes on.
func TestIdleWithoutDescriptors(t *testing.T) {
	w := newWorld(t)
	callee := w.start("callee-1", map[uint16]string{80: answers(t)}, func(n *node, o *proxy.Options) { n.publish(o, 80) })
	callee.cfg.Ports[0].Proto = traffic.HTTP1
	at := settled(t)
	open, _ := dialSockets(t, callee.pub[80].Addr().String(), 1)
	buf := make([]byte, 8<<10)
	must(t, answered(open[0], buf))
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	free, err := syscall.Dup(0)
	must(t, err)
	must(t, syscall.Close(free))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(free), Max: was.Max}))
	eventually(t, "at rest", func() bool { return runtime.NumGoroutine() <= at+1 }) // the application serves a connection
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	must(t, answered(open[0], buf))
}

// idleTLSBytes is what an end of a connection between proxies may hold that idles.
const idleTLSBytes = 6 << 10

// TestLinkRests: a connection between two proxies that has been silent for a moment holds no goroutine at either end, and carries calls as
// before.
func TestLinkRests(t *testing.T) {
	_, from, to := pair(t, echo.Options{}, declared)
	at := settled(t)
	c := client(t, from.at("240.0.0.1:80"))
	for range 3 {
		for range 3 {
			resp, err := c.Get("http://callee/bytes?n=2000")
			must(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			must(t, err)
			must(t, resp.Body.Close())
		}
		c.CloseIdleConnections()
		// The application serves a connection, or two where a request was quicker than the way of the one before back into the pool; each
		// end of a link that does not rest has a goroutine.
		eventually(t, "at rest", func() bool { return runtime.NumGoroutine() <= at+2 })
	}
	seen := map[netip.AddrPort]bool{}
	for _, r := range to.records.wait(t, 9) {
		seen[r.From.Addr] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d connections, want the one that rested", len(seen))
	}
}

// TestIdleTLS: ends of connections between proxies that have been silent for a moment hold no goroutine, and at most idleTLSBytes.
func TestIdleTLS(t *testing.T) {
	w := newWorld(t)
	callee := w.start("callee-1", map[uint16]string{80: answers(t)}, nil)
	at := settled(t)
	n := 600 // with half as many, what else goes on in the process counts 3 KB for each
	if raceEnabled {
		n = 20
	}
	caller := w.credentials(identity.Of(domain, "default", "other"))
	idle := func() {
		for range n {
			hello(t, caller, callee.tunnel)
		}
		eventually(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= at+1 })
		settled(t)
	}
	idle() // what a crowd leaves behind is not an idle connection's
	each := math.MaxInt
	for try := 0; try < 3 && each > idleTLSBytes; try++ {
		before := held()
		idle()
		each = (held() - before) / n
		t.Logf("%d bytes for each", each)
	}
	if each > idleTLSBytes && !raceEnabled {
		t.Errorf("%d bytes for each end that idles, three times", each)
	}
}

// hello opens a connection as another proxy does, and keeps its descriptor alone.
func hello(t testing.TB, caller *cert.Store, to netip.AddrPort) {
	t.Helper()
	nc, err := net.Dial("tcp", to.String())
	must(t, err)
	defer nc.Close()
	c, _, err := caller.Client(t.Context(), nc, identity.Of(domain, "default", "callee"), "weft/1")
	must(t, err)
	_, err = c.Write(http2.AppendSettings([]byte(http2.Preface)))
	must(t, err)
	_, err = c.Read(make([]byte, 1024)) // its settings
	must(t, err)
	f, err := nc.(*net.TCPConn).File()
	must(t, err)
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	must(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
}
