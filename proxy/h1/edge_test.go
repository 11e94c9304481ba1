package h1

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/internal/leaktest"
	"github.com/weft-mesh/weft/traffic"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// serve answers what a caller sends in one piece, and returns what it got.
func serve(s *Server, in string) string {
	m := &memory{r: strings.NewReader(in)}
	s.NewConn(m, nil, clock{}, &traffic.Conn{}, "http").Serve()
	return m.out.String()
}

// late is a response body that reads the request's body, as one that is read late is.
type late struct {
	traffic.Bytes
	c   *traffic.Call
	err error
}

func (l *late) Next() ([]byte, error) {
	if l.B != nil {
		_, l.err = l.c.Body.Next()
	}
	return l.Bytes.Next()
}

func (l *late) Ready() bool { return false }

// TestNoContinueAfterTheAnswer: an interim response never follows the final one, and the body that was not asked for is not
// waited for.
func TestNoContinueAfterTheAnswer(t *testing.T) {
	var body *late
	s := &Server{Serve: func(c *traffic.Call) error {
		body = &late{Bytes: traffic.Bytes{B: []byte("no")}, c: c}
		c.Response.Status, c.Response.Body = 403, body
		return nil
	}}
	got := serve(s, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
	if strings.Contains(got, "100 Continue") || strings.Count(got, "HTTP/1.1") != 1 || !strings.Contains(got, "connection: close") || body.err == nil {
		t.Errorf("%q %v", got, body.err)
	}
}

// TestExpectInHTTP10 is ignored, and not passed on (RFC 9110 section 10.1.1).
func TestExpectInHTTP10(t *testing.T) {
	s := &Server{Serve: func(c *traffic.Call) error {
		if v, ok := c.Header.Get("expect"); ok {
			t.Errorf("passed on: %q", v)
		}
		b, err := drain(c.Body)
		c.Response.Status, c.Response.Body = 200, &traffic.Bytes{B: []byte(b)}
		return err
	}}
	if got := serve(s, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.HasSuffix(got, "abc") {
		t.Errorf("%q", got)
	}
}

// TestLinger: a caller that goes on sending reads its answer before it hears that nobody listens (RFC 9112 section 9.6).
func TestLinger(t *testing.T) {
	r := newRelay(t, "", func(r *relay) {
		r.s.Serve = func(c *traffic.Call) error { c.Response.Status, c.Response.Local = 403, true; return nil }
	})
	for head, status := range map[string]string{
		"GET / HTTP/9.9\r\n\r\n": "505",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n": "403",
	} {
		nc := dial(t, r.addr())
		go io.WriteString(nc, head+strings.Repeat("x", 200<<10))
		time.Sleep(50 * time.Millisecond)
		if b, err := io.ReadAll(nc); !strings.HasPrefix(string(b), "HTTP/1.1 "+status) || err != nil {
			t.Fatalf("%q %v", b, err)
		}
	}
}

// TestOverlongBody: what goes beyond a Content-Length would be the next request; not a byte of it leaves.
func TestOverlongBody(t *testing.T) {
	heard := make(chan string, 1)
	to := rawBackend(t, func(br *bufio.Reader, _ io.Writer) {
		b, _ := io.ReadAll(br)
		heard <- string(b)
	})
	call := newCall("POST", "/")
	call.Header.Receive("content-length", "1")
	call.Body = &traffic.Bytes{B: []byte("xGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n" + strings.Repeat("x", small))}
	if err := dialClient(t, to, &Options{}).RoundTrip(call); !errors.Is(err, ErrRequest) {
		t.Error(err)
	}
	call.Finish(time.Now())
	if b := <-heard; strings.Contains(b, "smuggled") {
		t.Errorf("%q", b)
	}
}

// silent is a body that brings nothing until it is interrupted.
type silent struct{ stop, out chan bool }

func (s silent) Next() ([]byte, error) {
	<-s.stop
	s.out <- true
	return nil, traffic.ErrInterrupted
}

func (s silent) Interrupt(on bool) {
	if on {
		s.stop <- true
	}
}
func (s silent) Close(error) {}

// TestAnswerBeforeTheBody: Forward "has stopped reading when it returns a response without a body", though the caller says
// nothing more.
func TestAnswerBeforeTheBody(t *testing.T) {
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		http.ReadRequest(br)
		io.WriteString(w, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n")
		io.ReadAll(br)
	})
	reusable := true
	call := newCall("POST", "/")
	body := silent{make(chan bool, 1), make(chan bool, 1)}
	call.Body = body
	if err := dialClient(t, to, &Options{Release: func(_ *Client, ok bool) { reusable = ok }}).RoundTrip(call); err != nil || call.Response.Status != 413 {
		t.Error(call.Response.Status, err)
	}
	select {
	case <-body.out:
	default:
		t.Error("the body is still being read")
	}
	call.Finish(time.Now())
	if reusable {
		t.Error("a request that was cut off is followed by another")
	}
}

// TestInterruptResponse: it holds until it is lifted, and nothing is lost.
func TestInterruptResponse(t *testing.T) {
	more := make(chan bool)
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		http.ReadRequest(br)
		io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
		<-more
		io.WriteString(w, "abc")
		io.ReadAll(br)
	})
	call := newCall("GET", "/")
	if err := dialClient(t, to, &Options{}).RoundTrip(call); err != nil {
		t.Fatal(err)
	}
	call.Response.Body.Interrupt(true)
	for range 3 {
		if _, err := call.Response.Body.Next(); err != traffic.ErrInterrupted {
			t.Fatal(err)
		}
	}
	call.Response.Body.Interrupt(false)
	close(more)
	if b, err := drain(call.Response.Body); b != "abc" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	call.Finish(time.Now())
}

