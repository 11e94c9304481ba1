package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/traffic"
)

// relay is the smallest engine: it forwards every call to one address over kept-alive connections.
type relay struct {
	traffic.Host
	t       testing.TB
	s       *Server
	o       Options
	to      string
	ln      net.Listener
	mu      sync.Mutex
	idle    []*Client
	conns   map[*Conn]bool
	dials   int
	ended   []ended
	refused []error
	wg      sync.WaitGroup
	idled   chan *Conn              // those that Serve handed back
	quick   bool                    // connections are sys.Quick under the race detector too
	wrap    func(net.Conn) net.Conn // instead
}

type ended struct {
	method, path   string
	status         int
	err            error
	sent, received int64
}

func newRelay(t testing.TB, to string, adjust func(*relay)) *relay {
	r := &relay{t: t, to: to, conns: map[*Conn]bool{}, idled: make(chan *Conn)}
	r.s = &Server{Serve: r.serve, Done: r.done, Refused: func(_ *traffic.Conn, err error) { r.note(func() { r.refused = append(r.refused, err) }) }}
	r.o.Release = r.release
	if adjust != nil {
		adjust(r)
	}
	var err error
	if r.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.wg.Add(1)
	go r.accept()
	t.Cleanup(r.stop)
	return r
}

func (r *relay) note(f func()) { r.mu.Lock(); f(); r.mu.Unlock() }

func (r *relay) accept() {
	defer r.wg.Done()
	for {
		nc, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() {
			switch {
			case r.wrap != nil:
				nc = r.wrap(nc)
			case !race || r.quick: // as the proxy does; the race detector does not see that its bytes order what their two ends do
				nc = sys.Quicken(nc)
			}
			for r.attend(nc) == ErrIdle {
			}
		})
	}
}

func (r *relay) attend(nc net.Conn) error {
	c := r.s.NewConn(nc, nil, r, &traffic.Conn{}, "http")
	r.note(func() { r.conns[c] = true })
	err := c.Serve()
	r.note(func() { delete(r.conns, c) })
	if err == ErrIdle {
		select {
		case r.idled <- c:
		case <-r.t.Context().Done():
			nc.Close()
		}
	}
	return err
}

// stop ends everything, and fails the test if a goroutine stays.
func (r *relay) stop() {
	r.ln.Close()
	r.note(func() {
		for c := range r.conns {
			c.Close()
		}
		for _, c := range r.idle {
			c.Close()
		}
	})
	over := make(chan struct{})
	go func() { r.wg.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		r.t.Error("a connection's goroutine stays")
	}
}

func (r *relay) Now() time.Time { return time.Now() }

func (r *relay) serve(c *traffic.Call) error { return c.Fail(r.forward(c)) }

func (r *relay) forward(c *traffic.Call) error {
	for {
		cl, err := r.take()
		if err != nil {
			return errors.Join(traffic.ErrConnect, err)
		}
		err = cl.RoundTrip(c)
		if !errors.Is(err, traffic.ErrRefused) && (err != ErrIdleClosed || c.Method != "GET") {
			return err
		}
	}
}

func (r *relay) take() (*Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		c := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return c, nil
	}
	r.dials++
	nc, err := net.Dial("tcp", r.to)
	if err != nil {
		return nil, err
	}
	return NewClient(nc, &r.o), nil
}

func (r *relay) release(c *Client, reusable bool) {
	if reusable {
		r.note(func() { r.idle = append(r.idle, c) })
	}
}

func (r *relay) done(c *traffic.Call) {
	c.Finish(time.Now())
	e := ended{strings.Clone(c.Method), strings.Clone(c.Path), c.Response.Status, c.Response.Err, c.Sent, c.Received}
	r.note(func() { r.ended = append(r.ended, e) })
}

func (r *relay) addr() string { return r.ln.Addr().String() }

// backend is net/http as the oracle of what was meant.
func backend(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// echo says what came.
func echo(w http.ResponseWriter, q *http.Request) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	w.Header().Set("x-trailer", fmt.Sprint(q.Trailer))
	fmt.Fprintf(w, "%s %s host=%s te=%v len=%d body=%d end-user=%q", q.Method, q.RequestURI, q.Host, q.TransferEncoding, q.ContentLength, len(b), q.Header.Get("end-user"))
}

// talk sends raw bytes and reads until the other end closes.
func talk(t *testing.T, addr, in string) string {
	t.Helper()
	nc := dial(t, addr)
	io.WriteString(nc, in)
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Logf("read: %v", err)
	}
	return string(b)
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc.(*net.TCPConn)
}

func TestGetPostPipelined(t *testing.T) {
	r := newRelay(t, backend(t, echo), nil)
	got := talk(t, r.addr(), "GET /a?b=c HTTP/1.1\r\nHost: h\r\nEnd-User: jason\r\nConnection: X-Y\r\nX-Y: 1\r\n\r\n"+
		"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"+
		"POST /q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n\r\n"+
		"GET http://other/z HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	for _, want := range []string{
		`GET /a?b=c host=h te=[] len=0 body=0 end-user="jason"`,
		`POST /p host=h te=[] len=3 body=3 end-user=""`,
		`POST /q host=h te=[chunked] len=-1 body=5 end-user=""`,
		`GET /z host=other te=[] len=0 body=0 end-user=""`,
	} {
		i := strings.Index(got, want)
		if i < 0 {
			t.Fatalf("%q is not in, or not in its place in:\n%s", want, got)
		}
		got = got[i:]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dials != 1 {
		t.Errorf("%d connections to the callee for pipelined requests", r.dials)
	}
	if len(r.ended) != 4 || r.ended[1].sent != 3 || r.ended[2].sent != 5 || r.ended[1].received == 0 {
		t.Errorf("%+v", r.ended)
	}
}

func listen(t testing.TB) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}
