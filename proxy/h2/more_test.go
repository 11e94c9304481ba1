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
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// tlsPair is a connection under TLS 1.3.
func tlsPair(t testing.TB) (client, server net.Conn) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	c, s := tcpPair(t)
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}), tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
}

// TestTLS: calls, an idle connection whose reader was woken to give up its buffer, calls again, and an orderly end.
func TestTLS(t *testing.T) {
	noLeaks(t)
	c, s := tlsPair(t)
	fast := Options{PingInterval: 40 * time.Millisecond, PingTimeout: time.Hour} // the clock ticks fast, and ends nothing
	srv := NewServer(s, ServerOptions{Options: fast}, echo)
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	cl := NewClient(c, ClientOptions{Options: fast})
	for range 3 {
		body := strings.Repeat("x", 300_000)
		call := newCall("POST", "/", &traffic.Bytes{B: []byte(body)})
		if err := cl.RoundTrip(call); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(call.Response.Body); got != body || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		call.Finish(time.Time{})
		for cl.watch.large.Load() || srv.watch.large.Load() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	srv.Drain()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-cl.Done()
}

// TestLargeHeader goes in CONTINUATION frames.
func TestLargeHeader(t *testing.T) {
	p := newPair(t, ClientOptions{}, ServerOptions{}, echo)
	long := strings.Repeat("v", 50_000)
	c := newCall("GET", "/", nil, "x-long", long)
	if err := p.RoundTrip(c); err != nil {
		t.Fatal(err)
	}
	if v, _ := c.Response.Header.Get("got-x-long"); v != long {
		t.Errorf("%d bytes came back", len(v))
	}
	c.Finish(time.Time{})
	c = newCall("GET", "/", nil, "x-long", long+long)
	if err := p.RoundTrip(c); err != nil || c.Response.Status != 431 {
		t.Errorf("above the limit: %v, %d", err, c.Response.Status)
	}
	c.Finish(time.Time{})
}

// TestLastStream: "Stream identifiers cannot be reused": a Client that has used them up takes no more calls (RFC 9113 section
// 5.1.1).
func TestLastStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan bool, 1)
		p := bubble(ClientOptions{Unusable: func() { told <- true }}, ServerOptions{}, echo)
		p.mu.Lock()
		p.next = http2.MaxStream - 2
		p.mu.Unlock()
		for range 2 {
			if err := p.RoundTrip(newCall("GET", "/", nil)); err != nil {
				t.Error(err)
			}
		}
		<-told
		if err := p.RoundTrip(newCall("GET", "/", nil)); err != ErrGoingAway {
			t.Error(err)
		}
		<-p.Done()
		<-p.served
	})
}

// TestServerResetStates: a client's reset meets a stream in each of its states, and whoever works on it learns it.
func TestServerResetStates(t *testing.T) {
	for _, state := range []string{"waiting", "reading", "asking another", "blocked", "answered"} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				slow := newBody()
				p := bubble(ClientOptions{}, ServerOptions{}, func(st *Stream) {
					c := st.Call()
					c.Response.Status = 200
					var err error
					switch state {
					case "waiting":
						<-c.Gone
						err = st.Respond()
					case "reading":
						_, err = readAll(c.Body)
					case "asking another":
						c.Response.Body = slow
						err = st.Respond()
					case "blocked":
						c.Response.Body = &source{left: 10 << 20, piece: 10000}
						err = st.Respond()
					case "answered": // a tunnel whose other half goes on
						c.Response.Body = &traffic.Bytes{}
						if err = st.Respond(); err == nil {
							_, err = readAll(c.Body)
						}
					}
					ended <- err
					c.Finish(time.Time{})
				})
				gone := make(chan struct{})
				c := newCall("CONNECT", "", newBody())
				c.Gone = gone
				go func() {
					if p.RoundTrip(c) == nil {
						<-gone
						c.Response.Body.Close(errors.New("enough"))
					}
					c.Finish(time.Time{})
				}()
				synctest.Wait()
				close(gone)
				if err := <-ended; !errors.Is(err, traffic.ErrCanceled) && !errors.Is(err, traffic.ErrReset) {
					t.Error(err)
				}
				synctest.Wait()
				if slow.closed == nil && state == "asking another" {
					t.Error("the other's body was not closed")
				}
				if n := p.srv.Streams(); n != 0 {
					t.Errorf("%d streams left", n)
				}
				p.end(t)
			})
		})
	}
}

// TestSecrets: a field that came never indexed leaves so (RFC 7541 section 6.2.3), through two hops.
func TestSecrets(t *testing.T) {
	noLeaks(t)
	var mu sync.Mutex
	secret := map[string]bool{}
	backC, backS := tcpPair(t)
	back := NewServer(backS, ServerOptions{}, func(st *Stream) {
		mu.Lock()
		for f := range st.Call().Header.Fields {
			secret[f.Name] = f.Secret
		}
		mu.Unlock()
		st.Call().Response.Status = 204
		st.Respond()
	})
	var wg sync.WaitGroup
	wg.Go(func() { back.Serve() })
	second := NewClient(backC, ClientOptions{})
	p := newPair(t, ClientOptions{}, ServerOptions{}, forward(func() *Client { return second }))
	c := newCall("GET", "/", nil, "x-open", "1", "cookie", "a=b")
	c.Header.ReceiveSecret("x-password", "p")
	if err := p.RoundTrip(c); err != nil || c.Response.Status != 204 {
		t.Error(err)
	}
	c.Finish(time.Time{})
	mu.Lock()
	if !secret["x-password"] || !secret["cookie"] || secret["x-open"] {
		t.Error(secret)
	}
	mu.Unlock()
	second.Close()
	back.Close()
	<-second.Done()
	wg.Wait()
}

// TestNoAllocations: a call through both ends allocates nothing in the steady state, with bodies both ways.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and sync.Pool forgets")
	}
	replies := sync.Pool{New: func() any { return &traffic.Bytes{} }}
	p := newPair(t, ClientOptions{}, ServerOptions{}, func(st *Stream) {
		c := st.Call()
		readAllInto(c.Body)
		b := replies.Get().(*traffic.Bytes)
		b.B = kilobyte
		c.Response.Status, c.Response.Body = 200, b
		c.Response.Header.Receive("content-type", "text/plain")
		c.Response.Trailer.Receive("grpc-status", "0")
		st.Respond()
		c.Finish(time.Time{})
		replies.Put(b)
	})
	<-p.ready
	c, body := &traffic.Call{}, &traffic.Bytes{}
	run := func() {
		if err := benchCall(c, p, body); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		run()
	}
	if n := testing.AllocsPerRun(2000, run); n > 0.5 { // a collection may empty the pools
		t.Errorf("%v allocations a call", n)
	}
}
