package proxy_test

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/proxy/room"
	"github.com/weft-mesh/weft/traffic"
)

// turned says how many callers were turned away for a reason.
func (n *node) turned(why string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused[why]
}

// closedAtOnce says whether a connection to an address is closed before a byte is sent. One that is served waits for the first.
func closedAtOnce(t *testing.T, c net.Conn) bool {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(bound)))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !isTimeout(err)
}

// TestDescriptorsRunOut: new connections are closed and counted, who is connected goes on, also by connections that have to be made for
// it, and all is as before when there are descriptors again.
func TestDescriptorsRunOut(t *testing.T) {
	var counts metrics.Registry
	w := newWorld(t)
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) {
		n.to(o, "240.0.0.1:80")
		o.Room = room.New(room.Options{Files: uint64(2 * (len(open) + 60))})
	})
	c := client(t, a.at("240.0.0.1:80"))
	get(t, c, "http://callee/")
	var crowd []net.Conn
	of := proxy.Count(&counts, &proxy.Options{})
	of(a.Proxy)
	taken := gauge(&counts, "weft_connections")
	for a.turned(room.Descriptors) == 0 {
		before := taken()
		nc, err := net.Dial("tcp", a.at("240.0.0.1:80"))
		must(t, err)
		defer nc.Close()
		if crowd = append(crowd, nc); len(crowd) > 1000 {
			t.Fatal("1000 connections, and none is refused")
		}
		eventually(t, "taken or refused", func() bool { return taken() > before || a.turned(room.Descriptors) > 0 })
	}
	last, err := net.Dial("tcp", a.at("240.0.0.1:80"))
	must(t, err)
	defer last.Close()
	if !closedAtOnce(t, last) {
		t.Error("one more was not closed")
	}
	for range 10 {
		if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
			t.Errorf("who was connected before gets %d", resp.StatusCode)
		}
	}
	for _, nc := range crowd {
		nc.Close()
	}
	eventually(t, "served again", func() bool {
		resp, err := client(t, a.at("240.0.0.1:80")).Get("http://callee/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
}

// TestMemoryRunsOut: first new connections are refused while who is connected goes on, then calls too, with the reason in the answer; and
// all is as before when there is memory again.
func TestMemoryRunsOut(t *testing.T) {
	w := newWorld(t)
	var holds atomic.Uint64
	b := w.start("callee-1", apps(startEcho(t, echo.Options{})), nil)
	w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, b.endpoint(80))
	r := room.New(room.Options{Memory: 100 << 20, Held: holds.Load})
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80"); o.Room = r })
	go r.Watch(t.Context())
	c := client(t, a.at("240.0.0.1:80"))
	get(t, c, "http://callee/")
	refuses := func() bool { // a new connection, and has done so when it says so: what is counted is of this one
		nc, err := net.Dial("tcp", a.at("240.0.0.1:80"))
		must(t, err)
		defer nc.Close()
		before := a.turned(room.Memory)
		must(t, nc.SetDeadline(time.Now().Add(bound)))
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: callee\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(nc)
		if isTimeout(err) {
			t.Error("a new connection is neither served nor closed")
		}
		return len(got) == 0 && a.turned(room.Memory) > before
	}
	holds.Store(85 << 20)
	eventually(t, "refused", refuses)
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("who was connected before gets %d", resp.StatusCode)
	}
	full := func() bool {
		if r.Begin(time.Now(), false) {
			r.Begun()
			return false
		}
		return true
	}
	holds.Store(98 << 20)
	eventually(t, "short of memory for calls", full)
	before := a.turned(room.Memory)
	if resp, text := get(t, c, "http://callee/"); resp.StatusCode != 503 || text != "weft: limited\n" || a.turned(room.Memory) != before+1 {
		t.Errorf("%d %q, %d counted", resp.StatusCode, text, a.turned(room.Memory)-before)
	}
	holds.Store(50 << 20)
	eventually(t, "enough again", func() bool { return !full() && !refuses() })
	if resp, _ := get(t, c, "http://callee/"); resp.StatusCode != 200 {
		t.Errorf("afterwards %d", resp.StatusCode)
	}
}
