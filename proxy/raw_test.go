package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// rawApp is an application that keeps every whole request byte for byte, and answers with bytes that the test gives.
type rawApp struct {
	net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	answer string
	leave  bool     // the connection ends with the answer
	got    []string // requests that came whole
	conns  map[net.Conn]bool
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func newRawApp(t testing.TB) *rawApp {
	a := &rawApp{Listener: listen(t), answer: okAnswer, conns: map[net.Conn]bool{}}
	a.wg.Go(func() {
		for {
			c, err := a.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns[c] = true
			a.mu.Unlock()
			a.wg.Go(func() { a.serve(c) })
		}
	})
	t.Cleanup(func() {
		a.Close()
		a.mu.Lock()
		for c := range a.conns {
			c.Close()
		}
		a.mu.Unlock()
		a.wg.Wait()
	})
	return a
}

func (a *rawApp) serve(c net.Conn) {
	defer c.Close()
	var seen bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &seen))
	for {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, broken := io.Copy(io.Discard, q.Body)
		a.mu.Lock()
		// A proxy of weft's sends the next request when it has the answer to this one: what came is this one.
		if broken == nil {
			a.got = append(a.got, seen.String())
		}
		answer, leave := a.answer, a.leave
		a.mu.Unlock()
		seen.Reset()
		if _, err := io.WriteString(c, answer); err != nil || leave || broken != nil {
			return
		}
	}
}

// next begins a case.
func (a *rawApp) next(answer string, leave bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got, a.answer, a.leave = nil, answer, leave
}

// saw returns the requests that came whole so far.
func (a *rawApp) saw() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

// way is one of the ways that a request can take to an application.
type way struct {
	name string
	at   string // where the caller dials
}

// ways starts proxies around an application: a caller's alone, a caller's and a callee's, and a callee's alone. The service that
// callers dial is declared to be HTTP.
func ways(t testing.TB, app net.Listener, trusted ...netip.Prefix) []way {
	w := newWorld(t)
	callee := w.start("callee-1", map[uint16]string{80: app.Addr().String()}, func(n *node, o *proxy.Options) {
		n.cfg.Ports[0].Proto = traffic.HTTP1
		n.cfg.Trusted = trusted
		n.publish(o, 80)
	})
	w.serve("pair", "240.0.0.1", 80, traffic.HTTP1, callee.endpoint(80))
	w.serve("single", "240.0.0.2", 80, traffic.HTTP1, traffic.Endpoint{Addr: app.Addr().(*net.TCPAddr).AddrPort()})
	caller := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80", "240.0.0.2:80") })
	return []way{{"caller's proxy", caller.at("240.0.0.2:80")}, {"both proxies", caller.at("240.0.0.1:80")}, {"callee's proxy", callee.pub[80].Addr().String()}}
}

// talk sends bytes, half-closes, and reads until the end. reset: the end was none.
func talk(t testing.TB, at, in string) (got string, reset bool) {
	t.Helper()
	c, err := net.Dial("tcp", at)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(bound)))
	_, _ = io.WriteString(c, in) // a proxy that refuses may close before all is sent
	_ = c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if isTimeout(err) {
		t.Errorf("%.200q: no end; so far %.400q", in, b)
	}
	return string(b), err != nil
}

// statuses are those of final responses, in order.
func statuses(got string) (all []string) {
	for _, s := range strings.Split(got, "HTTP/1.1 ")[1:] {
		if s[0] != '1' || strings.HasPrefix(s, "101") {
			all = append(all, s[:3])
		}
	}
	return all
}
