package h1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// In a synctest bubble time passes only while everybody waits: limits are met to the moment, and nobody waits for them.

// heard is what a server tells of its callers.
type heard struct {
	refused []error
	ended   []error // of calls
}

// caller is a connection to a server. over is closed when the server has let go of it.
type caller struct {
	net.Conn
	heard
	over chan struct{}
}

func call(s *Server) *caller {
	nc, theirs := net.Pipe()
	c := &caller{Conn: nc, over: make(chan struct{})}
	s.Refused = func(_ *traffic.Conn, err error) { c.refused = append(c.refused, err) }
	s.Done = func(x *traffic.Call) { c.ended = append(c.ended, x.Response.Err); x.Finish(time.Now()) }
	conn := s.NewConn(theirs, nil, clock{}, &traffic.Conn{}, "http")
	go func() {
		defer close(c.over)
		conn.Serve()
	}()
	return c
}

// sink reads a call's body to its end, and answers.
func sink(c *traffic.Call) error {
	if _, err := drain(c.Body); err != nil {
		return c.Fail(err)
	}
	c.Response.Status, c.Response.Local = 200, true
	return nil
}

// trickle writes parts, one each pause, until the connection ends.
func trickle(w io.Writer, pause time.Duration, parts ...string) {
	for {
		for _, p := range parts {
			if _, err := io.WriteString(w, p); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// TestPatience: how long each sort of slowness is borne with.
func TestPatience(t *testing.T) {
	const sized, chunked = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, x := range []struct {
		name  string
		rate  int
		first string
		pause time.Duration // between each more that follow; 0: nothing follows
		more  string
		want  string        // the answer begins so
		after time.Duration // at least, and less than a second more
	}{
		{"nothing comes", 0, "", 0, "", "", time.Hour},
		{"an empty line comes", 0, "\r\n", 0, "", "", 30 * time.Second},
		{"a head stops", 0, "GET / HT", 0, "", "HTTP/1.1 408", 30 * time.Second},
		{"a head trickles", 0, "GET / HTTP/1.1\r\nX: ", time.Second, "y", "HTTP/1.1 408", 30 * time.Second},
		{"a body stops", 0, sized + "abc", 0, "", "HTTP/1.1 408", time.Minute},
		{"a chunk's size stops", 0, chunked + "5", 0, "", "HTTP/1.1 408", time.Minute},
		{"trailers stop", 0, chunked + "0\r\nX: ", 0, "", "HTTP/1.1 408", time.Minute},
		{"a body trickles below the rate", 100, sized, 10 * time.Second, "x", "HTTP/1.1 408", time.Minute},
		{"chunks trickle below the rate", 100, chunked, 10 * time.Second, "1\r\nx\r\n", "HTTP/1.1 408", time.Minute},
		{"chunks' extensions are no body", 100, chunked, 10 * time.Second, "1;" + strings.Repeat("x", 100) + "\r\nx\r\n", "HTTP/1.1 408", time.Minute},
		{"a body earns time, and loses it again", 100, sized + strings.Repeat("x", 6000), 59 * time.Second, "x", "HTTP/1.1 408", 2 * time.Minute},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				c := call(&Server{Serve: sink, Rate: x.rate})
				defer c.Close()
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := io.WriteString(c, x.first); err == nil && x.pause > 0 {
						trickle(c, x.pause, x.more)
					}
				})
				got, _ := io.ReadAll(c)
				d := time.Since(begin)
				<-c.over
				if !strings.HasPrefix(string(got), x.want) || x.want == "" && len(got) > 0 || d < x.after || d >= x.after+time.Second {
					t.Errorf("%q after %v", got, d)
				}
				if n := len(c.refused) + len(c.ended); x.want != "" && n != 1 {
					t.Errorf("told %d times: %+v", n, c.heard)
				}
				c.Close()
				wg.Wait()
			})
		})
	}
}

// TestRateIsTheCallers: a body that comes fast enough is not cut, however long it is, and the time that a callee takes does not
// count.
func TestRateIsTheCallers(t *testing.T) {
	slow := func(c *traffic.Call) error {
		for {
			time.Sleep(10 * time.Minute)
			if _, err := c.Body.Next(); err == io.EOF {
				break
			} else if err != nil {
				return c.Fail(err)
			}
		}
		c.Response.Status, c.Response.Local = 200, true
		return nil
	}
	for name, serve := range map[string]func(*traffic.Call) error{"a slow caller": sink, "a slow callee": slow} {
		synctest.Test(t, func(t *testing.T) {
			c := call(&Server{Serve: serve, Rate: 100})
			defer c.Close()
			var wg sync.WaitGroup
			wg.Go(func() {
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n")
				for range 100 {
					io.WriteString(c, strings.Repeat("x", 2000))
					time.Sleep(10 * time.Second) // 200 bytes a second
				}
			})
			if got, _ := io.ReadAll(c); !strings.HasPrefix(string(got), "HTTP/1.1 200") {
				t.Errorf("%s: %q %+v", name, got, c.heard)
			}
			<-c.over
			c.Close()
			wg.Wait()
		})
	}
}

