package sys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func quickEnds(t *testing.T) (q *Quick, far *net.TCPConn) {
	near, far := ends(t)
	q, err := NewQuick(near)
	if err != nil {
		t.Fatal(err)
	}
	return q, far
}

// TestQuickMovesBytes: more than sockets hold, both ways at once.
func TestQuickMovesBytes(t *testing.T) {
	q, far := quickEnds(t)
	data := make([]byte, 8<<20)
	rand.Read(data)
	go io.Copy(far, far) // ends with the test's connections
	sent := make(chan error, 1)
	go func() {
		n, err := q.Write(data)
		if err == nil && n != len(data) {
			err = io.ErrShortWrite
		}
		sent <- err
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(q, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v, and the bytes that come back are the same: %v", err, bytes.Equal(got, data))
	}
}

func TestQuickEnds(t *testing.T) {
	buf := make([]byte, 8)
	for name, test := range map[string]struct {
		do   func(q *Quick, far *net.TCPConn)
		want error
	}{
		"end":        {func(_ *Quick, far *net.TCPConn) { far.Close() }, io.EOF},
		"half-close": {func(_ *Quick, far *net.TCPConn) { far.CloseWrite() }, io.EOF},
		"close":      {func(q *Quick, _ *net.TCPConn) { q.Close() }, net.ErrClosed},
		"deadline":   {func(q *Quick, _ *net.TCPConn) { q.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			q, far := quickEnds(t)
			read := make(chan error, 1)
			go func() { _, err := q.Read(buf); read <- err }()
			test.do(q, far)
			if err := <-read; !errors.Is(err, test.want) {
				t.Errorf("Read says %v, want %v", err, test.want)
			}
			if name != "deadline" {
				return
			}
			q.SetReadDeadline(time.Time{})
			far.Write([]byte("x"))
			if n, err := q.Read(buf); n != 1 || err != nil {
				t.Errorf("after the deadline: %d, %v", n, err)
			}
		})
	}
	q, far := quickEnds(t)
	far.SetLinger(0)
	far.Close()
	q.SetWriteDeadline(time.Now().Add(30 * time.Second))
	for err := error(nil); ; { // the reset is on its way
		if _, err = q.Write(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("writing to a connection that was reset works")
		}
		if err != nil {
			return
		}
	}
}

// asks is Ask with what it tells: how much was written, -1 if nothing was tried.
func asks(q *Quick, request, p []byte) (n, wrote int, err error) {
	wrote = -1
	var cut error
	n, err = q.Ask(request, func(n int, err error) func() []byte {
		if wrote, cut = n, err; cut != nil {
			return nil
		}
		return func() []byte { return p }
	})
	if cut != nil {
		return n, wrote, cut
	}
	return n, wrote, err
}

// TestAskTakesNoRoomYet: what is read into is asked for when there is something, so that who waits for long holds no memory.
func TestAskTakesNoRoomYet(t *testing.T) {
	q, far := quickEnds(t)
	room := func() []byte {
		t.Error("room is taken, and there is nothing to read")
		return make([]byte, 8)
	}
	q.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := q.Ask([]byte("x"), func(int, error) func() []byte { return room }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	far.Close()
}

// TestAsk: the answer is seen, whether it comes at once, late, or with the connection's end, and what came before the request too.
func TestAsk(t *testing.T) {
	request, buf := []byte("request"), make([]byte, 64)
	answer := func(late bool) func(q *Quick, far *net.TCPConn) {
		return func(_ *Quick, far *net.TCPConn) {
			p := make([]byte, len(request))
			if _, err := io.ReadFull(far, p); err != nil {
				return
			}
			if late {
				time.Sleep(20 * time.Millisecond) // the one who asks waits by then, mostly
			}
			far.Write(append([]byte("answer to "), p...))
		}
	}
	for name, act := range map[string]func(q *Quick, far *net.TCPConn){"at once": answer(false), "late": answer(true),
		"and closes": func(q *Quick, far *net.TCPConn) { answer(false)(q, far); far.Close() }} {
		t.Run(name, func(t *testing.T) {
			q, far := quickEnds(t)
			for range 20 {
				go act(q, far)
				n, wrote, err := asks(q, request, buf)
				if string(buf[:n]) != "answer to request" || wrote != len(request) || err != nil {
					t.Fatalf("%q, %d written, %v", buf[:n], wrote, err)
				}
				if name == "and closes" {
					return
				}
			}
		})
	}
	t.Run("deadline", func(t *testing.T) {
		q, far := quickEnds(t)
		q.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, wrote, err := asks(q, request, buf); n != 0 || wrote != len(request) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %d written, %v", n, wrote, err)
		}
		q.SetReadDeadline(time.Time{})
		answer(false)(q, far)
		if n, err := q.Read(buf); string(buf[:n]) != "answer to request" {
			t.Errorf("the answer after the deadline: %q, %v", buf[:n], err)
		}
	})
	t.Run("deadline before", func(t *testing.T) {
		q, far := quickEnds(t)
		q.SetReadDeadline(time.Unix(1, 0))
		if n, wrote, err := asks(q, request, buf); n != 0 || wrote != -1 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %d written, %v", n, wrote, err)
		}
		q.SetReadDeadline(time.Time{})
		go answer(false)(q, far)
		if n, _, err := asks(q, request, buf); string(buf[:n]) != "answer to request" {
			t.Errorf("asked again: %q, %v", buf[:n], err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		q, far := quickEnds(t)
		far.SetLinger(0)
		far.Close()
		for range 1000 { // the reset is on its way
			if n, wrote, err := asks(q, request, buf); n == 0 && wrote < len(request) && err != nil {
				return
			} else if err == nil {
				t.Fatalf("%d bytes, %d written, and no error", n, wrote)
			}
		}
		t.Error("asking by a connection that was reset works")
	})
	t.Run("not waited for", func(t *testing.T) {
		q, far := quickEnds(t)
		if n, err := q.Ask(request, func(int, error) func() []byte { return nil }); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		answer(false)(q, far)
		if n, err := q.Read(buf); string(buf[:n]) != "answer to request" {
			t.Errorf("the answer: %q, %v", buf[:n], err)
		}
	})
	t.Run("closed while it tells", func(t *testing.T) {
		q, _ := quickEnds(t)
		n, err := q.Ask(request, func(int, error) func() []byte {
			q.Close()
			return func() []byte { return buf }
		})
		if n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		q, _ := quickEnds(t)
		q.Close()
		if n, wrote, err := asks(q, request, buf); n != 0 || wrote != -1 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d, %d written, %v", n, wrote, err)
		}
	})
}

func TestQuickAllocatesNothing(t *testing.T) {
	q, far := quickEnds(t)
	go io.Copy(far, far) // ends with the test's connections
	p, buf := []byte("request"), make([]byte, 64)
	room := func() []byte { return buf }
	sent := func(int, error) func() []byte { return room }
	if n := testing.AllocsPerRun(100, func() {
		if _, err := q.Ask(p, sent); err != nil {
			t.Fatal(err)
		}
		q.Write(p)
		if _, err := q.Read(buf); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
