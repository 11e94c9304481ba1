package traffic

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }

// upload hands out numbered chunks; Next waits for a chunk, or to be interrupted.
type upload struct {
	chunks chan string
	mu     sync.Mutex
	off    chan struct{} // closed: interrupted
}

func newUpload() *upload { return &upload{chunks: make(chan string), off: make(chan struct{})} }

func (u *upload) Next() ([]byte, error) {
	u.mu.Lock()
	off := u.off
	u.mu.Unlock()
	select {
	case <-off:
		return nil, ErrInterrupted
	default:
	}
	select {
	case <-off:
		return nil, ErrInterrupted
	case s, ok := <-u.chunks:
		if !ok {
			return nil, io.EOF
		}
		return []byte(s), nil
	}
}

func (u *upload) Interrupt(on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if on {
		close(u.off)
		return
	}
	u.off = make(chan struct{})
}
func (u *upload) Close(error) {}

// attempt pumps the request's body in a goroutine of its own; it is the response's body too.
type attempt struct {
	got  strings.Builder
	done chan struct{}
	err  error
}

func pump(b Body) *attempt {
	a := &attempt{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for {
			p, err := b.Next()
			a.got.Write(p)
			if err != nil {
				a.err = err
				return
			}
		}
	}()
	return a
}
func (a *attempt) Next() ([]byte, error) { <-a.done; return nil, io.EOF }
func (a *attempt) Close(error)           { <-a.done }
func (a *attempt) Interrupt(bool)        {}

// TestRewindNeverLosesAByte rewinds while a pump is anywhere inside Next. Whatever the moment, an attempt that follows sees
// the body from its first byte, or Rewind refuses and the attempt that runs goes on undisturbed.
func TestRewindNeverLosesAByte(t *testing.T) {
	const chunks = 200
	var want strings.Builder
	for i := range chunks {
		fmt.Fprintf(&want, "%d,", i)
	}
	for _, limit := range []int{0, 50, 400, 10_000} {
		u := newUpload()
		c := begun()
		c.Body = u
		c.Keep(limit)
		go func() {
			defer close(u.chunks)
			for i := range chunks {
				u.chunks <- fmt.Sprintf("%d,", i)
			}
		}()
		m := c.Mark()
		a := pump(c.Body)
		c.Response.Body = a
		for range 30 {
			if !c.Rewind(m, epoch) {
				break
			}
			a = pump(c.Body)
			c.Response.Body = a
		}
		<-a.done
		if a.got.String() != want.String() || a.err != io.EOF {
			t.Errorf("limit %d: the last attempt saw %d bytes of %d, %v", limit, a.got.Len(), want.Len(), a.err)
		}
		c.Finish(epoch)
	}
}

// TestCommitWhilePumping: the answer is committed while bytes flow; they all arrive, and are not kept any more.
func TestCommitWhilePumping(t *testing.T) {
	u := newUpload()
	c := begun()
	c.Body = u
	c.Keep(1 << 20)
	a := pump(c.Body)
	c.Response.Body = a
	for i := range 100 {
		if i == 50 {
			c.Commit()
		}
		u.chunks <- "0123456789"
	}
	close(u.chunks)
	<-a.done
	if a.got.Len() != 1000 || c.kept.len() > 520 {
		t.Errorf("%d bytes arrived, %d were kept", a.got.Len(), c.kept.len())
	}
	if c.Finish(epoch); c.kept.buf != nil || c.Body != u {
		t.Error("a call at rest must not hold a buffer")
	}
}

// TestUnreadBodyIsGivenBack: what was kept for a retry that was not needed must not stand in a splice's way.
func TestUnreadBodyIsGivenBack(t *testing.T) {
	for _, read := range []bool{false, true} {
		c := begun()
		body := &bytewise{s: "ab"}
		c.Body = body
		c.Keep(10)
		c.Keep(10)
		m := c.Mark()
		if !c.Rewind(m, epoch) { // an attempt that found no connection, and read nothing
			t.Fatal("refused")
		}
		if read {
			_, _ = c.Body.Next()
		}
		if c.Commit(); c.Body == Body(body) {
			t.Error("given back while another may still go back")
		}
		if c.Commit(); (c.Body == Body(body)) == read {
			t.Errorf("read %v: the body is %T", read, c.Body)
		}
		if b, err := c.Body.Next(); err != nil || len(b) != 1 {
			t.Errorf("%q %v", b, err)
		}
	}
}

// TestCommitRaces a first read: whichever comes first, no byte is lost, and the race detector sees one reader.
func TestCommitRaces(t *testing.T) {
	for range 500 {
		c := begun()
		c.Body = &bytewise{s: "abc"}
		c.Keep(10)
		a := pump(c.Body)
		c.Commit()
		if <-a.done; a.got.String() != "abc" {
			t.Fatalf("got %q", a.got.String())
		}
	}
}

// TestFrozenBodyRefuses: between the refusal of one attempt and the start of the next, a late pump gets nothing.
func TestFrozenBodyRefuses(t *testing.T) {
	k := &kept{src: &bytewise{s: "abc"}, limit: 10}
	_, _ = k.Next()
	k.mode.Store(frozen)
	if _, err := k.Next(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkKeptBody(b *testing.B) {
	chunk, c := make([]byte, 1024), begun()
	body := &repeated{chunk: chunk}
	b.ReportAllocs()
	for b.Loop() {
		c.Begin(nil, c.Conn)
		body.n = 4
		c.Body = body
		c.Keep(64 << 10)
		for {
			if _, err := c.Body.Next(); err != nil {
				break
			}
		}
		c.Commit()
		c.Finish(epoch)
	}
}

type repeated struct {
	chunk []byte
	n     int
}

func (r *repeated) Next() ([]byte, error) {
	if r.n--; r.n < 0 {
		return nil, io.EOF
	}
	return r.chunk, nil
}
func (r *repeated) Close(error)    {}
func (r *repeated) Interrupt(bool) {}

// TestDirect: a kept body can be passed by when nothing will be replayed and what was kept has been handed out, and not before.
func TestDirect(t *testing.T) {
	src := &Bytes{B: []byte("there")}
	if Direct(src) != Body(src) {
		t.Error("a body that nobody keeps is not itself")
	}
	c := new(Call)
	c.Begin(nil, nil)
	c.Body = src
	c.Keep(100)
	kept := c.Body
	if Direct(kept) != kept {
		t.Error("passed by before anything was read")
	}
	if b, err := kept.Next(); string(b) != "there" || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	if Direct(kept) != kept {
		t.Error("passed by though it may be replayed")
	}
	c.Commit()
	if Direct(kept) != Body(src) {
		t.Error("not passed by though it is committed")
	}
}