// TestWritesLongAfter: the limit of a write counts from that write, however old its connection is.
func TestWritesLongAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := call(&Server{Serve: func(c *traffic.Call) error { c.Response.Status, c.Response.Local = 204, true; return nil }, Write: time.Minute})
		br := bufio.NewReader(c)
		for _, pause := range []time.Duration{0, 50 * time.Second, 70 * time.Second, 3 * time.Minute, 10 * time.Minute} {
			time.Sleep(pause)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			r, err := http.ReadResponse(br, nil)
			if err != nil || r.StatusCode != 204 {
				t.Fatalf("%v later: %v %v", pause, r, err)
			}
		}
		c.Close()
		<-c.over
	})
}

// TestSlowReader: a caller that takes nothing is given up within twice the limit of a write.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := call(&Server{Serve: func(c *traffic.Call) error {
			c.Response.Status, c.Response.Body = 200, &traffic.Bytes{B: make([]byte, 1<<20)}
			return nil
		}})
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		<-c.over
		if d := time.Since(begin); d < time.Minute || d > 2*time.Minute+time.Second || len(c.ended) != 1 || !errors.Is(c.ended[0], ErrSlow) {
			t.Errorf("after %v: %+v", d, c.heard)
		}
	})
}

// TestHeadsAreBounded: heads that do not come at once share a bound; who is over it is told so, and those that leave make room.
// Whole heads need no room.
func TestHeadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Serve: sink, Heads: 4 * small}
		var slow []*caller
		for range 4 {
			c := call(s)
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\n")
			slow = append(slow, c)
		}
		synctest.Wait()
		if n := s.held.Load(); n != s.Heads {
			t.Fatalf("%d bytes are held", n)
		}
		const get = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
		try := func(in string) (string, *caller) {
			c := call(s)
			defer c.Close()
			io.WriteString(c, in)
			got, _ := io.ReadAll(c)
			<-c.over
			return string(got), c
		}
		if got, c := try("GET / HT"); !strings.HasPrefix(got, "HTTP/1.1 503") || len(c.refused) != 1 || c.refused[0] != ErrCrowded {
			t.Errorf("one more: %q %+v", got, c.heard)
		}
		if got, _ := try(get); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("a whole head: %q", got)
		}
		slow[0].Close()
		<-slow[0].over
		go io.WriteString(slow[1], "Host: h\r\nConnection: close\r\n\r\n")
		if got, _ := io.ReadAll(slow[1]); !strings.HasPrefix(string(got), "HTTP/1.1 200") {
			t.Errorf("one of those that were there: %q", got)
		}
		<-slow[1].over
		if n := s.held.Load(); n != s.Heads/2 {
			t.Errorf("%d bytes are held", n)
		}
		for _, c := range slow {
			c.Close()
			<-c.over
		}
		if n := s.held.Load(); n != 0 {
			t.Errorf("%d bytes are held for nobody", n)
		}
	})
}

// TestEndlessBody: of a body that nobody wants only so much is read.
func TestEndlessBody(t *testing.T) {
	for name, in := range map[string]string{"chunks": "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "sized": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			c := call(&Server{Serve: func(c *traffic.Call) error { c.Response.Status, c.Response.Local = 403, true; return nil }})
			defer c.Close()
			sent := make(chan int)
			go func() {
				n := 0
				for _, err := io.WriteString(c, in); err == nil; n += 1000 {
					_, err = io.WriteString(c, "3e8\r\n"+strings.Repeat("x", 1000)+"\r\n")
				}
				sent <- n
			}()
			got, _ := io.ReadAll(c)
			<-c.over
			if n := <-sent; !strings.HasPrefix(string(got), "HTTP/1.1 403") || n > maxDrain+2*large {
				t.Errorf("%s: %q; %d bytes were read", name, got, n)
			}
		})
	}
}

// TestSlowCallees: a call's deadline holds to the moment, whatever the callee has begun to send.
func TestSlowCallees(t *testing.T) {
	for name, parts := range map[string][]string{
		"nothing":        nil,
		"half a head":    {"HTTP/1.1 200 OK\r\nX: y"},
		"a trickle":      {"HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 2)},
		"interim alone":  {"HTTP/1.1 103 x\r\n\r\n", "HTTP/1.1 103 x\r\n\r\n"},
		"half a body":    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"},
		"half a chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"},
		"no end":         {"HTTP/1.1 200 OK\r\n\r\n", "abc", "abc"},
		"half a trailer": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				var wg sync.WaitGroup
				wg.Go(func() {
					http.ReadRequest(bufio.NewReader(theirs))
					for _, p := range parts {
						if _, err := io.WriteString(theirs, p); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				})
				begin := time.Now()
				cl := NewClient(ours, &Options{})
				c := newCall("GET", "/")
				c.Deadline.At = begin.Add(10 * time.Second)
				err := cl.RoundTrip(c)
				if err == nil {
					_, err = drain(c.Response.Body)
				}
				if d := time.Since(begin); !errors.Is(err, traffic.ErrDeadline) || d != 10*time.Second {
					t.Errorf("%v after %v", err, d)
				}
				c.Finish(time.Now())
				wg.Wait()
			})
		})
	}
}

