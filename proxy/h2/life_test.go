package h2

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// freshPools keeps channels made in one bubble out of the next.
func freshPools() { streamPool, callPool = sync.Pool{}, sync.Pool{} }

// bubble is a pair over net.Pipe inside a synctest bubble: time passes only when all wait.
func bubble(co ClientOptions, so ServerOptions, serve func(*Stream)) *pair {
	freshPools()
	c, s := net.Pipe()
	p := &pair{served: make(chan error, 1)}
	so.Report, co.Report = p.reasons.add, p.reasons.add
	p.srv = NewServer(s, so, serve)
	go func() { p.served <- p.srv.Serve() }()
	p.Client = NewClient(c, co)
	return p
}

func (p *pair) end(t *testing.T) {
	p.Client.Close()
	<-p.Client.Done()
	p.srv.Close()
	<-p.served
	p.balanced(t)
}

// body is a request body that a test drives.
type body struct {
	mu     sync.Mutex
	cond   sync.Cond
	queue  []string
	eof    bool
	stop   bool
	reads  int
	closed error
}

func newBody() *body { b := &body{}; b.cond.L = &b.mu; return b }

func (b *body) push(s string) {
	b.mu.Lock()
	b.queue = append(b.queue, s)
	b.cond.Broadcast()
	b.mu.Unlock()
}
func (b *body) end() { b.mu.Lock(); b.eof = true; b.cond.Broadcast(); b.mu.Unlock() }

func (b *body) Next() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	for {
		switch {
		case b.stop:
			return nil, traffic.ErrInterrupted
		case len(b.queue) > 0:
			p := b.queue[0]
			b.queue = b.queue[1:]
			return []byte(p), nil
		case b.eof:
			return nil, io.EOF
		}
		b.cond.Wait()
	}
}

func (b *body) Interrupt(on bool) { b.mu.Lock(); b.stop = on; b.cond.Broadcast(); b.mu.Unlock() }
func (b *body) Close(err error)   { b.mu.Lock(); b.closed = err; b.mu.Unlock() }
func (b *body) asked() int        { b.mu.Lock(); defer b.mu.Unlock(); return b.reads }

// TestExpect: "A client MUST NOT" send the body before 100 (Continue) or a final answer, or before it has waited long enough
// (RFC 9110 section 10.1.1); our body is not even read.
func TestExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := make(chan bool)
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			c := st.Call()
			c.Response.Status = 200
			switch c.Path {
			case "/ask":
				<-ask
				readAllInto(c.Body)
			case "/refuse":
				c.Response.Status = 417
			case "/late":
				time.Sleep(5 * time.Second)
			}
			st.Respond()
			c.Finish(time.Time{})
		})
		for _, path := range []string{"/ask", "/refuse", "/late"} {
			b := newBody()
			b.push("body")
			b.end()
			c := newCall("POST", path, b, "expect", "100-continue")
			c.Inform = func(status int, _ *traffic.Header) { t.Errorf("told of %d", status) }
			done := make(chan error)
			go func() { done <- p.RoundTrip(c) }()
			synctest.Wait()
			if path != "/refuse" && b.asked() > 0 {
				t.Errorf("%s: the body was read before it was asked for", path)
			}
			if path == "/ask" {
				ask <- true
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if read := b.asked() > 0; read != (path != "/refuse") {
				t.Errorf("%s: the body was read: %v", path, read)
			}
			c.Finish(time.Time{})
		}
		p.end(t)
	})
}

// TestDeadline: before the head and inside the body.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codes := make(chan bool, 2)
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			c := st.Call()
			if c.Path == "/body" {
				c.Response.Status = 200
				c.Response.Body = newBody() // never ends
				st.Respond()
			} else {
				<-c.Gone
			}
			codes <- errors.Is(st.err, traffic.ErrReset)
			c.Finish(time.Time{})
		})
		for _, path := range []string{"/head", "/body"} {
			c := newCall("POST", path, newBody())
			at := time.Now().Add(3 * time.Second)
			c.Deadline.At = at
			err := p.RoundTrip(c)
			if path == "/body" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Response.Body.Next()
			}
			if !errors.Is(err, traffic.ErrDeadline) || time.Now() != at {
				t.Errorf("%s: %v at %v, want %v", path, err, time.Now(), at)
			}
			if !<-codes {
				t.Errorf("%s: the server was not told", path)
			}
			c.Finish(time.Time{})
		}
		c := newCall("GET", "/", nil)
		c.Deadline.At = time.Now()
		if err := p.RoundTrip(c); !errors.Is(err, traffic.ErrDeadline) || !errors.Is(c.Response.Err, traffic.ErrDeadline) {
			t.Error(err)
		}
		if n := p.Streams() + p.srv.Streams(); n != 0 {
			t.Errorf("%d streams left", n)
		}
		p.end(t)
	})
}

