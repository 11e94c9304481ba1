package sys

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// poller runs one for the length of the test.
func poller(t *testing.T) *Poller {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { end(); wg.Wait() })
	return p
}

// ends returns two ends of a connection.
func ends(t *testing.T) (a, b *net.TCPConn) {
	l, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = DialTCP(t.Context(), l.Addr().(*net.TCPAddr).AddrPort(), DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b = c.(*net.TCPConn)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func park(t *testing.T, p *Poller, c *net.TCPConn, until time.Time) (*Parked, chan struct{}) {
	woken := make(chan struct{}, 2)
	w, err := p.Park(c, until, func() { woken <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	return w, woken
}

func TestParkedIsWokenOnce(t *testing.T) {
	p := poller(t)
	for name, wake := range map[string]func(far, near *net.TCPConn, w *Parked){
		"bytes":            func(far, _ *net.TCPConn, _ *Parked) { far.Write([]byte("x")) },
		"end":              func(far, _ *net.TCPConn, _ *Parked) { far.Close() },
		"half-close":       func(far, _ *net.TCPConn, _ *Parked) { far.CloseWrite() },
		"reset":            func(far, _ *net.TCPConn, _ *Parked) { far.SetLinger(0); far.Close() },
		"Wake":             func(_, _ *net.TCPConn, w *Parked) { w.Wake() },
		"Wake after close": func(_, near *net.TCPConn, w *Parked) { near.Close(); w.Wake() },
		"its time":         func(_, _ *net.TCPConn, _ *Parked) { p.Expire(time.Unix(2000, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			far, near := ends(t)
			w, woken := park(t, p, near, time.Unix(1000, 0))
			p.Expire(time.Unix(999, 0))
			if len(woken) > 0 {
				t.Fatal("woken before anything happened")
			}
			wake(far, near, w)
			<-woken
			p.mu.Lock()
			if w.fd >= 0 {
				t.Error("it still waits, and would be woken again")
			}
			p.mu.Unlock()
			w.Wake()
			p.Expire(time.Unix(5000, 0))
			if len(p.waiting()) > 0 || len(woken) > 0 {
				t.Error("woken twice")
			}
		})
	}
}

// TestParkAgain: bytes that came before are seen, and a connection can be parked any number of times.
func TestParkAgain(t *testing.T) {
	p := poller(t)
	far, near := ends(t)
	for range 3 {
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, woken := park(t, p, near, time.Time{})
		<-woken
		if n, err := near.Read(make([]byte, 8)); n == 0 {
			t.Fatal(err)
		}
	}
}

// TestDescriptorUsedAgain: one that was closed without Wake does not end the wait of the next connection with its number.
func TestDescriptorUsedAgain(t *testing.T) {
	p := poller(t)
	_, near := ends(t)
	w, first := park(t, p, near, time.Time{})
	near.Close()
	w.Wake()
	<-first
	far, again := ends(t)
	_, woken := park(t, p, again, time.Time{})
	w.Wake()
	if len(p.waiting()) != 1 {
		t.Fatal("a wait that is over ended another one's")
	}
	far.Write([]byte("x"))
	<-woken
}

// waiting are those that are parked.
func (p *Poller) waiting() (out []*Parked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.parked {
		if w != nil {
			out = append(out, w)
		}
	}
	return out
}

func TestPollerEnds(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	_, near := ends(t)
	_, woken := park(t, p, near, time.Time{})
	end()
	if err := <-done; err != context.Canceled {
		t.Error(err)
	}
	<-woken
	if _, err := p.Park(near, time.Time{}, func() { t.Error("woken by a poller that has ended") }); err == nil {
		t.Error("a poller that has ended parks")
	}
}

// TestKept: what is kept of a connection is its descriptor. Another one takes its place, whose peer has noticed nothing.
func TestKept(t *testing.T) {
	p := poller(t)
	far, near := ends(t)
	type kept struct {
		c   *net.TCPConn
		err error
	}
	for round := range 3 {
		woken := make(chan kept, 2)
		w, err := p.Keep(near, time.Time{}, func(c *net.TCPConn, err error) { woken <- kept{c, err} })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write([]byte("x")); err == nil {
			t.Error("the connection that was given is still open")
		}
		if round == 1 {
			w.Wake()
		} else if _, err := far.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		k := <-woken
		if k.err != nil {
			t.Fatal(k.err)
		}
		if near = k.c; round == 1 {
			continue
		}
		b := make([]byte, 16)
		if n, err := near.Read(b); string(b[:n]) != "question" || err != nil {
			t.Errorf("%q, %v", b[:n], err)
		}
		if _, err := near.Write([]byte("answer")); err != nil {
			t.Error(err)
		}
		if n, err := far.Read(b); string(b[:n]) != "answer" || err != nil {
			t.Errorf("%q, %v", b[:n], err)
		}
		idle, err := keepIdle(near)
		if err != nil || idle != int(keepAlive.Idle/time.Second) {
			t.Errorf("its keep-alive begins after %d s, %v", idle, err)
		}
	}
	near.Close()
	if _, err := p.Keep(near, time.Time{}, func(*net.TCPConn, error) { t.Error("woken, and there was nothing to wait for") }); err == nil {
		t.Error("a closed connection is kept")
	}
	if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("its peer reads %d bytes, %v", n, err)
	}
}

// TestKeptWithoutDescriptors: where there is none to spare for a moment, who is to be kept stays as it is, and who was kept is given back once
// there is one.
func TestKeptWithoutDescriptors(t *testing.T) {
	p := poller(t)
	far, near := ends(t)
	woken := make(chan *net.TCPConn, 2)
	kept := func(c *net.TCPConn, err error) {
		if err != nil {
			t.Error(err)
		}
		woken <- c
	}
	again := noDescriptors(t)
	_, err := p.Keep(near, time.Time{}, kept)
	again()
	if !Short(err) {
		t.Fatal(err)
	}
	if _, err := near.Write([]byte("x")); err != nil {
		t.Fatal("a connection that was not kept is closed:", err)
	}
	w, err := p.Keep(near, time.Time{}, kept)
	if err != nil {
		t.Fatal(err)
	}
	again = noDescriptors(t)
	w.Wake()
	for late := 0; late == 0 && len(woken) == 0; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		late = len(p.late)
		p.mu.Unlock()
	}
	again()
	p.Expire(time.Unix(1, 0))
	if near = <-woken; near == nil {
		return
	}
	defer near.Close()
	if _, err := near.Write([]byte("y")); err != nil {
		t.Error(err)
	}
	b := make([]byte, 2)
	if _, err := io.ReadFull(far, b); string(b) != "xy" || err != nil {
		t.Errorf("its peer reads %q, %v", b, err)
	}
}

// noDescriptors lets the process open none until the function that it returns is called.
func noDescriptors(t *testing.T) (again func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	free, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 4)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	none := was
	none.Cur = uint64(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}
}

// keepIdle is TCP_KEEPIDLE, in seconds.
func keepIdle(c *net.TCPConn) (n int, err error) {
	err = control(c, func(fd int) (err error) {
		n, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
		return err
	})
	return n, err
}