// cut sends the first n bytes of text, and ends the connection: reset, or half of it.
func cut(nc *net.TCPConn, text string, n int, reset bool) {
	io.WriteString(nc, text[:n])
	if reset {
		nc.SetLinger(0)
		nc.Close()
		return
	}
	nc.CloseWrite()
}

// TestCutCallers: a caller that leaves at any byte of its request leaves nothing behind, and the callee takes nothing for whole that
// is not.
func TestCutCallers(t *testing.T) {
	const sized = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	const chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
	whole := make(chan int64, 1000)
	r := newRelay(t, backend(t, func(w http.ResponseWriter, q *http.Request) {
		if n, err := io.Copy(io.Discard, q.Body); err == nil {
			whole <- n
		}
	}), nil)
	for _, text := range []string{sized, chunked} {
		for n := range text {
			for _, reset := range []bool{true, false} {
				nc := dial(t, r.addr())
				cut(nc, text, n, reset)
				if reset {
					continue
				}
				got, err := io.ReadAll(nc)
				if s := string(got); err != nil || strings.HasPrefix(s, "HTTP/1.1 2") || n > 2 && !strings.HasPrefix(s, "HTTP/1.1 400") {
					t.Errorf("%d bytes of %q: %q %v", n, text, s, err)
				}
			}
		}
	}
	if len(whole) > 0 {
		t.Errorf("%d requests were taken for whole", len(whole))
	}
	if got := talk(t, r.addr(), strings.Replace(sized, "Host", "Connection: close\r\nHost", 1)); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("afterwards: %q", got)
	}
}

// TestCutCallees: a callee that leaves at any byte of its answer leaves an answer that nobody takes for whole.
func TestCutCallees(t *testing.T) {
	const sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
	next := make(chan func(*net.TCPConn), 1)
	ln := listen(t)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
				(<-next)(nc.(*net.TCPConn))
			}
			nc.Close()
		}
	}()
	r := newRelay(t, ln.Addr().String(), nil)
	for _, text := range []string{sized, chunked} {
		for n := range text {
			for _, reset := range []bool{true, false} {
				next <- func(nc *net.TCPConn) { cut(nc, text, n, reset) }
				nc := dial(t, r.addr())
				io.WriteString(nc, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				q, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err != nil || q.StatusCode >= 500 {
					nc.Close()
					continue
				}
				if b, err := io.ReadAll(q.Body); err == nil {
					t.Errorf("%d bytes of %q: %d %q", n, text, q.StatusCode, b)
				}
				nc.Close()
			}
		}
	}
}

// TestRestsAfterATick: a connection is given up a tick after its last response, whenever the requests before came; where many wait, one that
// has hardly been used sooner.
func TestRestsAfterATick(t *testing.T) {
	for name, x := range map[string]struct {
		crowded bool
		pauses  []time.Duration // before each request
		rests   time.Duration   // after the last
	}{
		"unused":                 {false, nil, Tick},
		"one request":            {false, []time.Duration{0}, Tick},
		"just before the tick":   {false, []time.Duration{0, Tick - time.Millisecond}, Tick},
		"all the time":           {false, []time.Duration{0, Tick / 5, Tick / 5, Tick / 5, Tick / 5, Tick / 5, Tick / 5, Tick / 5}, Tick},
		"in a crowd":             {true, []time.Duration{0, CrowdTick / 2}, CrowdTick},
		"in a crowd, well known": {true, []time.Duration{0, 0, 0, 0, 0, 0, CrowdTick * 2}, Tick},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{Serve: sink, Parks: true, Crowded: func() bool { return x.crowded }}
				nc, theirs := net.Pipe()
				defer nc.Close()
				defer theirs.Close()
				conn, idle := s.NewConn(eager{theirs}, nil, clock{}, &traffic.Conn{}, "http"), make(chan error, 1)
				go func() { idle <- conn.Serve() }()
				in := bufio.NewReader(nc)
				for _, pause := range x.pauses {
					time.Sleep(pause)
					if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
						t.Fatal(err)
					}
					resp, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
				}
				began := time.Now()
				if err := <-idle; err != ErrIdle || time.Since(began) != x.rests {
					t.Errorf("%v after %v, want %v", err, time.Since(began), x.rests)
				}
			})
		})
	}
}

// eager is a connection that asks, as sys.Quick does.
type eager struct{ net.Conn }

func (c eager) Ask(message []byte, sent func(int, error) func() []byte) (int, error) {
	room := sent(c.Write(message))
	if room == nil {
		return 0, nil
	}
	return c.Read(room())
}
