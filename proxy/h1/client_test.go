package h1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// clock is a host that only knows the time.
type clock struct{ traffic.Host }

func (clock) Now() time.Time { return time.Now() }

func newCall(method, path string) *traffic.Call {
	c := &traffic.Call{}
	again(c, method, path)
	return c
}

func again(c *traffic.Call, method, path string) {
	c.Begin(clock{}, &traffic.Conn{})
	c.Proto, c.Method, c.Path, c.Authority, c.Now = traffic.HTTP1, method, path, "h", time.Now()
}

// drain reads a body to its end.
func drain(b traffic.Body) (s string, err error) {
	for b != nil {
		p, err := b.Next()
		s += string(p)
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

func dialClient(t *testing.T, to string, o *Options) *Client {
	nc, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc, o)
	t.Cleanup(c.Close)
	return c
}

// TestReuse: a connection is used again when both sides have ended cleanly, and only then.
func TestReuse(t *testing.T) {
	for _, c := range []struct {
		name, response string
		want           bool
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true},
		{"no body", "HTTP/1.1 204 x\r\n\r\n", true},
		{"9112 9.6: close", "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n", false},
		{"9112 9.3: HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"more than was asked for", "HTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 poison\r\n\r\n", false},
		{"a body that must not be there", "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n", false},
	} {
		to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
			http.ReadRequest(br)
			io.WriteString(w, c.response)
			br.ReadByte()
		})
		released, reusable := 0, false
		cl := dialClient(t, to, &Options{Release: func(_ *Client, ok bool) { released++; reusable = ok }})
		call := newCall("GET", "/")
		if err := cl.RoundTrip(call); err != nil {
			t.Fatal(c.name, err)
		}
		if _, err := drain(call.Response.Body); err != nil {
			t.Error(c.name, err)
		}
		if released > 0 {
			t.Errorf("%s: released while the call can still touch it", c.name)
		}
		call.Finish(time.Now())
		if released != 1 || reusable != c.want {
			t.Errorf("%s: released %d times, reusable %v", c.name, released, reusable)
		}
	}
}

// TestUnreadResponse: who closes a body before its end gives the connection up.
func TestUnreadResponse(t *testing.T) {
	reusable := true
	cl := dialClient(t, backend(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) }), &Options{Release: func(_ *Client, ok bool) { reusable = ok }})
	call := newCall("GET", "/")
	if err := cl.RoundTrip(call); err != nil {
		t.Fatal(err)
	}
	call.Response.Body.Next()
	call.Response.Body.Close(nil)
	if _, err := call.Response.Body.Next(); err == nil {
		t.Error("a closed body goes on")
	}
	call.Finish(time.Now())
	if reusable {
		t.Error("reusable")
	}
}

// TestIdleRace: which failures are safe to repeat.
func TestIdleRace(t *testing.T) {
	closing := make(chan bool)
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		http.ReadRequest(br)
		io.WriteString(w, "HTTP/1.1 204 x\r\n\r\n")
		<-closing
	})
	cl := dialClient(t, to, &Options{})
	call := newCall("GET", "/")
	if err := cl.RoundTrip(call); err != nil {
		t.Fatal(err)
	}
	call.Finish(time.Now())
	close(closing)
	for cl.probe.look(cl.nc) == sawNothing {
		time.Sleep(time.Millisecond)
	}
	again(call, "POST", "/") // may not be sent twice: it is not sent into a connection that is closed
	if err := cl.RoundTrip(call); err != ErrStale || !errors.Is(err, traffic.ErrRefused) {
		t.Errorf("closed before it was used again: %v", err)
	}
	call.Finish(time.Now())

	hang := make(chan bool)
	to = rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		http.ReadRequest(br)
		io.WriteString(w, "HTTP/1.1 204 x\r\n\r\n")
		http.ReadRequest(br)
		<-hang
	})
	cl = dialClient(t, to, &Options{})
	again(call, "GET", "/")
	if err := cl.RoundTrip(call); err != nil {
		t.Fatal(err)
	}
	call.Finish(time.Now())
	again(call, "GET", "/")
	time.AfterFunc(30*time.Millisecond, func() { close(hang) })
	if err := cl.RoundTrip(call); err != ErrIdleClosed || !errors.Is(err, traffic.ErrReset) || errors.Is(err, traffic.ErrRefused) {
		t.Errorf("closed as it was used again: %v", err)
	}
	call.Finish(time.Now())

	to = rawBackend(t, func(br *bufio.Reader, w io.Writer) { http.ReadRequest(br) })
	again(call, "GET", "/")
	if err := dialClient(t, to, &Options{}).RoundTrip(call); !errors.Is(err, traffic.ErrReset) || errors.Is(err, ErrIdleClosed) {
		t.Errorf("a first request: %v", err)
	}
	call.Finish(time.Now())
	again(call, "GET", "/")
	cl = dialClient(t, to, &Options{})
	cl.nc.Close()
	if err := cl.RoundTrip(call); !errors.Is(err, traffic.ErrRefused) {
		t.Errorf("nothing was written: %v", err)
	}
	call.Finish(time.Now())
}