// TestGone: the caller of a call leaves while its head is awaited.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) { <-st.Call().Gone; st.Call().Finish(time.Time{}) })
		gone := make(chan struct{})
		c := newCall("GET", "/", nil)
		c.Gone = gone
		time.AfterFunc(time.Second, func() { close(gone) })
		if err := p.RoundTrip(c); !errors.Is(err, traffic.ErrCanceled) {
			t.Error(err)
		}
		p.end(t)
	})
}

// TestTunnel: after a CONNECT each direction ends by itself (RFC 9113 section 8.5: "a proxy treats the end of a TCP stream as
// the end of that half").
func TestTunnel(t *testing.T) {
	for _, how := range []string{"connect", "tcp", "websocket"} {
		for _, first := range []string{"caller", "callee"} {
			synctest.Test(t, func(t *testing.T) {
				down := newBody()
				got := make(chan string, 1)
				p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
					c := st.Call()
					c.Response.Status = 200
					if want := map[string]string{"connect": "CONNECT a:80   ", "tcp": "CONNECT 10.0.0.1:80   ", "websocket": "CONNECT example.com http /chat websocket"}[how]; want !=
						strings.Join([]string{c.Method, c.Authority, c.Scheme, c.Path, c.Upgrade}, " ") {
						t.Errorf("%s: %s %s %s %s %s", how, c.Method, c.Authority, c.Scheme, c.Path, c.Upgrade)
					}
					if v, _ := c.Header.Get("baggage"); how == "tcp" && v != "x=y" {
						t.Errorf("baggage %q", v)
					}
					if how == "websocket" {
						c.Response.Status = 101
					}
					c.Response.Body = down
					up := make(chan bool)
					go func() {
						s, err := readAll(c.Body)
						if err != nil {
							t.Error(err)
						}
						got <- s
						close(up)
					}()
					if err := st.Respond(); err != nil {
						t.Error(err)
					}
					<-up
					c.Finish(time.Time{})
				})
				up := newBody()
				up.push("from the caller")
				var c *traffic.Call
				var err error
				switch how {
				case "connect":
					c = newCall("CONNECT", "", up)
					c.Authority, c.Path, c.Scheme = "a:80", "", ""
					c.Deadline.At = time.Now().Add(time.Second) // for the answer: the tunnel has none
					err = p.RoundTrip(c)
				case "tcp":
					c = newCall("", "", up)
					c.Proto = traffic.TCP
					var h traffic.Header
					h.Add("baggage", "x=y")
					err = p.Connect(c, "10.0.0.1:80", &h)
				case "websocket":
					c = newCall("GET", "/chat", up, "upgrade", "websocket", "connection", "upgrade")
					c.Upgrade = "websocket"
					err = p.RoundTrip(c)
				}
				if err != nil {
					t.Fatal(err)
				}
				if want := map[string]int{"connect": 200, "tcp": 200, "websocket": 101}[how]; c.Response.Status != want {
					t.Errorf("%s: status %d", how, c.Response.Status)
				}
				down.push("from the callee")
				if b, err := c.Response.Body.Next(); string(b) != "from the callee" || err != nil {
					t.Errorf("%q %v", b, err)
				}
				time.Sleep(time.Minute)
				if first == "caller" {
					up.push(", the end")
					up.end()
					if s := <-got; s != "from the caller, the end" {
						t.Error(s)
					}
					down.push(", and more")
					down.end()
					if s, err := readAll(c.Response.Body); s != ", and more" || err != nil {
						t.Errorf("%q %v", s, err)
					}
					c.Response.Body.Close(nil)
				} else {
					down.end()
					if s, err := readAll(c.Response.Body); s != "" || err != nil {
						t.Errorf("%q %v", s, err)
					}
					closed := false
					done := make(chan bool)
					go func() { c.Response.Body.Close(nil); closed = true; close(done) }()
					synctest.Wait()
					if closed {
						t.Error("Close did not wait for the request's body")
					}
					up.push(", the end")
					up.end()
					if s := <-got; s != "from the caller, the end" {
						t.Error(s)
					}
					<-done
				}
				c.Finish(time.Time{})
				synctest.Wait()
				if n := p.Streams() + p.srv.Streams(); n != 0 {
					t.Errorf("%s, %s first: %d streams left", how, first, n)
				}
				p.end(t)
			})
		}
	}
}

