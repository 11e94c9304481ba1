package h2

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// TestMemory: what an idle connection holds after it has served, goroutines' stacks included, both ends together.
func TestMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("opens many connections; the race detector takes memory of its own")
	}
	const n = 200
	noLeaks(t)
	before := inUse()
	var pairs []*pair
	for range n {
		p := &pair{served: make(chan error, 1)}
		c, s := tcpPair(t)
		p.srv = NewServer(s, ServerOptions{Options: Options{FrameTimeout: 40 * time.Millisecond}}, echo) // a fast clock
		go func() { p.served <- p.srv.Serve() }()
		p.Client = NewClient(c, ClientOptions{Options: Options{FrameTimeout: 40 * time.Millisecond}})
		pairs = append(pairs, p)
		for range 3 {
			call := newCall("POST", "/", &source{left: 20000, piece: 5000}, "x-a", "b")
			if err := p.RoundTrip(call); err != nil {
				t.Fatal(err)
			}
			readAllInto(call.Response.Body)
			call.Finish(time.Time{})
		}
	}
	settle(func() int { return large(pairs) })
	after := inUse()
	each := (after - before) / n
	t.Logf("a pair of idle ends takes %d bytes; a Server %d, a Client %d, a Stream %d, a call %d", each, unsafe.Sizeof(Server{}), unsafe.Sizeof(Client{}), unsafe.Sizeof(Stream{}), unsafe.Sizeof(call{}))
	if each > 64<<10 {
		t.Errorf("%d bytes a pair of ends", each)
	}
	for _, p := range pairs {
		p.Client.Close()
		p.srv.Close()
		<-p.served
		<-p.Client.Done()
	}
}

// large counts the readers that still hold a large buffer.
func large(pairs []*pair) (n int) {
	for _, p := range pairs {
		if p.Client.watch.large.Load() {
			n++
		}
		if p.srv.watch.large.Load() {
			n++
		}
	}
	return n + runtime.NumGoroutine()
}

func inUse() int {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