// TestDeadline holds for the head, for an upload that nobody takes, and for the body.
func TestDeadline(t *testing.T) {
	hang := make(chan bool)
	t.Cleanup(func() { close(hang) })
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		q, _ := http.ReadRequest(br)
		if q != nil && q.URL.Path == "/body" {
			io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}
		<-hang
	})
	call := newCall("GET", "/")
	call.Deadline.At = time.Now().Add(30 * time.Millisecond)
	if err := dialClient(t, to, &Options{}).RoundTrip(call); err != traffic.ErrDeadline {
		t.Errorf("head: %v", err)
	}
	call.Finish(time.Now())
	again(call, "POST", "/")
	call.Deadline.At = time.Now().Add(60 * time.Millisecond)
	call.Body = &endless{}
	if err := dialClient(t, to, &Options{}).RoundTrip(call); err != traffic.ErrDeadline {
		t.Errorf("upload: %v", err)
	}
	if n := call.Body.(*endless).inside.Load(); n != 0 {
		t.Error("the body is still being read")
	}
	call.Finish(time.Now())
	again(call, "GET", "/body")
	call.Deadline.At = time.Now().Add(time.Second)
	cl := dialClient(t, to, &Options{})
	if err := cl.RoundTrip(call); err != nil {
		t.Fatal(err)
	}
	if b, err := drain(call.Response.Body); err != traffic.ErrDeadline || b != "abc" {
		t.Errorf("body: %q %v", b, err)
	}
	call.Finish(time.Now())
}

// endless is a body without end.
type endless struct {
	inside      atomic.Int32
	interrupted atomic.Bool
}

func (e *endless) Next() ([]byte, error) {
	e.inside.Add(1)
	defer e.inside.Add(-1)
	if e.interrupted.Load() {
		return nil, traffic.ErrInterrupted
	}
	return make([]byte, 64<<10), nil
}
func (e *endless) Interrupt(on bool) { e.interrupted.Store(on) }
func (e *endless) Close(error)       {}

func TestCanceled(t *testing.T) {
	hang := make(chan bool)
	t.Cleanup(func() { close(hang) })
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) { http.ReadRequest(br); <-hang })
	call := newCall("GET", "/")
	gone := make(chan struct{})
	call.Gone = gone
	time.AfterFunc(20*time.Millisecond, func() { close(gone) })
	if err := dialClient(t, to, &Options{}).RoundTrip(call); err != traffic.ErrCanceled {
		t.Error(err)
	}
	call.Finish(time.Now())
}

