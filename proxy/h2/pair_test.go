package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// bound is how long anything may take before a test fails, on a machine that does other things.
const bound = 20 * time.Second

// noLeaks fails a test that leaves goroutines behind.
func noLeaks(t testing.TB) {
	t.Helper()
	freshPools()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // goroutines that have nothing left to do but return
			if runtime.NumGoroutine() <= before {
				return
			}
		}
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
	})
}

// tcpPair is a loopback connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// pair is a Client and a Server that are connected.
type pair struct {
	*Client
	srv     *Server
	served  chan error
	reasons reasons
}

// reasons collects what is reported.
type reasons struct {
	mu   sync.Mutex
	list []Reason
}

func (r *reasons) add(x Reason) { r.mu.Lock(); r.list = append(r.list, x); r.mu.Unlock() }

func (r *reasons) has(x Reason) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, y := range r.list {
		if x == y {
			return true
		}
	}
	return false
}

func newPair(t testing.TB, co ClientOptions, so ServerOptions, serve func(*Stream)) *pair {
	noLeaks(t)
	c, s := tcpPair(t)
	p := &pair{served: make(chan error, 1)}
	so.Report = p.reasons.add
	p.srv = NewServer(s, so, serve)
	go func() { p.served <- p.srv.Serve() }()
	p.Client = NewClient(c, co)
	t.Cleanup(func() {
		p.Client.Close()
		<-p.Client.Done()
		p.srv.Close()
		<-p.served
		p.balanced(t)
	})
	return p
}

// balanced checks that what was counted in was counted out.
func (p *pair) balanced(t testing.TB) {
	for _, c := range []*conn{&p.Client.conn, &p.srv.conn} {
		c.mu.Lock()
		if c.waiting != 0 || c.waiters != 0 || len(c.streams) != 0 || c.ring.first != nil {
			t.Errorf("%d bytes and %d streams wait, %d streams are open", c.waiting, c.waiters, len(c.streams))
		}
		c.mu.Unlock()
	}
}

// newCall makes a call the way an engine does.
func newCall(method, path string, body traffic.Body, fields ...string) *traffic.Call {
	c := &traffic.Call{}
	c.Begin(nil, &traffic.Conn{})
	c.Proto, c.Method, c.Scheme, c.Authority, c.Body = traffic.HTTP2, method, "http", "example.com", body
	c.Path, c.Query, _ = strings.Cut(path, "?")
	for i := 0; i < len(fields); i += 2 {
		c.Header.Receive(fields[i], fields[i+1])
	}
	return c
}

func readAll(b traffic.Body) (string, error) {
	var out []byte
	if b == nil {
		return "", nil
	}
	for {
		p, err := b.Next()
		out = append(out, p...)
		if err == io.EOF {
			return string(out), nil
		}
		if err != nil {
			return string(out), err
		}
	}
}

func dump(h *traffic.Header) string {
	var b strings.Builder
	for n, v := range h.All {
		fmt.Fprintf(&b, "%s=%s;", n, v)
	}
	return b.String()
}

// echo answers with the request's body, and with its trailers.
func echo(st *Stream) {
	c := st.Call()
	c.Response.Status = 200
	c.Response.Body = c.Body
	for n, v := range c.Header.All {
		c.Response.Header.Add("got-"+n, v)
	}
	c.Response.Header.Add("got-target", c.Method+" "+c.Scheme+" "+c.Authority+" "+c.Path+" "+c.Query)
	if c.Body != nil {
		c.Response.Body = &trailing{Body: c.Body, c: c}
	}
	st.Respond()
	c.Finish(time.Time{})
}

// trailing copies the request's trailers to the response when the body has ended.
type trailing struct {
	traffic.Body
	c *traffic.Call
}

func (t *trailing) Next() ([]byte, error) {
	b, err := t.Body.Next()
	if err == io.EOF {
		for n, v := range t.c.Trailer.All {
			t.c.Response.Trailer.Add(n, v)
		}
	}
	return b, err
}

func TestRoundTrip(t *testing.T) {
	p := newPair(t, ClientOptions{}, ServerOptions{}, echo)
	for range 3 {
		c := newCall("POST", "/a/b?c=d", &traffic.Bytes{B: []byte("hello")}, "x-a", "1", "connection", "close", "authorization", "secret", "te", "trailers", "cookie", "a=b")
		c.Trailer.Add("grpc-status", "0")
		if err := p.RoundTrip(c); err != nil {
			t.Fatal(err)
		}
		if got := dump(&c.Response.Header); c.Response.Status != 200 || got != "got-x-a=1;got-authorization=secret;got-te=trailers;got-cookie=a=b;got-target=POST http example.com /a/b c=d;" {
			t.Errorf("%d %s", c.Response.Status, got)
		}
		if got, err := readAll(c.Response.Body); got != "hello" || err != nil {
			t.Errorf("body %q %v", got, err)
		}
		if got := dump(&c.Response.Trailer); got != "grpc-status=0;" {
			t.Errorf("trailers %s", got)
		}
		c.Response.Body.Close(nil)
		c.Finish(time.Time{})
		c = newCall("GET", "/", nil)
		if err := p.RoundTrip(c); err != nil || c.Response.Body != nil {
			t.Errorf("GET: %v, body %v", err, c.Response.Body)
		}
		c.Finish(time.Time{})
	}
	if n := p.Streams(); n != 0 {
		t.Errorf("%d streams left", n)
	}
}

