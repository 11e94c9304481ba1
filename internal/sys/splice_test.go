package sys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spliced is a connection in, one out, and a splice between them.
func spliced(t *testing.T) (in, out net.Conn, from, to *net.TCPConn, s *Splice) {
	t.Helper()
	l, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pair := func() (net.Conn, *net.TCPConn) {
		a, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close(); b.Close() })
		return a, b
	}
	in, from = pair()
	out, to = pair()
	if s, err = NewSplice(to, from); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return in, out, from, to, s
}

// TestSplice: every byte comes through in order to a reader that is slower than the sender, and is counted; then the end.
func TestSplice(t *testing.T) {
	in, out, _, to, s := spliced(t)
	sent := make([]byte, 8<<20)
	_, _ = rand.Read(sent)
	go func() {
		_, _ = in.Write(sent)
		_ = in.(*net.TCPConn).CloseWrite()
	}()
	moved := make(chan int, 1)
	go func() {
		defer to.CloseWrite()
		total := 0
		defer func() { moved <- total }()
		for {
			n, rerr, werr := s.Move()
			if total += n; n == 0 || rerr != nil || werr != nil {
				if rerr != nil || werr != nil {
					t.Errorf("%v, %v", rerr, werr)
				}
				return
			}
		}
	}()
	got, err := io.ReadAll(out)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came through, or others: %v", len(got), len(sent), err)
	}
	if n := <-moved; n != len(sent) {
		t.Errorf("%d of %d bytes were counted", n, len(sent))
	}
}

// TestSpliceDeadline: a wait that a deadline ends loses nothing.
func TestSpliceDeadline(t *testing.T) {
	in, out, from, _, s := spliced(t)
	_ = from.SetReadDeadline(time.Unix(1, 0))
	if n, rerr, werr := s.Move(); n != 0 || !errors.Is(rerr, os.ErrDeadlineExceeded) || werr != nil {
		t.Errorf("%d, %v, %v", n, rerr, werr)
	}
	_ = from.SetReadDeadline(time.Time{})
	_, _ = in.Write([]byte("here"))
	if n, rerr, werr := s.Move(); n != 4 || rerr != nil || werr != nil {
		t.Errorf("%d, %v, %v", n, rerr, werr)
	}
	b := make([]byte, 10)
	if n, err := out.Read(b); string(b[:n]) != "here" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// TestSpliceErrors: what fails is told by the side that it failed on.
func TestSpliceErrors(t *testing.T) {
	t.Run("sender resets", func(t *testing.T) {
		in, _, _, _, s := spliced(t)
		_ = in.(*net.TCPConn).SetLinger(0)
		in.Close()
		if n, rerr, werr := s.Move(); n != 0 || !errors.Is(rerr, syscall.ECONNRESET) || werr != nil {
			t.Errorf("%d, %v, %v", n, rerr, werr)
		}
	})
	t.Run("receiver is gone", func(t *testing.T) {
		in, out, _, to, s := spliced(t)
		_ = out.(*net.TCPConn).SetLinger(0)
		out.Close()
		if _, err := to.Read(make([]byte, 1)); err == nil { // it has heard
			t.Fatal("no reset")
		}
		_, _ = in.Write([]byte("lost"))
		if n, rerr, werr := s.Move(); n != 0 || rerr != nil || !errors.Is(werr, syscall.EPIPE) {
			t.Errorf("%d, %v, %v", n, rerr, werr)
		}
	})
	t.Run("closed", func(t *testing.T) {
		_, _, from, _, s := spliced(t)
		from.Close()
		if n, rerr, werr := s.Move(); n != 0 || !errors.Is(rerr, net.ErrClosed) || werr != nil {
			t.Errorf("%d, %v, %v", n, rerr, werr)
		}
	})
	t.Run("closed while it waits", func(t *testing.T) {
		_, _, from, _, s := spliced(t)
		time.AfterFunc(20*time.Millisecond, func() { from.Close() })
		if n, rerr, werr := s.Move(); n != 0 || !errors.Is(rerr, net.ErrClosed) || werr != nil {
			t.Errorf("%d, %v, %v", n, rerr, werr)
		}
	})
}

// TestSpliceLeavesDescriptors: a stream does not take those that connections need.
func TestSpliceLeavesDescriptors(t *testing.T) {
	_, _, from, to, s := spliced(t)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	short := was
	short.Cur = uint64(2 * max(s.r, s.w))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &short); err != nil {
		t.Fatal(err)
	}
	more, err := NewSplice(to, from)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		more.Close()
		t.Error("it took two of the last half")
	}
}