// TestRefusedConnect: the bytes of a tunnel that was not opened are still there for another attempt.
func TestRefusedConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			st.Call().Response.Status = 503
			st.Respond()
			st.Call().Finish(time.Time{})
		})
		b := newBody()
		b.push("x")
		c := newCall("CONNECT", "", b)
		if err := p.RoundTrip(c); err != nil || c.Response.Status != 503 || b.asked() > 0 {
			t.Errorf("%v, %d, body read %d times", err, c.Response.Status, b.asked())
		}
		c.Finish(time.Time{})
		p.end(t)
	})
}

func TestNoUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{NoConnect: true}, echo)
		c := newCall("GET", "/", nil)
		c.Upgrade = "websocket"
		if err := p.RoundTrip(c); !errors.Is(err, ErrNoUpgrade) {
			t.Error(err)
		}
		p.end(t)
	})
}

// TestRewind: an attempt that waits for the caller's next byte is given up, and the next one sees every byte (contract of
// traffic.Body and Call.Rewind).
func TestRewind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt := 0
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			c := st.Call()
			if attempt++; attempt == 1 {
				c.Response.Status = 503
				c.Response.Body = newBody()
				c.Body.Next()
			} else {
				s, _ := readAll(c.Body)
				c.Response.Status = 200
				c.Response.Header.Add("x-body", s)
			}
			st.Respond()
			c.Finish(time.Time{})
		})
		b := newBody()
		b.push("one ")
		c := newCall("POST", "/", b)
		c.Keep(1000)
		m := c.Mark()
		if err := p.RoundTrip(c); err != nil || c.Response.Status != 503 {
			t.Fatal(err, c.Response.Status)
		}
		if !c.Rewind(m, time.Time{}) {
			t.Fatal("cannot be replayed")
		}
		time.AfterFunc(time.Second, func() { b.push("two"); b.end() })
		if err := p.RoundTrip(c); err != nil {
			t.Fatal(err)
		}
		if v, _ := c.Response.Header.Get("x-body"); v != "one two" {
			t.Errorf("the second attempt saw %q", v)
		}
		c.Finish(time.Time{})
		p.end(t)
	})
}

// TestBodyBreaksOff: when the request's body fails, so does the call, and the server learns it.
func TestBodyBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			_, err := readAll(st.Call().Body)
			if !errors.Is(err, traffic.ErrReset) {
				t.Errorf("the server read %v", err)
			}
			st.Call().Finish(time.Time{})
		})
		c := newCall("POST", "/", broken{})
		if err := p.RoundTrip(c); !errors.Is(err, traffic.ErrCanceled) {
			t.Error(err)
		}
		p.end(t)
	})
}

type broken struct{ traffic.Bytes }

func (broken) Next() ([]byte, error) { return nil, errors.New("broken") }
func (broken) Interrupt(bool)        {}
func (broken) Close(error)           {}

// TestNoResponse: a serve function that forgets to answer resets its stream.
func TestNoResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			if st.Call().Path == "/zero" {
				if err := st.Respond(); err == nil {
					t.Error("status 0 was sent")
				}
			}
		})
		for _, path := range []string{"/", "/zero"} {
			var r *ResetError
			if err := p.RoundTrip(newCall("GET", path, nil)); !errors.As(err, &r) || r.Code != http2.InternalError || !r.Remote {
				t.Error(err)
			}
		}
		p.end(t)
	})
}

