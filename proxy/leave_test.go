package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// keeper is an application that answers /held when it is let, and counts its calls.
type keeper struct {
	addr    string
	calls   atomic.Int64
	entered chan struct{} // gets a word of each call of /held
	let     func()
}

func newKeeper(t *testing.T) *keeper {
	free := make(chan struct{})
	h := &keeper{entered: make(chan struct{}, 10), let: sync.OnceFunc(func() { close(free) })}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.calls.Add(1)
		switch r.URL.Path {
		case "/held":
			h.entered <- struct{}{}
			<-free
		case "/upgrade":
			c, b, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(c, b)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(h.let)
	h.addr = s.Listener.Addr().String()
	return h
}

// TestLeave: the application gets no call any more once the proxy has begun to leave, though its callers do not know yet; those
// that it has it answers; and no call fails.
func TestLeave(t *testing.T) {
	w := newWorld(t)
	old, next := newKeeper(t), newKeeper(t)
	one := w.start("callee-1", map[uint16]string{80: old.addr}, nil)
	svc := w.serve("callee", "240.0.0.1", 80, traffic.HTTP1, one.endpoint(80))
	a := w.start("caller-1", nil, func(n *node, o *proxy.Options) { n.to(o, "240.0.0.1:80") })
	c := client(t, a.at("240.0.0.1:80"))
	post := func(path string) int {
		resp, err := c.Post("http://callee"+path, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	held := make(chan int, 1)
	go func() { held <- post("/held") }()
	<-old.entered
	two := w.start("callee-2", map[uint16]string{80: next.addr}, nil)
	svc.Ports[0].Pools[0].Endpoints = append(svc.Ports[0].Pools[0].Endpoints, two.endpoint(80))
	w.publish(svc)
	eventually(t, "calling the other one", func() bool { return post("/") == 200 && next.calls.Load() > 0 })

	left := make(chan error, 1)
	go func() { left <- one.Leave(t.Context()) }()
	eventually(t, "not ready", func() bool { return one.Ready() != nil })
	for range 20 {
		if status := post("/"); status != 200 {
			t.Errorf("while it leaves: %d", status)
		}
	}
	select {
	case err := <-left:
		t.Errorf("it has left (%v), and the application owes an answer", err)
	default:
	}
	old.let()
	if status := <-held; status != 200 {
		t.Errorf("the call under way: %d", status)
	}
	must(t, <-left)
	was := old.calls.Load()
	for range 20 {
		if status := post("/"); status != 200 {
			t.Errorf("after it has left: %d", status)
		}
	}
	if n := old.calls.Load(); n != was {
		t.Errorf("the application got %d calls after its proxy had left", n-was)
	}
}

// framer speaks HTTP/2 by frames with a proxy.
type framer struct {
	t *testing.T
	*xhttp2.Framer
	enc   *hpack.Encoder
	dec   *hpack.Decoder
	block bytes.Buffer
	seen  string
}

func newFramer(t *testing.T, w *world, n *node) *framer {
	c, err := w.stranger(identity.Of(domain, "default", "caller"), n.tunnel, "weft/1")
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(bound)))
	_, err = io.WriteString(c, xhttp2.ClientPreface)
	must(t, err)
	p := &framer{t: t, Framer: xhttp2.NewFramer(c, c)}
	p.enc = hpack.NewEncoder(&p.block)
	p.dec = hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		if h.Name == ":status" {
			p.seen = h.Value
		}
	})
	must(t, p.WriteSettings())
	return p
}

func (p *framer) open(id uint32, path string) {
	p.t.Helper()
	p.block.Reset()
	for _, f := range []string{":method POST", ":scheme http", ":authority callee", ":path " + path, "weft-port 80", "weft-proto http/1.1"} {
		k, v, _ := strings.Cut(f, " ")
		must(p.t, p.enc.WriteField(hpack.HeaderField{Name: k, Value: v}))
	}
	must(p.t, p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: true}))
}

// outcome reads until a stream has a status or is reset, or its caller hears that it was not taken.
func (p *framer) outcome(id uint32) string {
	p.t.Helper()
	for {
		frame, err := p.ReadFrame()
		must(p.t, err)
		switch f := frame.(type) {
		case *xhttp2.HeadersFrame:
			_, err := p.dec.Write(f.HeaderBlockFragment())
			must(p.t, err)
			if f.StreamID == id {
				return p.seen
			}
		case *xhttp2.RSTStreamFrame:
			if f.StreamID == id {
				return f.ErrCode.String()
			}
		case *xhttp2.GoAwayFrame:
			if f.LastStreamID < id {
				return untaken
			}
		}
	}
}