// TestCookies: those that HTTP/2 splits become one field (RFC 9113 section 8.2.3).
func TestCookies(t *testing.T) {
	to := backend(t, func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, strings.Join(q.Header["Cookie"], "|")) })
	call := newCall("GET", "/")
	for _, v := range []string{"a=1", "b=2", "c=3"} {
		call.Header.Receive("cookie", v)
	}
	if err := dialClient(t, to, &Options{}).RoundTrip(call); err != nil {
		t.Fatal(err)
	}
	if b, err := drain(call.Response.Body); b != "a=1; b=2; c=3" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	call.Finish(time.Now())
}

// TestShortResponse: a handler's body that is not as long as the head has said cannot pass for whole; one that is too long is cut.
func TestShortResponse(t *testing.T) {
	for body, want := range map[string]string{"ab": "ab", "abcdef": "abc"} {
		var seen error
		s := &Server{Done: func(c *traffic.Call) { seen = c.Response.Err }, Serve: func(c *traffic.Call) error {
			c.Response.Status, c.Response.Body = 200, struct{ traffic.Body }{&traffic.Bytes{B: []byte(body)}}
			c.Response.Header.Receive("content-length", "3")
			return nil
		}}
		got := serve(s, "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if strings.Count(got, "HTTP/1.1") != 1 || !strings.HasSuffix(got, "\r\n\r\n"+want) || seen == nil {
			t.Errorf("%q: %q %v", body, got, seen)
		}
	}
}

// TestTrailersNeedChunks: a response that announces trailers is chunked, though its length is known.
func TestTrailersNeedChunks(t *testing.T) {
	s := &Server{Serve: func(c *traffic.Call) error {
		c.Response.Status, c.Response.Body = 200, struct{ traffic.Body }{&traffic.Bytes{B: []byte("abc")}}
		c.Response.Header.Receive("content-length", "3")
		c.Response.Header.Receive("trailer", "x-sum")
		c.Response.Trailer.Receive("x-sum", "6")
		c.Response.Trailer.Receive("content-length", "6")
		return nil
	}}
	if got := serve(s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); !strings.HasSuffix(got, "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n") {
		t.Errorf("%q", got)
	}
}

// TestSlowDrain: what is left of a long body is not waited for.
func TestSlowDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := call(&Server{Serve: func(c *traffic.Call) error { c.Response.Status, c.Response.Local = 403, true; return nil }})
		defer c.Close()
		begin := time.Now()
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nabcde")
		got, _ := io.ReadAll(c)
		<-c.over
		if d := time.Since(begin); !strings.HasPrefix(string(got), "HTTP/1.1 403") || d > 3*time.Second {
			t.Errorf("%q after %v", got, d)
		}
	})
}