// TestDrain: RFC 9113 section 6.8: a first GOAWAY of 2^31-1, then the last stream; what is open ends by itself.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		told := 0
		p := bubble(ClientOptions{Unusable: func() { told++ }}, ServerOptions{}, func(st *Stream) {
			<-hold
			st.Call().Response.Status = 200
			st.Respond()
			st.Call().Finish(time.Time{})
		})
		c := newCall("GET", "/", nil)
		done := make(chan error)
		go func() { done <- p.RoundTrip(c) }()
		synctest.Wait()
		p.srv.Drain()
		synctest.Wait()
		if p.Usable() || p.Available() != 0 || told != 1 {
			t.Errorf("usable %v, available %d, told %d times", p.Usable(), p.Available(), told)
		}
		if err := p.RoundTrip(newCall("GET", "/", nil)); err != ErrGoingAway || !errors.Is(err, traffic.ErrRefused) {
			t.Error(err)
		}
		close(hold)
		if err := <-done; err != nil || c.Response.Status != 200 {
			t.Error(err)
		}
		if err := <-p.served; err != nil {
			t.Error(err)
		}
		<-p.Client.Done()
	})
}

// TestDrainTakesTheLate: a stream whose HEADERS come after the answer to our PING, as net/http's client may send them, is served.
func TestDrainTakesTheLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := net.Pipe()
		srv := NewServer(s, ServerOptions{}, func(st *Stream) {
			st.Call().Response.Status = 204
			st.Respond()
			st.Call().Finish(time.Time{})
		})
		served := make(chan error, 1)
		go func() { served <- srv.Serve() }()
		r := newRaw(t, c)
		go r.listen()
		io.WriteString(c, http2.Preface)
		r.WriteSettings()
		r.next()
		srv.Drain()
		if got := r.next(); got != "GOAWAY 2147483647 NO_ERROR; PING ack=false" {
			t.Error(got)
		}
		r.WritePing(true, drainMark)
		synctest.Wait()
		r.headers(1, true, getFields...)
		if got := r.next(); got != "HEADERS 1 204 end=true" {
			t.Error(got)
		}
		time.Sleep(drainGrace)
		if err := <-served; err != nil {
			t.Error(err)
		}
		c.Close()
	})
}

// TestDrainClient: a Client that is drained ends with its last call.
func TestDrainClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) { <-hold; echo(st) })
		done := make(chan error)
		go func() { done <- p.RoundTrip(newCall("GET", "/", nil)) }()
		synctest.Wait()
		p.Drain()
		close(hold)
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-p.Client.Done()
		if err := <-p.served; err != nil {
			t.Error(err)
		}
	})
}

// TestConnectionLost: every stream of it fails, on both sides, and nothing is left.
func TestConnectionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
			c := st.Call()
			switch c.Path {
			case "/up":
				if _, err := readAll(c.Body); !errors.Is(err, traffic.ErrReset) {
					t.Error(err)
				}
			case "/down":
				c.Response.Status, c.Response.Body = 200, newBody()
				if err := st.Respond(); !errors.Is(err, traffic.ErrCanceled) || !errors.Is(c.Response.Err, traffic.ErrCanceled) {
					t.Error(err)
				}
			case "/wait":
				<-c.Gone
			}
			c.Finish(time.Time{})
		})
		var wg sync.WaitGroup
		for _, path := range []string{"/up", "/down", "/wait"} {
			wg.Go(func() {
				c := newCall("POST", path, newBody())
				err := p.RoundTrip(c)
				if path == "/down" && err == nil {
					_, err = c.Response.Body.Next()
				}
				if !errors.Is(err, traffic.ErrReset) {
					t.Errorf("%s: %v", path, err)
				}
				c.Finish(time.Time{})
			})
		}
		synctest.Wait()
		p.Client.nc.Close()
		wg.Wait()
		<-p.Client.Done()
		<-p.served
	})
}

