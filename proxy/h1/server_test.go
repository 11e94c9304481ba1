package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// ask sends one raw request and reads the response as net/http does, to its end.
func ask(t *testing.T, rw io.ReadWriter, br *bufio.Reader, method, in string) (q *http.Response, body string) {
	t.Helper()
	io.WriteString(rw, in)
	return read(t, br, method)
}

func read(t *testing.T, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	q, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(q.Body)
	if err != nil {
		t.Fatal(err)
	}
	return q, string(b)
}

// TestResponseFramings: each response ends where the next begins, on one connection.
func TestResponseFramings(t *testing.T) {
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/sized":
			io.WriteString(w, "sized")
		case "/chunked":
			io.WriteString(w, "chun")
			w.(http.Flusher).Flush()
			io.WriteString(w, "ked")
		case "/close":
			hj, bw, _ := w.(http.Hijacker).Hijack()
			io.WriteString(bw, "HTTP/1.1 200 OK\r\n\r\nuntil the end")
			bw.Flush()
			hj.Close()
		case "/204":
			w.WriteHeader(204)
		case "/304":
			hj, bw, _ := w.(http.Hijacker).Hijack()
			io.WriteString(bw, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n")
			bw.Flush()
			hj.Close()
		case "/trailer":
			w.Header().Set("trailer", "x-sum")
			io.WriteString(w, "body")
			w.Header().Set("x-sum", "42")
		}
	}), nil)
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	for _, c := range []struct{ name, method, path, body, want string }{
		{"content-length", "GET", "/sized", "sized", "200 5 [] "},
		{"9110 9.3.2: HEAD", "HEAD", "/sized", "", "200 5 [] "},
		{"chunked", "GET", "/chunked", "chunked", "200 -1 [chunked] "},
		{"9112 6.3 (8): a body until the end of the connection becomes chunked", "GET", "/close", "until the end", "200 -1 [chunked] "},
		{"9110 15.3.5: 204", "GET", "/204", "", "204 0 [] "},
		{"9110 15.4.5: 304", "GET", "/304", "", "304 0 [] 7"},
		{"an empty body has its length said", "GET", "/empty", "", "200 0 [] "},
		{"9112 7.1.2: trailers", "GET", "/trailer", "body", "200 -1 [chunked] 42"},
		{"9110 9.3.2: HEAD of what would be chunked", "HEAD", "/chunked", "", "200 -1 [] "},
	} {
		q, body := ask(t, nc, br, c.method, c.method+" "+c.path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		got := fmt.Sprint(q.StatusCode, " ", q.ContentLength, " ", q.TransferEncoding, " ", q.Trailer.Get("x-sum"))
		if q.StatusCode == 304 {
			got += q.Header.Get("content-length")
		}
		if got != c.want || body != c.body {
			t.Errorf("%s: %q %q, want %q %q", c.name, got, body, c.want, c.body)
		}
		if q.Header.Get("connection") != "" || q.Close {
			t.Errorf("%s: %v", c.name, q.Header)
		}
	}
}

// TestHTTP10: callers of HTTP/1.0 get no chunks, no interim responses, and a connection that closes unless they ask.
func TestHTTP10(t *testing.T) {
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(103)
		if q.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, "body of "+q.Host)
	}), nil)
	if got := talk(t, r.addr(), "GET /stream HTTP/1.0\r\nHost: h\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") ||
		!strings.HasSuffix(got, "\r\n\r\nbody of h") || strings.Contains(got, "chunked") || !strings.Contains(got, "connection: close\r\n") {
		t.Errorf("%q", got)
	}
	got := talk(t, r.addr(), "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\nHost: b\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200") != 2 || !strings.Contains(got, "connection: keep-alive\r\n") || !strings.HasSuffix(got, "body of b") {
		t.Errorf("%q", got)
	}
}

