package server

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A connection is nobody's stranger as long as there is a session on it, and a stranger's before and after.
func TestGuestIsAStrangerWithoutASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &door{of: map[netip.Addr]*room{}}
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(far, io.LimitReader(zeros{}, 2*free)) }()
		g := d.enter(near)
		if _, err := io.CopyN(io.Discard, g, 2*free); err != nil || d.has() != (room{1, free}) {
			t.Errorf("%+v, %v", d.has(), err)
		}
		g.serves(true)
		time.Sleep(2 * strangerTime)
		if is := d.has(); is != (room{}) {
			t.Errorf("who is known counts: %+v", is)
		}
		g.serves(false)
		if is := d.has(); is.strangers != 1 {
			t.Errorf("who has left does not count: %+v", is)
		}
		begun := time.Now()
		if n, err := g.Read(make([]byte, 1)); err == nil || time.Since(begun) != strangerTime {
			t.Errorf("%d, %v after %v", n, err, time.Since(begun))
		}
		synctest.Wait()
		if is := d.has(); is != (room{}) {
			t.Errorf("%+v", is)
		}
		g.Close()
	})
}

// TestGreedyStrangersGiveWay: who holds all places from a few addresses keeps nobody out: the oldest of his goes for each that comes from elsewhere, whose
// own stay.
func TestGreedyStrangersGiveWay(t *testing.T) {
	turned := 0
	d := &door{of: map[netip.Addr]*room{}, turned: func() { turned++ }}
	var in []*guest
	defer func() {
		for _, g := range in {
			g.Close()
		}
	}()
	from := func(i int) *guest {
		near, _ := net.Pipe()
		g := d.enter(caller{near, &net.TCPAddr{IP: net.IPv4(10, 0, byte(i>>8), byte(i))}})
		if g != nil {
			in = append(in, g)
		}
		return g
	}
	const greedy = mostStrangers / mostFromOne
	for i := range mostStrangers {
		if from(i%greedy) == nil {
			t.Fatal(i)
		}
	}
	if from(0) != nil {
		t.Error("one address has more than its share")
	}
	for i := range 100 {
		if from(1000+i) == nil {
			t.Fatalf("%d is kept out", i)
		}
	}
	if !in[0].closed || in[mostStrangers-1].closed || turned != 100 || d.all.strangers != mostStrangers || len(d.in) != mostStrangers {
		t.Errorf("the first is closed: %v, the last: %v; %d were turned away, %d are in, and %d known", in[0].closed, in[mostStrangers-1].closed, turned, d.all.strangers, len(d.in))
	}
	for _, g := range in[mostStrangers:] {
		if g.closed {
			t.Error("who has one place loses it")
		}
	}
}

// caller is a connection from an address.
type caller struct {
	net.Conn
	at net.Addr
}

func (c caller) RemoteAddr() net.Addr { return c.at }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func (d *door) has() room {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}
