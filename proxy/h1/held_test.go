package h1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/traffic"
)

// TestHeldResponse: a response that leaves as the next request is waited for is on its way at once, its call ends then, and what comes
// next on the connection is as if it had been written by itself.
func TestHeldResponse(t *testing.T) {
	ended := make(chan string, 100)
	r := newRelay(t, "", func(r *relay) {
		r.quick = true
		r.s.Serve = func(c *traffic.Call) error {
			c.Response.Status = 200
			switch c.Path {
			case "/none":
				c.Response.Status = 204
			case "/chunks":
				c.Response.Body = &unready{traffic.Bytes{B: []byte("in chunks")}}
			default:
				c.Response.Body = &traffic.Bytes{B: []byte(c.Method + " " + c.Path)}
			}
			return nil
		}
		r.s.Done = func(c *traffic.Call) {
			ended <- c.Path
			c.Finish(time.Now())
		}
	})
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	for i, x := range []struct{ request, want string }{
		{"GET /a HTTP/1.1\r\nhost: x\r\n\r\n", "GET /a"},
		{"HEAD /head HTTP/1.1\r\nhost: x\r\n\r\n", ""},
		{"GET /none HTTP/1.1\r\nhost: x\r\n\r\n", ""},
		{"GET /chunks HTTP/1.1\r\nhost: x\r\n\r\n", "in chunks"},
		{"POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi", "POST /post"},
		{"GET /one HTTP/1.1\r\nhost: x\r\n\r\nGET /two HTTP/1.1\r\nhost: x\r\n\r\n", "GET /one"}, // the second is there already
		{"", "GET /two"},
		{"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "GET /last"},
	} {
		fmt.Fprint(nc, x.request)
		q, _ := http.NewRequest("GET", "/", nil)
		if i == 1 {
			q.Method = "HEAD"
		}
		res, err := http.ReadResponse(br, q)
		if err != nil {
			t.Fatalf("%q: %v", x.request, err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != x.want || err != nil {
			t.Errorf("%q: %q, %v", x.request, b, err)
		}
		<-ended // while the connection waits for the next request
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after connection: close: %v", err)
	}
}

// unready is a body that is not known to be there.
type unready struct{ traffic.Bytes }

func (u *unready) Ready() bool { return false }

// TestHeldAndClosed: whoever ends a call may take a lock that another holds who closes the connection meanwhile.
func TestHeldAndClosed(t *testing.T) {
	var mu sync.Mutex
	ending, conn := make(chan struct{}), make(chan *Conn, 1)
	r := newRelay(t, "", func(r *relay) {
		r.quick = true
		r.s.Serve = func(c *traffic.Call) error {
			r.note(func() {
				for x := range r.conns {
					conn <- x
				}
			})
			mu.Lock()
			c.Response.Status, c.Response.Body = 200, &traffic.Bytes{B: []byte("hello")}
			return nil
		}
		r.s.Done = func(c *traffic.Call) {
			close(ending)
			mu.Lock()
			defer mu.Unlock()
			c.Finish(time.Now())
		}
	})
	nc := dial(t, r.addr())
	fmt.Fprint(nc, "GET / HTTP/1.1\r\nhost: x\r\n\r\n")
	c := <-conn
	<-ending
	go func() {
		c.Close() // with the lock that Done waits for
		mu.Unlock()
	}()
	if b, err := io.ReadAll(nc); err != nil || len(b) == 0 {
		t.Errorf("the response is %q, %v", b, err)
	}
}

// TestHeldAndLeft: a call whose response nobody takes any more is told so.
func TestHeldAndLeft(t *testing.T) {
	left, gone := make(chan error, 1), make(chan struct{})
	r := newRelay(t, "", func(r *relay) {
		r.quick = true
		r.s.Serve = func(c *traffic.Call) error {
			<-gone
			for x := range r.conns {
				x.Close()
			}
			c.Response.Status, c.Response.Body = 200, &traffic.Bytes{B: []byte("hello")}
			return nil
		}
		r.s.Done = func(c *traffic.Call) {
			left <- c.Response.Err
			c.Finish(time.Now())
		}
	})
	nc := dial(t, r.addr())
	fmt.Fprint(nc, "GET / HTTP/1.1\r\nhost: x\r\n\r\n")
	close(gone)
	if err := <-left; err == nil {
		t.Error("a response that could not be written is no error")
	}
	io.Copy(io.Discard, nc)
}

// deaf is a connection that has not noticed, until its time is up, what came before it waited.
type deaf struct {
	*sys.Quick
	asked *atomic.Int32
}

func (d deaf) Ask(message []byte, sent func(int, error) func() []byte) (int, error) {
	d.asked.Add(1)
	if new(probe).look(d.Quick) == sawNothing { // what comes from now on is noticed at once
		return d.Quick.Ask(message, sent)
	}
	if sent(d.Write(message)) == nil {
		return 0, nil
	}
	return 0, os.ErrDeadlineExceeded
}

// TestHeldAndAhead: a caller that sends the next request before it has the response, or ends, does not have to wait for a tick each time:
// it is noticed behind its first responses, or when a tick has passed.
func TestHeldAndAhead(t *testing.T) {
	for name, alone := range map[string]int{"from its begin": 0, "after a while": maxLooks} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			first, second := make(chan *Conn), make(chan struct{})
			r := newRelay(t, "", func(r *relay) {
				r.wrap = func(nc net.Conn) net.Conn { return deaf{sys.Quicken(nc).(*sys.Quick), &asked} }
				r.s.Serve = func(c *traffic.Call) error {
					c.Response.Status, c.Response.Body = 200, &traffic.Bytes{B: []byte("hello")}
					if c.Path == "/first" {
						var conn *Conn
						r.note(func() {
							for conn = range r.conns {
							}
						})
						first <- conn
						<-second
						for new(probe).look(conn.nc) == sawNothing { // it is under way
						}
					}
					return nil
				}
			})
			nc := dial(t, r.addr())
			br := bufio.NewReader(nc)
			ask := func(path string) { fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nhost: x\r\n\r\n", path) }
			answer := func() {
				t.Helper()
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
			}
			for range alone {
				ask("/")
				answer()
			}
			ask("/first")
			conn := <-first
			ask("/second")
			close(second)
			answer()
			answer()
			nc.CloseWrite()
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("the connection's end: %v", err)
			}
			r.ln.Close()
			r.wg.Wait() // it is not served any more: what it knew may be looked at
			if want := min(alone, 1); !conn.eager || int(asked.Load()) != alone+want {
				t.Errorf("it is noticed: %v, after %d responses that left with a wait", conn.eager, asked.Load())
			}
		})
	}
}