// TestRefusals: what is not a request gets its answer, the connection closes, and no byte reaches the callee.
func TestRefusals(t *testing.T) {
	var reached atomic.Int32
	r := newRelay(t, backend(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) }), nil)
	for in, status := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                                                     "400",
		"GET / HTTP/1.1\nHost: h\n\n":                                                "400",
		"GET / HTTP/2.0\r\nHost: h\r\n\r\n":                                          "505",
		"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: h\r\n\r\n":         "414",
		"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 70000) + "\r\n\r\n": "431",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n": "400",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":                                           "501",
		"GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n":                                                                   "417",
		"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03":                                                                     "400",
	} {
		got := talk(t, r.addr(), in)
		if !strings.HasPrefix(got, "HTTP/1.1 "+status) || strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "connection: close\r\n") || !strings.Contains(got, "date: ") {
			t.Errorf("%.80q: %q, want %s", in, got, status)
		}
	}
	if reached.Load() > 0 {
		t.Error("the callee heard of it")
	}
	r.note(func() {
		if len(r.refused) != 9 {
			t.Errorf("%d counted: %v", len(r.refused), r.refused)
		}
	})
}

// TestBadChunks: a body that breaks in the middle is the caller's fault, and the callee does not take it for whole.
func TestBadChunks(t *testing.T) {
	whole := make(chan bool, 9)
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		_, err := io.ReadAll(q.Body)
		whole <- err == nil
	}), nil)
	for _, rest := range []string{"3\r\nabcd\r\n", "x\r\n", "3\nabc", "fffffffffffffffff\r\n"} {
		got := talk(t, r.addr(), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"+rest)
		if !strings.HasPrefix(got, "HTTP/1.1 400") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%q: %q", rest, got)
		}
	}
	nc := dial(t, r.addr())
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
	nc.CloseWrite()
	if got, _ := io.ReadAll(nc); !strings.HasPrefix(string(got), "HTTP/1.1 400") {
		t.Errorf("cut off: %q", got)
	}
	for len(whole) > 0 {
		if <-whole {
			t.Error("the callee took a broken body for whole")
		}
	}
}

func TestSlowCallers(t *testing.T) {
	r := newRelay(t, backend(t, echo), func(r *relay) {
		r.s.Head, r.s.Body = 60*time.Millisecond, 60*time.Millisecond
	})
	idle := newRelay(t, backend(t, echo), func(r *relay) { r.s.Idle = 100 * time.Millisecond })
	for name, in := range map[string]string{
		"a head that does not come":  "GET / HT",
		"a body that does not come":  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
		"a chunk that does not come": "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	} {
		if got := talk(t, r.addr(), in); !strings.HasPrefix(got, "HTTP/1.1 408") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := talk(t, idle.addr(), ""); got != "" {
		t.Errorf("an idle connection: %q", got)
	}
	// Slow as it is, a head that trickles has one time for all of it.
	nc := dial(t, r.addr())
	go func() {
		for _, b := range "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 100) {
			if _, err := nc.Write([]byte{byte(b)}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if got, _ := io.ReadAll(nc); !strings.HasPrefix(string(got), "HTTP/1.1 408") {
		t.Errorf("a trickle: %q", got)
	}
}

// TestExpectContinue (RFC 9110 section 10.1.1): the caller's body is asked for when the callee asks for it.
func TestExpectContinue(t *testing.T) {
	const head = " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/no" {
			w.WriteHeader(413)
			return
		}
		echo(w, q)
	}), nil)
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	io.WriteString(nc, "POST /yes"+head)
	line, _ := br.ReadString('\n')
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q", line)
	}
	br.ReadString('\n')
	if q, body := ask(t, nc, br, "POST", "abc"); q.StatusCode != 200 || !strings.Contains(body, "body=3") || q.Close {
		t.Errorf("%v %q", q, body)
	}
	// "It may send the body or not": nobody can tell where the next request begins.
	q, _ := ask(t, nc, br, "POST", "POST /no"+head)
	if q.StatusCode != 413 || !q.Close {
		t.Errorf("%v", q)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("%q", rest)
	}
}

// TestContinueNeverComes: a callee of HTTP/1.0 says nothing; the body goes after a while.
func TestContinueNeverComes(t *testing.T) {
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		q, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		b, _ := io.ReadAll(q.Body)
		fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	})
	r := newRelay(t, to, func(r *relay) { r.o.Continue = 30 * time.Millisecond })
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if line, _ := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q", line)
	}
	br.ReadString('\n')
	if _, body := ask(t, nc, br, "POST", "abc"); body != "abc" {
		t.Errorf("%q", body)
	}
}

// rawBackend serves each connection with f until it returns.
func rawBackend(t testing.TB, f func(br *bufio.Reader, w io.Writer)) string {
	ln := listen(t)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				f(bufio.NewReader(nc), nc)
			}()
		}
	}()
	return ln.Addr().String()
}