// untaken is said of a stream beyond the last one of a GOAWAY, which a proxy sends for good after a while.
const untaken = "GOAWAY"

// told reads until GOAWAY and then a PING has come: the proxy wants to know that its caller knows.
func (p *framer) told() (last uint32, ping [8]byte) {
	p.t.Helper()
	for away := false; ; {
		frame, err := p.ReadFrame()
		must(p.t, err)
		switch f := frame.(type) {
		case *xhttp2.GoAwayFrame:
			away, last = true, f.LastStreamID
		case *xhttp2.PingFrame:
			if away {
				return last, f.Data
			}
		}
	}
}

// TestLateCalls: a call that was on its way when the proxy began to leave is served; it counts until its caller knows. One that
// comes when the time is over is refused in a way that lets it be made again: it never gets to the application.
func TestLateCalls(t *testing.T) {
	w := newWorld(t)
	app := newKeeper(t)
	b := w.start("callee-1", map[uint16]string{80: app.addr}, nil)
	p := newFramer(t, w, b)
	p.open(1, "/held")
	<-app.entered
	ctx, limit := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- b.Leave(ctx) }()
	last, _ := p.told()
	if last != 1<<31-1 {
		t.Errorf("GOAWAY with the last stream %d, and one may be on its way", last)
	}
	p.open(3, "/")
	if got := p.outcome(3); got != "200" {
		t.Errorf("a call that was on its way: %s", got)
	}
	limit()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.open(5, "/")
	if got := p.outcome(5); got != "REFUSED_STREAM" && got != untaken {
		t.Errorf("a call that is too late: %s", got)
	}
	app.let()
	if got := p.outcome(1); got != "200" {
		t.Errorf("the call under way: %s", got)
	}
	if n := app.calls.Load(); n != 2 {
		t.Errorf("%d calls got to the application, want 2", n)
	}
}

// turnsAway says that a new connection is reset, maybe before Dial sees that it was there.
func turnsAway(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that comes too late: %v, want it to be reset", err)
	}
}

// TestLeaveKnows: it ends by what callers say, not by time.
func TestLeaveKnows(t *testing.T) {
	w := newWorld(t)
	app := newKeeper(t)
	b := w.start("callee-1", map[uint16]string{80: app.addr}, nil)
	p := newFramer(t, w, b)
	p.open(1, "/")
	if got := p.outcome(1); got != "200" {
		t.Fatal(got)
	}
	left := make(chan error, 1)
	go func() { left <- b.Leave(t.Context()) }()
	_, ping := p.told()
	must(t, p.WritePing(true, ping))
	must(t, <-left)
	turnsAway(t, b.tunnel.String())
}

// TestLeaveOutside: callers from outside hear of the end with their answer, those that idle by their connection's, and tunnels go on.
func TestLeaveOutside(t *testing.T) {
	w := newWorld(t)
	app := newKeeper(t)
	b := w.start("callee-1", map[uint16]string{80: app.addr}, func(n *node, o *proxy.Options) { n.publish(o, 80) })
	dial := func(request string) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", b.pub[80].Addr().String())
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(bound)))
		_, err = io.WriteString(c, request)
		must(t, err)
		return c, bufio.NewReader(c)
	}
	response := func(r *bufio.Reader) *http.Response {
		resp, err := http.ReadResponse(r, nil)
		must(t, err)
		return resp
	}
	_, idle := dial("GET / HTTP/1.1\r\nHost: callee\r\n\r\n")
	if resp := response(idle); resp.Close {
		t.Error("the answer announces the end")
	}
	up, upgraded := dial("GET /upgrade HTTP/1.1\r\nHost: callee\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	if resp := response(upgraded); resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	_, held := dial("GET /held HTTP/1.1\r\nHost: callee\r\n\r\n")
	<-app.entered
	left := make(chan error, 1)
	go func() { left <- b.Leave(t.Context()) }()
	if _, err := idle.ReadByte(); err != io.EOF {
		t.Errorf("the connection that idles: %v", err)
	}
	turnsAway(t, b.pub[80].Addr().String())
	select {
	case <-left:
		t.Error("it has left, and the application owes an answer")
	default:
	}
	app.let()
	if resp := response(held); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("the call under way: %s, close %t", resp.Status, resp.Close)
	}
	must(t, <-left)
	_, err := io.WriteString(up, "on")
	must(t, err)
	must(t, read(upgraded, "on"))
}
