package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One address has so many connections and no more, until one of them ends.
func TestCrowd(t *testing.T) {
	var turned atomic.Int64
	l := newCrowd(loopback(t), func() { turned.Add(1) })
	defer l.Close()
	let := make(chan net.Conn)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			let <- nc
		}
	}()
	dial := func() net.Conn {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	var first net.Conn
	for range mostOfOne {
		dial()
		if nc := <-let; first == nil {
			first = nc
		}
	}
	one := dial()
	_ = one.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := one.Read(make([]byte, 1)); n > 0 || err == nil || os.IsTimeout(err) || turned.Load() != 1 {
		t.Errorf("one too many: %d, %v", n, err)
	}
	first.Close()
	first.Close()
	dial()
	(<-let).Close()
	if l.all != mostOfOne-1 {
		t.Errorf("%d count", l.all)
	}
}

// However many pods ask, the API server does not wait behind them.
func TestAPIServerGoesBeforePods(t *testing.T) {
	pod := netip.MustParseAddr("10.0.0.1")
	let := make(chan struct{})
	begun := make(chan string, 100)
	h := inTurn(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun <- r.RemoteAddr
		<-let
	}), func(a netip.Addr) bool { return a == pod })
	var asking sync.WaitGroup
	ask := func(from string) {
		asking.Go(func() {
			r := httptest.NewRequest("POST", "/inject", nil)
			r.RemoteAddr = from
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	for range 2 * mostAsked {
		ask("10.0.0.1:1")
	}
	for range mostOfACrew {
		<-begun
	}
	ask("[::ffff:10.0.1.1]:1")
	if from := <-begun; from == "10.0.0.1:1" {
		t.Error("another pod is let in")
	}
	close(let)
	asking.Wait()
}
