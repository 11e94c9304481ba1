package load

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

// backend serves all protocols until the test ends.
func backend(t *testing.T) map[Protocol]uint16 {
	b := Backend{Ports: map[Protocol]uint16{}, Bytes: 1024}
	for _, p := range []Protocol{HTTP1, HTTP2, GRPC, Stream, Echo, Source, Sink} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // the port stays the kernel's to give until Serve takes it
		b.Ports[p] = uint16(l.Addr().(*net.TCPAddr).Port)
		l.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Serve(ctx, b, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return b.Ports
}

func TestRun(t *testing.T) {
	ports := backend(t)
	for _, x := range []Spec{
		{Protocol: HTTP1, Callers: 3, Get: 1024},
		{Protocol: HTTP1, Callers: 2, Send: megabyte, Get: 1024},
		{Protocol: HTTP1, Callers: 2, Rate: 1000, Get: 1024},
		{Protocol: Fresh, Callers: 2, Get: 1024},
		{Protocol: HTTP2, Callers: 8, PerConn: 4, Get: 1024},
		{Protocol: HTTP2, Callers: 8, PerConn: 4, Send: megabyte, Get: 1024},
		{Protocol: GRPC, Callers: 8, PerConn: 8, Send: 100, Get: 1024},
		{Protocol: Stream, Callers: 8, PerConn: 4, Send: 100},
		{Protocol: Echo, Callers: 8, Send: 128},
		{Protocol: Source, Callers: 2},
		{Protocol: Sink, Callers: 2},
	} {
		t.Run(fmt.Sprintf("%s-%d-%d", x.Protocol, x.Send, x.Rate), func(t *testing.T) {
			x.Addr, x.Host, x.Path = fmt.Sprintf("127.0.0.1:%d", ports[map[bool]Protocol{true: HTTP1, false: x.Protocol}[x.Protocol == Fresh]]), "app", "/api"
			x.Warm, x.For = 20*time.Millisecond, 200*time.Millisecond
			calls := ""
			got, err := Run(&x, Hooks{Begin: func() error { calls += "begin "; return nil }, End: func() error { calls += "end"; return nil }})
			if err != nil || got.Errors > 0 || got.Requests == 0 || got.P50 <= 0 || got.P99 < got.P50 || calls != "begin end" {
				t.Errorf("%+v, %v, hooks %q", got, err, calls)
			}
			t.Logf("%.0f a second, p50 %v, p99 %v", float64(got.Requests)/got.Took.Seconds(), got.P50, got.P99)
		})
	}
}

// What is not the expected answer is an error.
func TestWrongAnswer(t *testing.T) {
	ports := backend(t)
	for _, p := range []Protocol{HTTP1, HTTP2, GRPC} {
		x := Spec{Addr: fmt.Sprintf("127.0.0.1:%d", ports[p]), Protocol: p, Callers: 1, Get: 7, For: 50 * time.Millisecond}
		none := func() error { return nil }
		if got, err := Run(&x, Hooks{none, none}); err == nil && got.Errors == 0 {
			t.Errorf("%s: %+v", p, got)
		}
	}
}

// Chunks may be cut anywhere.
func TestMessage(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
	for cut := range len(text) {
		var m message
		at, ended := 0, false
		for _, end := range []int{cut, len(text)} {
			for {
				n, _, done, err := m.next([]byte(text[at:end]))
				if err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				at += n
				if ended = ended || done; done || n == 0 {
					break
				}
			}
		}
		if !ended || at != len(text) || m.body != 19 {
			t.Errorf("cut at %d: %d of %d bytes, body %d, ended %v", cut, at, len(text), m.body, ended)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := 1; i <= 10000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.99: 9900 * time.Microsecond, 1: 10 * time.Millisecond} {
		if got := h.quantile(q); got < want || got > want+want/32 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	for v := range uint64(1 << 14) {
		if i := bucket(v); upper(i) < time.Duration(v) || i > 0 && upper(i-1) >= time.Duration(v) {
			t.Fatalf("%d is in bucket %d, whose largest is %d", v, i, upper(i))
		}
	}
}
