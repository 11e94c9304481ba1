package h2

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/wire/http2"
)

// bed is an end of a net.Pipe on which a connection can rest: what waits for it meanwhile is a goroutine of the test's.
type bed struct {
	net.Conn
	mu       sync.Mutex
	first    []byte // read while the connection rested
	parked   bool
	times    int
	unparked int
	told     int // see Rest
	half     bool
}

// Partial is a record that has begun.
func (b *bed) Partial() bool { return b.half }

// Rest is told that the connection rests, so that it may let go of what it can make anew.
func (b *bed) Rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told++
}

func (b *bed) Read(p []byte) (int, error) {
	b.mu.Lock()
	n := copy(p, b.first)
	b.first = b.first[n:]
	b.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	return b.Conn.Read(p)
}

func (b *bed) rest(wake func()) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parked = true
	b.times++
	awake := sync.OnceFunc(func() {
		b.mu.Lock()
		b.parked = false
		b.mu.Unlock()
		wake()
	})
	go func() {
		one := make([]byte, 1)
		n, _ := b.Conn.Read(one) // an end is for the connection to find
		b.mu.Lock()
		b.first = one[:n]
		b.mu.Unlock()
		awake()
	}()
	return func() {
		b.mu.Lock()
		b.unparked++
		b.mu.Unlock()
		go awake()
	}, nil
}

func (b *bed) resting() (bool, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parked, b.times
}

// lying is a pair whose ends may rest.
type lying struct {
	*pair
	c, s  *bed
	begun chan struct{} // closed when Begin has returned
}

func lie(secure func(net.Conn, bool) net.Conn, co ClientOptions, so ServerOptions) *lying {
	freshPools()
	c, s := net.Pipe()
	p := &lying{&pair{served: make(chan error, 1)}, &bed{Conn: c}, &bed{Conn: s}, make(chan struct{})}
	so.Report, co.Report, so.Rest, co.Rest = p.reasons.add, p.reasons.add, p.s.rest, p.c.rest
	p.srv = NewServer(secure(p.s, false), so, echo)
	go func() {
		p.srv.Begin(func(err error) { p.served <- err })
		close(p.begun)
	}()
	p.Client = NewClient(secure(p.c, true), co)
	return p
}

func plain(c net.Conn, _ bool) net.Conn { return c }

// call makes one, with fields that the tables of both sides remember.
func (p *lying) call(t *testing.T) {
	t.Helper()
	c := newCall("POST", "/", &source{left: 3000, piece: 1000}, "x-a", "some value", "x-b", "another")
	if err := p.RoundTrip(c); err != nil {
		t.Fatal(err)
	}
	if n := readAllInto(c.Response.Body); n != 3000 {
		t.Errorf("%d bytes came back, want 3000", n)
	}
	c.Finish(time.Time{})
}

// rested fails unless both ends rest after a while, and says how often they have.
func (p *lying) rested(t *testing.T) (client, server int) {
	t.Helper()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	for name, x := range map[string]struct {
		*conn
		*bed
	}{"client": {&p.Client.conn, p.c}, "server": {&p.srv.conn, p.s}} {
		parked, times := x.resting()
		x.conn.mu.Lock()
		if !parked || x.manned || x.buf != nil || x.section.Fields != nil || x.enc == nil {
			t.Errorf("%s: parked %v, with a writer %v, a buffer of %d", name, parked, x.manned, len(x.buf))
		}
		x.conn.mu.Unlock()
		if name == "client" {
			client = times
		} else {
			server = times
		}
	}
	return client, server
}

// TestRest: ends without streams have neither goroutines nor buffers after half a second of silence and a look at the clock, and work
// as before when something comes.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lie(plain, ClientOptions{}, ServerOptions{})
		p.rested(t)
		<-p.begun
		for range 3 {
			for range 3 {
				p.call(t)
			}
			p.rested(t)
		}
		if n := p.s.times; n != 4 {
			t.Errorf("the server's end rested %d times, want 4: once for each silence", n)
		}
		p.end(t)
		if p.c.told != p.c.times || p.s.told != p.s.times {
			t.Errorf("the connections below were told %d and %d times", p.c.told, p.s.told)
		}
		if p.c.unparked != 1 {
			t.Errorf("the wait of the client, which was closed, was ended %d times", p.c.unparked)
		}
	})
}

// TestRestNot: an end with a stream, or whose peer has not said hello, or that has a part of a frame, does not rest.
func TestRestNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lie(plain, ClientOptions{}, ServerOptions{})
		b := newBody()
		done := make(chan error)
		c := newCall("POST", "/", b)
		go func() { done <- p.RoundTrip(c) }()
		time.Sleep(20 * time.Second)
		if p.c.times+p.s.times > 0 {
			t.Error("an end with a stream rests")
		}
		b.push("body")
		b.end()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		readAllInto(c.Response.Body)
		c.Finish(time.Time{})
		p.rested(t)
		p.end(t)
	})
	for name, sent := range map[string]string{
		"silence":            "",
		"a preface":          http2.Preface[:10],
		"a part of a record": http2.Preface + string(http2.AppendSettings(nil)),
		"a part of a frame":  http2.Preface + string(http2.AppendSettings(nil)) + "\x00\x00\x08\x06",
	} {
		synctest.Test(t, func(t *testing.T) {
			freshPools()
			c, s := net.Pipe()
			end := &bed{Conn: s, half: name == "a part of a record"}
			var told reasons
			srv := NewServer(end, ServerOptions{Options: Options{Rest: end.rest, Report: told.add}}, echo)
			served := make(chan error, 1)
			go func() { served <- srv.Serve() }()
			go func() { // what the server says
				b := make([]byte, 1<<10)
				for err := error(nil); err == nil; {
					_, err = c.Read(b)
				}
			}()
			if sent != "" {
				_, _ = c.Write([]byte(sent))
			}
			if err := <-served; err == nil || end.times > 0 || !told.has(HandshakeStall) && !told.has(SlowFrame) {
				t.Errorf("%s: rested %d times, then %v (%v)", name, end.times, err, told.list)
			}
			c.Close()
		})
	}
}