// TestIdle, TestPing: silence ends a connection in order, or because nobody answers.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{}, ServerOptions{Options: Options{IdleTimeout: time.Minute}}, echo)
		p.RoundTrip(newCall("GET", "/", nil))
		start := time.Now()
		if err := <-p.served; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < time.Minute || d > 90*time.Second {
			t.Errorf("after %v", d)
		}
		<-p.Client.Done()
	})
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		go io.Copy(io.Discard, s) // never says a word
		var r reasons
		cl := NewClient(c, ClientOptions{Options: Options{HandshakeTimeout: -1, PingInterval: 10 * time.Second, PingTimeout: 20 * time.Second, Report: r.add}})
		start := time.Now()
		<-cl.Done()
		if d := time.Since(start); d < 30*time.Second || d > 45*time.Second || !r.has(PingLost) {
			t.Errorf("after %v, %v", d, r.list)
		}
		s.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{Options: Options{PingInterval: 10 * time.Second}}, ServerOptions{}, echo)
		time.Sleep(10 * time.Minute)
		if !p.Usable() {
			t.Error(p.Err())
		}
		p.end(t)
	})
}

// Who waits for an answer is told sooner that there is nobody; a peer that only takes long is left alone.
func TestPingWhileWaiting(t *testing.T) {
	waiting := Options{HandshakeTimeout: -1, PingInterval: 30 * time.Second, WaitInterval: 4 * time.Second, PingTimeout: 4 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		go io.Copy(io.Discard, s)
		cl := NewClient(c, ClientOptions{Options: waiting})
		start := time.Now()
		err := cl.RoundTrip(newCall("GET", "/", nil))
		if d := time.Since(start); err == nil || d < 8*time.Second || d > 10*time.Second {
			t.Errorf("after %v: %v", d, err)
		}
		s.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		p := bubble(ClientOptions{Options: waiting}, ServerOptions{}, func(s *Stream) {
			time.Sleep(time.Minute)
			echo(s)
		})
		if err := p.RoundTrip(newCall("GET", "/", nil)); err != nil {
			t.Error(err)
		}
		p.end(t)
	})
}

// TestBeforeServe: an engine that goes down may drain or close what it has not begun to serve.
func TestBeforeServe(t *testing.T) {
	for _, how := range []string{"drain", "close"} {
		synctest.Test(t, func(t *testing.T) {
			freshPools()
			c, s := net.Pipe()
			srv := NewServer(s, ServerOptions{}, echo)
			if how == "drain" {
				srv.Drain()
			} else {
				srv.Close()
			}
			served := make(chan error, 1)
			go func() { served <- srv.Serve() }()
			cl := NewClient(c, ClientOptions{})
			if err := <-served; err != nil {
				t.Errorf("%s: %v", how, err)
			}
			<-cl.Done()
			if err := cl.RoundTrip(newCall("GET", "/", nil)); !errors.Is(err, traffic.ErrRefused) {
				t.Errorf("%s: %v", how, err)
			}
		})
	}
}

// TestGivenUp: a connection by which many calls were given up at once takes no more, before its server ends it for that. Those under way
// on it go on; and calls that end well are no reason.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		p := bubble(ClientOptions{}, ServerOptions{MaxStreams: 1000}, func(st *Stream) {
			c := st.Call()
			defer c.Finish(time.Time{})
			if c.Path == "/slow" {
				select {
				case <-answer:
				case <-c.Gone:
					return
				}
			}
			c.Response.Status = 200
			st.Respond()
		})
		defer p.end(t)
		slow := newCall("GET", "/slow", nil)
		ended := make(chan error, 1)
		go func() { ended <- p.RoundTrip(slow) }()
		synctest.Wait()
		left := make(chan struct{})
		close(left)
		giveUp := func(n int) {
			for range n {
				c := newCall("GET", "/slow", nil)
				c.Gone = left
				if err := p.RoundTrip(c); !errors.Is(err, traffic.ErrCanceled) {
					t.Fatal(err)
				}
				c.Finish(time.Time{})
			}
		}
		for range 2 * mostGivenUp {
			c := newCall("GET", "/fast", nil)
			if err := p.RoundTrip(c); err != nil {
				t.Fatal(err)
			}
			c.Finish(time.Time{})
		}
		giveUp(mostGivenUp)
		time.Sleep(time.Second)
		giveUp(mostGivenUp)
		if !p.Usable() {
			t.Error("it takes no more calls, though there is time between those that were given up")
		}
		giveUp(1)
		if p.Usable() {
			t.Fatal("it takes more calls")
		}
		close(answer)
		if err := <-ended; err != nil || slow.Response.Status != 200 {
			t.Errorf("what was under way: %v, %d", err, slow.Response.Status)
		}
		slow.Finish(time.Time{})
		<-p.Client.Done()
	})
}