// TestEarlyResponse: the answer comes while the request is still being sent, and is passed on at once.
func TestEarlyResponse(t *testing.T) {
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.WriteString(w, "early ")
		w.(http.Flusher).Flush()
		b, _ := io.ReadAll(q.Body)
		w.Write(b)
	}), nil)
	nc := dial(t, r.addr())
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	br := bufio.NewReader(nc)
	q, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := io.ReadFull(q.Body, buf); string(buf) != "early " {
		t.Fatalf("%q %v", buf, err)
	}
	io.WriteString(nc, "2\r\nde\r\n0\r\n\r\n")
	if b, _ := io.ReadAll(q.Body); string(b) != "abcde" {
		t.Errorf("%q", b)
	}
	if _, body := ask(t, nc, br, "GET", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"); body != "early x" {
		t.Errorf("%q", body)
	}
}

// TestEarlyEnd: a callee that answers and hangs up while the upload still runs: the caller gets the answer, not a reset.
func TestEarlyEnd(t *testing.T) {
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		http.ReadRequest(br)
		io.WriteString(w, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
	})
	r := newRelay(t, to, nil)
	for range 20 {
		nc := dial(t, r.addr())
		go func() {
			fmt.Fprintf(nc, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 100<<20)
			for b := make([]byte, 64<<10); ; {
				if _, err := nc.Write(b); err != nil {
					return
				}
			}
		}()
		if q, body := read(t, bufio.NewReader(nc), "POST"); q.StatusCode != 413 || body != "big" {
			t.Fatalf("%v %q", q, body)
		}
	}
}

// TestUnwantedBody: a body that nobody reads is skipped if it is short; else the connection ends.
func TestUnwantedBody(t *testing.T) {
	r := newRelay(t, "", func(r *relay) {
		r.s.Serve = func(c *traffic.Call) error {
			c.Response.Status, c.Response.Local = 403, true
			c.Response.Body = &traffic.Bytes{B: []byte("no")}
			return nil
		}
	})
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	q, body := ask(t, nc, br, "POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde")
	if q.StatusCode != 403 || body != "no" || q.ContentLength != 2 || q.Header.Get("date") == "" {
		t.Errorf("%v %q", q, body)
	}
	q, body = ask(t, nc, br, "HEAD", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
	if q.StatusCode != 403 || body != "" || q.ContentLength != 2 {
		t.Errorf("%v %q", q, body)
	}
	if q, _ = ask(t, nc, br, "POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nabcde"); q.StatusCode != 403 {
		t.Errorf("%v", q)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("%q", rest)
	}
}

func TestInterim(t *testing.T) {
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		io.WriteString(w, "ok")
	}), nil)
	got := talk(t, r.addr(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n") {
		t.Errorf("%q", got)
	}
}

// TestShutdownWaitsForNobody: a caller that takes no interim response does not hold up whoever ends all connections.
func TestShutdownWaitsForNobody(t *testing.T) {
	for name, x := range map[string]struct {
		serve   func(*traffic.Call) error
		request string
	}{
		"100": {sink, "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"},
		"103": {func(c *traffic.Call) error {
			c.Inform(103, &traffic.Header{})
			return c.Reply(200, decision.Verdict{})
		}, "GET / HTTP/1.1\r\nhost: h\r\n\r\n"},
	} {
		nc, theirs := net.Pipe()
		s := &Server{Serve: x.serve}
		conn, over := s.NewConn(theirs, nil, clock{}, &traffic.Conn{}, "http"), make(chan struct{})
		go func() { conn.Serve(); close(over) }()
		if _, err := io.WriteString(nc, x.request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil { // the rest of it waits
			t.Fatal(err)
		}
		told := make(chan struct{})
		go func() { conn.Shutdown(true); close(told) }()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it waits for the caller", name)
		}
		nc.Close()
		<-told
		<-over
	}
}