// TestManyStreams: many calls at once, each with its own bytes.
func TestManyStreams(t *testing.T) {
	p := newPair(t, ClientOptions{}, ServerOptions{MaxStreams: 1000}, echo)
	<-p.ready
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			for j := range 20 {
				want := strings.Repeat(fmt.Sprintf("%d-%d ", i, j), 1+i*j)
				c := newCall("POST", "/", &traffic.Bytes{B: []byte(want)}, "x-i", fmt.Sprint(i))
				if err := p.RoundTrip(c); err != nil {
					t.Error(err)
					return
				}
				got, err := readAll(c.Response.Body)
				if v, _ := c.Response.Header.Get("got-x-i"); err != nil || got != want || v != fmt.Sprint(i) {
					t.Errorf("%d-%d: %d bytes, want %d, %v", i, j, len(got), len(want), err)
				}
				c.Response.Body.Close(nil)
				c.Finish(time.Time{})
			}
		})
	}
	wg.Wait()
}

// source makes n bytes in pieces, and counts what was asked of it.
type source struct {
	left, piece int
	buf         []byte
	given       int
	mu          sync.Mutex
}

func (s *source) Next() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return nil, io.EOF
	}
	if s.buf == nil {
		s.buf = bytes.Repeat([]byte("x"), s.piece)
	}
	n := min(s.left, s.piece)
	s.left -= n
	s.given += n
	return s.buf[:n], nil
}

func (s *source) Interrupt(bool) {}
func (s *source) Close(error)    {}
func (s *source) sofar() int     { s.mu.Lock(); defer s.mu.Unlock(); return s.given }

// TestBigBodies moves 32 MiB both ways.
func TestBigBodies(t *testing.T) {
	p := newPair(t, ClientOptions{}, ServerOptions{}, echo)
	const size = 32 << 20
	c := newCall("POST", "/", &source{left: size, piece: 50000})
	if err := p.RoundTrip(c); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		b, err := c.Response.Body.Next()
		n += len(b)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Finish(time.Time{})
	if n != size {
		t.Errorf("%d bytes", n)
	}
}

// TestBackPressure: "not calling Next" stops the sender; what is on its way is bounded by windows and buffers, in both
// directions, and another stream is not held up.
func TestBackPressure(t *testing.T) {
	release := make(chan struct{})
	down := &source{left: 64 << 20, piece: 32 << 10}
	p := newPair(t, ClientOptions{}, ServerOptions{}, func(st *Stream) {
		c := st.Call()
		c.Response.Status = 200
		switch c.Path {
		case "/up":
			<-release
		case "/down":
			c.Response.Body = down
		}
		st.Respond()
		c.Finish(time.Time{})
	})
	up := &source{left: 64 << 20, piece: 32 << 10}
	var wg sync.WaitGroup
	wg.Go(func() {
		c := newCall("POST", "/up", up)
		if err := p.RoundTrip(c); err != nil {
			t.Error(err)
		}
		c.Finish(time.Time{})
	})
	c := newCall("GET", "/down", nil)
	if err := p.RoundTrip(c); err != nil {
		t.Fatal(err)
	}
	settle(up.sofar)
	settle(down.sofar)
	for _, s := range []*source{up, down} {
		if n := s.sofar(); n > 1<<20 {
			t.Errorf("%d bytes taken for a peer that does not read", n)
		}
	}
	other := newCall("GET", "/", nil)
	if err := p.RoundTrip(other); err != nil {
		t.Error(err)
	}
	close(release)
	c.Response.Body.Close(errors.New("enough"))
	c.Finish(time.Time{})
	wg.Wait()
}

// settle waits until a number does not change any more.
func settle(n func() int) {
	for last := -1; last != n(); time.Sleep(20 * time.Millisecond) {
		last = n()
	}
}

// TestReady: a body says whether its next bytes are there, in either direction, so that they leave in one write with the head before
// them.
func TestReady(t *testing.T) {
	request, response := &late{bytes: []byte("hello"), more: make(chan struct{})}, &late{more: make(chan struct{})}
	p := newPair(t, ClientOptions{}, ServerOptions{}, func(st *Stream) {
		c := st.Call()
		if traffic.Ready(c.Body) {
			t.Error("a request's body is ready before a byte of it was sent")
		}
		close(request.more)
		until(t, func() bool { return traffic.Ready(c.Body) })
		response.bytes, _ = c.Body.Next()
		until(t, func() bool { return traffic.Ready(c.Body) }) // its end
		c.Response.Status, c.Response.Body = 200, response
		st.Respond()
		c.Finish(time.Time{})
	})
	c := newCall("POST", "/", request)
	if err := p.RoundTrip(c); err != nil {
		t.Fatal(err)
	}
	if traffic.Ready(c.Response.Body) {
		t.Error("a response's body is ready before a byte of it was sent")
	}
	close(response.more)
	until(t, func() bool { return traffic.Ready(c.Response.Body) })
	if b, err := readAll(c.Response.Body); b != "hello" || err != nil {
		t.Errorf("the body is %q, %v", b, err)
	}
	c.Response.Body.Close(nil)
	c.Finish(time.Time{})
}

// until waits for what happens by itself.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Errorf("it did not happen in %v", bound)
}

// late is a body whose bytes come when they are let.
type late struct {
	bytes []byte
	more  chan struct{}
}

func (l *late) Next() ([]byte, error) {
	if l.bytes == nil {
		return nil, io.EOF
	}
	<-l.more
	b := l.bytes
	l.bytes = nil
	return b, nil
}

func (l *late) Interrupt(bool) {}

func (l *late) Close(error) {}