// TestRetry: a body that was kept is sent again, to another connection, while the first attempt's upload still waits for the
// caller's next byte.
func TestRetry(t *testing.T) {
	var tries atomic.Int32
	again := make(chan bool)
	r := newRelay(t, rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		q, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if tries.Add(1) == 1 {
			io.WriteString(w, "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n")
			br.ReadString('!')
			return
		}
		again <- true
		b, _ := io.ReadAll(q.Body)
		// It says that it closes: a POST on a connection that is about to be closed is lost, and not sent again.
		fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}), nil)
	forward := r.s.Serve
	r.s.Serve = func(c *traffic.Call) error {
		c.Keep(1 << 20)
		m := c.Mark()
		if err := forward(c); err != nil || c.Response.Status != 503 {
			return err
		}
		if !c.Rewind(m, time.Now()) {
			return errors.New("cannot rewind")
		}
		return forward(c)
	}
	for _, rest := range []bool{true, false} {
		tries.Store(0)
		nc := dial(t, r.addr())
		io.WriteString(nc, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
		if rest {
			io.WriteString(nc, "def")
		}
		select {
		case <-again:
		case <-time.After(10 * time.Second):
			t.Fatal("the call is not sent again")
		}
		if !rest {
			io.WriteString(nc, "def")
		}
		if q, body := read(t, bufio.NewReader(nc), "POST"); q.StatusCode != 200 || body != "abcdef" {
			t.Errorf("%v %q", q, body)
		}
	}
}

// TestUploads: bodies of all sizes, in both framings, against net/http; the connections are used again.
func TestUploads(t *testing.T) {
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		n, err := io.Copy(io.Discard, q.Body)
		fmt.Fprint(w, n, err, q.Trailer)
	}), nil)
	h := &http.Client{Transport: &http.Transport{}}
	defer h.CloseIdleConnections()
	for _, size := range []int{0, 1, 100, gather, gather + 1, small, 3 * small, 1 << 20, 5 << 20} {
		for _, chunked := range []bool{false, true} {
			body := io.Reader(strings.NewReader(strings.Repeat("x", size)))
			want := fmt.Sprint(size, nil, http.Header(nil))
			if chunked {
				body = io.MultiReader(body)
			}
			q, _ := http.NewRequest("POST", "http://"+r.addr(), body)
			if chunked && size > 0 {
				q.Trailer = http.Header{"X-Sum": {"1"}}
				want = fmt.Sprint(size, nil, q.Trailer)
			}
			p, err := h.Do(q)
			if err != nil {
				t.Fatal(size, chunked, err)
			}
			b, err := io.ReadAll(p.Body)
			if p.Body.Close(); string(b) != want || err != nil {
				t.Errorf("%d chunked %v: %q, want %q", size, chunked, b, want)
			}
		}
	}
	r.note(func() {
		if r.dials > 3 {
			t.Errorf("%d connections", r.dials)
		}
	})
}

// TestDownloads: what the callee sends arrives whole, whatever its size and framing.
func TestDownloads(t *testing.T) {
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		var size, step int
		fmt.Sscan(q.URL.RawQuery, &size)
		fmt.Sscan(q.Header.Get("step"), &step)
		if step == 0 {
			w.Header().Set("content-length", fmt.Sprint(size))
			step = size + 1
		}
		for n := 0; n < size; n += step {
			w.Write(make([]byte, min(step, size-n)))
			w.(http.Flusher).Flush()
		}
	}), nil)
	h := &http.Client{Transport: &http.Transport{}}
	defer h.CloseIdleConnections()
	for _, c := range [][2]int{{0, 0}, {1, 0}, {100000, 0}, {5 << 20, 0}, {10, 1}, {100000, 777}, {5 << 20, 70000}} {
		q, _ := http.NewRequest("GET", fmt.Sprint("http://", r.addr(), "/?", c[0]), nil)
		q.Header.Set("step", fmt.Sprint(c[1]))
		p, err := h.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, p.Body); int(n) != c[0] || err != nil {
			t.Errorf("%v: %d, %v", c, n, err)
		}
		p.Body.Close()
	}
}

// TestFlood: a callee that never stops saying 1xx is given up.
func TestFlood(t *testing.T) {
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		for _, err := http.ReadRequest(br); err == nil; _, err = io.WriteString(w, "HTTP/1.1 103 x\r\n\r\n") {
		}
	})
	var bad *http1.Error
	call := newCall("GET", "/")
	if err := dialClient(t, to, &Options{}).RoundTrip(call); !errors.As(err, &bad) {
		t.Error(err)
	}
	call.Finish(time.Now())
}