// TestShutdown: idle connections close at once; a response on its way says that it is the last.
func TestShutdown(t *testing.T) {
	started, gate := make(chan bool), make(chan bool)
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		started <- true
		<-gate
	}), nil)
	idle, busy := dial(t, r.addr()), dial(t, r.addr())
	io.WriteString(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-started
	for { // until the server knows both
		n := 0
		r.note(func() {
			for c := range r.conns {
				c.ends.Lock()
				if c.idle {
					n++
				}
				c.ends.Unlock()
			}
		})
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.note(func() {
		for c := range r.conns {
			c.Shutdown(true)
		}
	})
	if b, err := io.ReadAll(idle); len(b) > 0 || err != nil {
		t.Errorf("%q %v", b, err)
	}
	close(gate)
	if b, _ := io.ReadAll(busy); !strings.Contains(string(b), "connection: close\r\n") || !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Errorf("%q", b)
	}
}

// TestBrokenResponse: a caller never takes a response that broke off for whole.
func TestBrokenResponse(t *testing.T) {
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		q, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		switch q.URL.Path {
		case "/sized":
			io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		case "/chunked":
			io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		case "/bad":
			io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx")
		}
	})
	r := newRelay(t, to, nil)
	for _, path := range []string{"/sized", "/chunked", "/bad"} {
		for _, minor := range "01" {
			nc := dial(t, r.addr())
			fmt.Fprintf(nc, "GET %s HTTP/1.%c\r\nHost: h\r\n\r\n", path, minor)
			q, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				continue // reset before the head was read: also a failure
			}
			if b, err := io.ReadAll(q.Body); err == nil {
				t.Errorf("%s HTTP/1.%c: %q taken for whole", path, minor, b)
			}
		}
	}
	for _, bad := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "garbage\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 101 x\r\n\r\n", ""} {
		to := rawBackend(t, func(br *bufio.Reader, w io.Writer) { http.ReadRequest(br); io.WriteString(w, bad) })
		r := newRelay(t, to, nil)
		if got := talk(t, r.addr(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502") {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// TestBackPressure: a caller that does not read holds the callee back, and costs a bounded amount of memory.
func TestBackPressure(t *testing.T) {
	const total = 64 << 20
	var written atomic.Int64
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		for b := bytes.Repeat([]byte("x"), 64<<10); written.Load() < total; written.Add(int64(len(b))) {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}), nil)
	nc := dial(t, r.addr())
	nc.SetReadBuffer(64 << 10)
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	at := int64(-1)
	for at != written.Load() { // until nothing moves any more
		at = written.Load()
		time.Sleep(100 * time.Millisecond)
	}
	if at >= total/2 {
		t.Errorf("%d of %d bytes were taken with nobody reading", at, total)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.TotalAlloc
	if n, err := io.Copy(io.Discard, nc); n < total || err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	runtime.ReadMemStats(&m)
	if grown := m.TotalAlloc - before; grown > 8<<20 {
		t.Errorf("%d bytes of garbage for %d of body", grown, total)
	}
}

// TestIdleHoldsNothing: neither buffer nor exchange, on both sides.
func TestIdleHoldsNothing(t *testing.T) {
	r := newRelay(t, backend(t, echo), nil)
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	ask(t, nc, br, "GET", "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	r.note(func() {
		for _, c := range r.idle {
			if c.in.buf != nil || c.out.out != nil {
				t.Error("an idle connection to a callee holds a buffer")
			}
		}
	})
	time.Sleep(2 * Tick)
	r.note(func() {
		for c := range r.conns {
			c.Shutdown(true) // makes what its goroutine did visible here
			c.in.mu.Lock()
			if c.in.buf != nil && c.in.r != c.in.w || c.out.out != nil {
				t.Error("an idle connection of a caller holds a buffer")
			}
			c.in.mu.Unlock()
		}
	})
	if b, _ := io.ReadAll(br); len(b) > 0 {
		t.Errorf("%q", b)
	}
}

// TestParks: a connection that idles is handed back, open and with nothing lost, and a new Conn serves it as before.
func TestParks(t *testing.T) {
	r := newRelay(t, backend(t, echo), func(r *relay) { r.s.Parks = true })
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	for range 3 {
		if q, body := ask(t, nc, br, "GET", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"); q.StatusCode != 200 || !strings.HasPrefix(body, "GET /x") {
			t.Errorf("%v %q", q, body)
		}
		if c := <-r.idled; c.in.buf != nil || c.out.out != nil || c.x != nil {
			t.Error("a connection that idles holds a buffer or an exchange")
		}
	}
}

// TestInjection: what HTTP/2 or a filter can put into a call cannot become a second message.
func TestInjection(t *testing.T) {
	r := newRelay(t, backend(t, echo), nil)
	forward := r.s.Serve
	for name, edit := range map[string]func(c *traffic.Call){
		"a line break in a value": func(c *traffic.Call) { c.Header.Set("x", "a\r\nContent-Length: 5") },
		"a line break in a name":  func(c *traffic.Call) { c.Header.Set("x: y\r\nz", "a") },
		"a space in the path":     func(c *traffic.Call) { c.Path = "/ HTTP/1.1" },
		"a break in the query":    func(c *traffic.Call) { c.Query = "a\r\nX: y" },
		"a break in the method":   func(c *traffic.Call) { c.Method = "GET / HTTP/1.1\r\nX:" },
		"a break in the host":     func(c *traffic.Call) { c.Authority = "a\r\nX: y" },
		"a length without a body": func(c *traffic.Call) { c.Header.Set("content-length", "5") },
		"a length that is none":   func(c *traffic.Call) { c.Header.Set("content-length", "5, 6") },
		"a body that is too long": func(c *traffic.Call) {
			c.Header.Set("content-length", "1")
			c.Body = &traffic.Bytes{B: []byte("two")}
		},
		"a body that is too short": func(c *traffic.Call) {
			c.Header.Set("content-length", "5")
			c.Body = &traffic.Bytes{B: []byte("two")}
		},
	} {
		r.s.Serve = func(c *traffic.Call) error { edit(c); return forward(c) }
		if got := talk(t, r.addr(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") {
			t.Errorf("%s: %q", name, got)
		}
	}
	r.s.Serve = func(c *traffic.Call) error {
		err := forward(c)
		c.Response.Header.Set("x", "a\r\n\r\nHTTP/1.1 200 OK")
		return err
	}
	if got := talk(t, r.addr(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502") || strings.Count(got, "HTTP/1.1") != 1 {
		t.Errorf("in a response: %q", got)
	}
	// What is for one hop never comes from the header of a call: te.te and its kin by HTTP/2 (RFC 9113 section 8.2.2).
	r.s.Serve = func(c *traffic.Call) error {
		c.Header.Set("transfer-encoding", "chunked")
		c.Header.Set("connection", "x")
		c.Header.Add("cookie", "a=1")
		c.Header.Add("cookie", "b=2")
		return forward(c)
	}
	if got := talk(t, r.addr(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "te=[] len=0 body=0") {
		t.Errorf("%q", got)
	}
}

// TestLimitsOfHeads: limits are the server's.
func TestLimitsOfHeads(t *testing.T) {
	r := newRelay(t, backend(t, echo), func(r *relay) { r.s.Limits = http1.Limits{Line: 20, Head: 60, Fields: 2} })
	for in, status := range map[string]string{
		"GET /" + strings.Repeat("a", 20) + " HTTP/1.1\r\nHost: h\r\n\r\n":        "414",
		"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 60) + "\r\n\r\n": "431",
		"GET / HTTP/1.1\r\nHost: h\r\nA:b\r\nA:b\r\n\r\n":                         "431",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection:close\r\n\r\n":                   "200",
	} {
		if got := talk(t, r.addr(), in); !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Errorf("%q: %q", in, got)
		}
	}
	big := newRelay(t, backend(t, echo), nil)
	if got := talk(t, big.addr(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: "+strings.Repeat("a", 60000)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("a head of 60 KB: %.100q", got)
	}
}

// TestCallerLeaves: a callee that thinks for long is not kept busy for nobody. One whose caller half-closed but whose answer moves
// is not disturbed.
func TestCallerLeaves(t *testing.T) {
	canceled := make(chan bool, 1)
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/think" {
			<-q.Context().Done()
			canceled <- true
			return
		}
		for range 5 {
			io.WriteString(w, "tick ")
			w.(http.Flusher).Flush()
			time.Sleep(watchEvery / 2)
		}
	}), nil)
	half := dial(t, r.addr())
	io.WriteString(half, "GET /slow HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	half.CloseWrite()
	nc := dial(t, r.addr())
	io.WriteString(nc, "GET /think HTTP/1.1\r\nHost: h\r\n\r\n")
	nc.Close()
	select {
	case <-canceled:
	case <-time.After(10 * time.Second):
		t.Error("the callee still thinks")
	}
	if b, _ := io.ReadAll(half); strings.Count(string(b), "tick") != 5 {
		t.Errorf("%q", b)
	}
}
