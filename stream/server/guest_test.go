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

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func (d *door) has() room {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}