// TestRestEnds: whatever ends a connection that rests does end it.
func TestRestEnds(t *testing.T) {
	for name, x := range map[string]struct {
		options Options
		end     func(p *lying)
		within  time.Duration
		orderly bool
	}{
		"the client closes": {end: func(p *lying) { p.Client.Close() }, orderly: true},
		"the client drains": {end: func(p *lying) { p.Client.Drain() }, orderly: true},
		"the server closes": {end: func(p *lying) { p.srv.Close() }, orderly: true},
		"the server drains": {end: func(p *lying) { p.srv.Drain() }, orderly: true},
		"the socket ends":   {end: func(p *lying) { p.c.Conn.Close() }, orderly: true},
		"idle":              {options: Options{IdleTimeout: time.Minute}, end: func(*lying) {}, within: 80 * time.Second, orderly: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := lie(plain, ClientOptions{Options: x.options}, ServerOptions{Options: x.options})
				p.call(t)
				p.rested(t)
				began := time.Now()
				x.end(p)
				err := <-p.served
				<-p.Client.Done()
				if took := time.Since(began); took > x.within {
					t.Errorf("it took %v, want %v at most", took, x.within)
				}
				if (err == nil) != x.orderly {
					t.Errorf("the server's end: %v", err)
				}
			})
		})
	}
}

// TestRestPing: a client at rest asks for signs of life; one that gets them goes on to rest, one that does not ends.
func TestRestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lie(plain, ClientOptions{Options: Options{PingInterval: 30 * time.Second, PingTimeout: 20 * time.Second}}, ServerOptions{})
		p.call(t)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := p.c.times; n < 10 || p.Err() != nil {
			t.Errorf("rested %d times, want once for each answer; %v", n, p.Err())
		}
		p.call(t)
		p.end(t)
	})
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		end := &bed{Conn: c}
		var told reasons
		cl := NewClient(end, ClientOptions{Options: Options{PingInterval: 30 * time.Second, PingTimeout: 20 * time.Second, Rest: end.rest, Report: told.add}})
		go func() { // a server that says hello, and nothing more
			_, _ = s.Write(http2.AppendSettings(nil))
			b := make([]byte, 1<<10)
			for err := error(nil); err == nil; {
				_, err = s.Read(b)
			}
		}()
		began := time.Now()
		<-cl.Done()
		if took := time.Since(began); end.times == 0 || !told.has(PingLost) || took > 75*time.Second {
			t.Errorf("rested %d times, ended after %v (%v)", end.times, took, told.list)
		}
		s.Close()
	})
}

// TestRestRefused: where nothing can wait, the reader does.
func TestRestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		p := bubble(ClientOptions{Options: Options{Rest: func(func()) (func(), error) { asked++; return nil, errors.New("no") }}}, ServerOptions{}, echo)
		for range 2 {
			time.Sleep(10 * time.Second)
			c := newCall("GET", "/", nil)
			if err := p.RoundTrip(c); err != nil {
				t.Fatal(err)
			}
			c.Finish(time.Time{})
		}
		if p.end(t); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestRestInRecord: the first bytes of a record of TLS wake the end, which rests again with them until the others come.
func TestRestInRecord(t *testing.T) {
	conf := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		var slow halting
		p := lie(func(c net.Conn, client bool) net.Conn {
			if client {
				slow.Conn = c
				return tls.Client(&slow, conf)
			}
			return tls.Server(c, conf)
		}, ClientOptions{}, ServerOptions{})
		p.call(t)
		_, before := p.rested(t)
		slow.pause = 10 * time.Second
		done := make(chan struct{})
		go func() { defer close(done); p.call(t) }()
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if parked, times := p.s.resting(); !parked || times == before {
			t.Errorf("in the middle of a record: rests %v, for the %d. time", parked, times)
		}
		<-done
		slow.pause = 0
		p.rested(t)
		p.end(t)
	})
}

// halting is a connection of which each write halts after its third byte.
type halting struct {
	net.Conn
	pause time.Duration
}

func (h *halting) Write(p []byte) (int, error) {
	if h.pause == 0 || len(p) <= 3 {
		return h.Conn.Write(p)
	}
	if n, err := h.Conn.Write(p[:3]); err != nil {
		return n, err
	}
	time.Sleep(h.pause)
	n, err := h.Conn.Write(p[3:])
	return 3 + n, err
}

// selfSigned is TLS that believes everybody.
func selfSigned(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, InsecureSkipVerify: true,
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}
