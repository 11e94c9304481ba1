package tls13

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/weft-mesh/weft/wire/record"
)

// pattern are n bytes of which each place is recognized.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// pass writes content in pieces and reads it with buffers of all sizes.
func pass(t *testing.T, from io.Writer, to io.Reader, content []byte, pieces ...int) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for rest, i := content, 0; len(rest) > 0; i++ {
			n := min(pieces[i%len(pieces)], len(rest))
			if m, err := from.Write(rest[:n]); m != n || err != nil {
				t.Errorf("%d of %d were written: %v", m, n, err)
				return
			}
			rest = rest[n:]
		}
	})
	var got []byte
	sizes := []int{1, 64 << 10, 5, 1000, 20 << 10, 100, 17 << 10}
	for i := 0; len(got) < len(content); i++ {
		b := make([]byte, sizes[i%len(sizes)])
		n, err := to.Read(b)
		if n == 0 || err != nil {
			t.Errorf("%d, %v after %d bytes", n, err, len(got))
			break
		}
		got = append(got, b[:n]...)
	}
	if !bytes.Equal(got, content) {
		t.Error("other bytes came than were sent")
	}
}

// TestBothRoles: data of all sizes to and from crypto/tls, and an orderly end from either side.
func TestBothRoles(t *testing.T) {
	for _, client := range []bool{true, false} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("client=%v,first=%v", client, first), func(t *testing.T) {
				borrowed := lent()
				ours, theirs := both(t, client)
				data := pattern(600_000)
				pass(t, ours, theirs, data, 1, 100, 1000, 70_000, 16384, 16383, 300_000, content)
				pass(t, theirs, ours, data, 1, 100, 1000, 70_000, 16384, 16383, 300_000)
				ours.Rest()
				pass(t, ours, theirs, data[:100], 100)
				pass(t, theirs, ours, data[:100], 100)
				if n := borrowed(); n != 0 {
					t.Errorf("%d buffers are not given back while nothing is on its way", n)
				}
				a, b := io.ReadWriteCloser(ours), io.ReadWriteCloser(theirs)
				if !first {
					a, b = b, a
				}
				must(t, a.(interface{ CloseWrite() error }).CloseWrite())
				if _, err := a.Write([]byte("more")); err == nil {
					t.Error("written after the end")
				}
				if got, err := io.ReadAll(b); len(got) > 0 || err != nil {
					t.Errorf("%q, %v, want close_notify", got, err)
				}
				pass(t, b, a, data[:50_000], 1000) // the other direction is open
				must(t, b.Close())
				if got, err := io.ReadAll(a); len(got) > 0 || err != nil {
					t.Errorf("%q, %v, want close_notify", got, err)
				}
				a.Close()
				if n := borrowed(); n != 0 {
					t.Errorf("%d buffers are not given back", n)
				}
			})
		}
	}
}

// TestSuites: all cipher suites, with KeyUpdates and rests in between.
func TestSuites(t *testing.T) {
	for suite := range suites {
		a, far := against(t, suite, true)
		b := far.conn(suite, false)
		for round := range 4 {
			pass(t, a, b, pattern(200_000), 1, 30_000, 100_000)
			pass(t, b, a, pattern(200_000), 1, 30_000, 100_000)
			switch round {
			case 0:
				a.Rest()
				b.Rest()
			case 1:
				a.asked.Store(true)
			case 2:
				b.asked.Store(true)
			}
		}
	}
}

// TestKeysUnderLoad: both ends go on with their next keys again and again while both write, and rest in between.
func TestKeysUnderLoad(t *testing.T) {
	for suite := range suites {
		a, far := against(t, suite, true)
		b := far.conn(suite, false)
		data := pattern(400_000)
		done := make(chan struct{})
		var both, other sync.WaitGroup
		other.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					a.asked.Store(true)
					b.asked.Store(true)
					a.Rest()
					b.Rest()
				}
			}
		})
		both.Go(func() { pass(t, a, b, data, 1, 100, 70_000) })
		both.Go(func() { pass(t, b, a, data, 300, 20_000) })
		both.Wait()
		close(done)
		other.Wait()
	}
}

// TestTrickle: records that come byte by byte, with deadlines that pass in between.
func TestTrickle(t *testing.T) {
	for _, size := range []int{4, 30, 1 << 10, 64 << 10} {
		borrowed := lent()
		c, far := against(t, 0x1301, true)
		want := pattern(300)
		var wire []byte
		for _, n := range []int{1, 99, 200} {
			wire = append(wire, far.seal(record.Application, want[:n])...)
			want = want[n:]
		}
		var got []byte
		p := make([]byte, size)
		read := func() error {
			must(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
			n, err := c.Read(p)
			got = append(got, p[:n]...)
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			return err
		}
		for i := range wire {
			far.send(wire[i : i+1])
			for read() == nil {
			}
		}
		for len(got) < 300 {
			_ = read() // the machine may have been busy
		}
		if !bytes.Equal(got, pattern(300)[:len(got)]) || len(got) != 300 || borrowed() != 0 {
			t.Errorf("buffers of %d: %d bytes came, %d buffers are lent", size, len(got), borrowed())
		}
	}
}

// TestPartial: whoever reads can tell whether a record has begun and not ended.
func TestPartial(t *testing.T) {
	for _, size := range []int{4, 64 << 10} {
		c, far := against(t, 0x1301, true)
		b := far.seal(record.Application, []byte("all of it"))
		p := make([]byte, size)
		far.send(b[:8])
		for !c.Partial() {
			must(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
			if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		far.send(b[8:])
		must(t, c.SetReadDeadline(time.Time{}))
		for got := 0; got < 9; {
			n, err := c.Read(p)
			must(t, err)
			got += n
		}
		if c.Partial() {
			t.Error("a record that was read is called partial")
		}
		c.Close()
	}
}

// TestManyRecords: a read takes all the records that are there and fit, and a write makes few.
func TestManyRecords(t *testing.T) {
	c, far := against(t, 0x1301, true)
	var wire []byte
	for range 50 {
		wire = append(wire, far.seal(record.Application, []byte("twenty bytes, always"))...)
	}
	far.send(wire)
	p := make([]byte, 64<<10)
	total := 0
	for reads := 0; total < 1000; reads++ {
		n, err := c.Read(p)
		must(t, err)
		if total += n; reads > 2 {
			t.Fatalf("%d reads for %d of 50 records that were sent at once", reads, total/20)
		}
	}
	go c.Write(make([]byte, 4*content))
	for range 4 {
		if _, got := far.receive(); len(got) != content {
			t.Errorf("a record with %d bytes", len(got))
		}
	}
}

// TestKeyUpdate: the peer goes on with its next key; if it wants that of us too, ours comes before our next data, once for many.
func TestKeyUpdate(t *testing.T) {
	const wanted = "\x18\x00\x00\x01\x01"
	for suite := range suites {
		c, far := against(t, suite, true)
		p := make([]byte, 1<<10)
		read := func(want string) {
			t.Helper()
			if n, err := c.Read(p); string(p[:n]) != want || err != nil {
				t.Errorf("%q, %v, want %q", p[:n], err, want)
			}
		}
		far.send(far.seal(record.Application, []byte("old")))
		read("old")
		first := far.seal(record.Handshake, record.AppendKeyUpdate(nil))
		must(t, far.out.Update())
		far.send(first, far.seal(record.Application, []byte("new")))
		read("new")
		for range 3 {
			b := far.seal(record.Handshake, []byte(wanted))
			must(t, far.out.Update())
			far.send(b)
		}
		far.send(far.seal(record.Application, []byte("newest")))
		read("newest")
		for i, want := range []struct {
			typ     byte
			content string
		}{{record.Handshake, "\x18\x00\x00\x01\x00"}, {record.Application, "data"}, {record.Application, "more"}} {
			if i > 0 {
				_, err := c.Write([]byte(want.content))
				must(t, err)
			}
			if i == 1 {
				if typ, got := far.receive(); typ != record.Handshake || string(got) != "\x18\x00\x00\x01\x00" {
					t.Fatalf("type %d, %x, want a KeyUpdate", typ, got)
				}
				must(t, far.in.Update())
			}
			if i > 0 {
				if typ, got := far.receive(); typ != want.typ || string(got) != want.content {
					t.Errorf("type %d, %q, want %q", typ, got, want.content)
				}
			}
		}
	}
}

// TestBreaches: what a peer must not send gets the alert that RFC 8446 names, ends both directions, and leaves nothing.
func TestBreaches(t *testing.T) {
	const update, ticket = "\x18\x00\x00\x01\x00", "\x04\x00\x00\x01x"
	many := func(e *end, typ byte, content string) (out []byte) {
		for range mostUseless + 1 {
			out = append(out, e.seal(typ, []byte(content))...)
		}
		return out
	}
	for name, x := range map[string]struct {
		sends  func(e *end) []byte
		alert  record.Alert
		server bool // what it is sent to
	}{
		"a forged record": {sends: func(e *end) []byte { b := e.seal(record.Application, []byte("x")); b[6] ^= 1; return b }, alert: record.BadRecordMAC},
		"a record again":  {sends: func(e *end) []byte { b := e.seal(record.Application, []byte("x")); return append(b, b...) }, alert: record.BadRecordMAC},
		"a record left out": {sends: func(e *end) []byte {
			e.seal(record.Application, []byte("x"))
			return e.seal(record.Application, []byte("y"))
		}, alert: record.BadRecordMAC},
		"a length that is too large":      {sends: func(*end) []byte { return []byte{record.Application, 3, 3, 0x41, 1} }, alert: record.RecordOverflow},
		"a record in the clear":           {sends: func(*end) []byte { return []byte{22, 3, 3, 0, 5, 24, 0, 0, 1, 0} }, alert: record.UnexpectedMessage},
		"an alert in the clear":           {sends: func(*end) []byte { return []byte{21, 3, 3, 0, 2, 1, 0} }, alert: record.UnexpectedMessage},
		"change_cipher_spec":              {sends: func(*end) []byte { return []byte{20, 3, 3, 0, 1, 1} }, alert: record.UnexpectedMessage},
		"change_cipher_spec, sealed":      {sends: func(e *end) []byte { return e.seal(record.ChangeCipherSpec, []byte{1}) }, alert: record.UnexpectedMessage},
		"an unknown type":                 {sends: func(e *end) []byte { return e.seal(24, []byte{1}) }, alert: record.UnexpectedMessage},
		"plain HTTP":                      {sends: func(*end) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, alert: record.UnexpectedMessage},
		"an endless sequence of nothing":  {sends: func(e *end) []byte { return many(e, record.Application, "") }, alert: record.UnexpectedMessage},
		"an endless sequence of tickets":  {sends: func(e *end) []byte { return many(e, record.Handshake, ticket) }, alert: record.UnexpectedMessage},
		"many cancellations":              {sends: func(e *end) []byte { return many(e, record.AlertType, "\x01\x5a") }, alert: record.UnexpectedMessage},
		"a ticket for a server":           {sends: func(e *end) []byte { return e.seal(record.Handshake, []byte(ticket)) }, alert: record.UnexpectedMessage, server: true},
		"an empty alert":                  {sends: func(e *end) []byte { return e.seal(record.AlertType, nil) }, alert: record.UnexpectedMessage},
		"two alerts in one":               {sends: func(e *end) []byte { return e.seal(record.AlertType, []byte("\x01\x5a\x01\x00")) }, alert: record.DecodeError},
		"two messages with a key between": {sends: func(e *end) []byte { return e.seal(record.Handshake, []byte(update+update)) }, alert: record.UnexpectedMessage},
		"an update of a wrong kind":       {sends: func(e *end) []byte { return e.seal(record.Handshake, []byte("\x18\x00\x00\x01\x02")) }, alert: record.IllegalParameter},
		"data inside a message": {sends: func(e *end) []byte {
			return append(e.seal(record.Handshake, []byte("\x18\x00")), e.seal(record.Application, []byte("x"))...)
		}, alert: record.UnexpectedMessage},
		"an alert inside a message": {sends: func(e *end) []byte {
			return append(e.seal(record.Handshake, []byte("\x18\x00")), e.seal(record.AlertType, []byte("\x01\x00"))...)
		}, alert: record.UnexpectedMessage},
		"the next key without notice": {sends: func(e *end) []byte { _ = e.out.Update(); return e.seal(record.Application, []byte("x")) }, alert: record.BadRecordMAC},
	} {
		for _, size := range []int{10, 64 << 10} {
			borrowed := lent()
			c, far := against(t, 0x1301, !x.server)
			far.send(far.seal(record.Application, []byte("good")), x.sends(far))
			got, err := readAll(c, size)
			if want := "good"; name != "a record again" && string(got) != want {
				t.Errorf("%s: %q came before it, want %q", name, got, want)
			}
			if e := (*record.Error)(nil); !errors.As(err, &e) || e.Alert != x.alert {
				t.Errorf("%s: %v, want %v", name, err, x.alert)
			}
			if typ, content := far.receive(); typ != record.AlertType || !bytes.Equal(content, record.AppendAlert(nil, x.alert)) {
				t.Errorf("%s: the peer got type %d, %x, want %v", name, typ, content, x.alert)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Errorf("%s: the other direction goes on", name)
			}
			if n := borrowed(); n != 0 || !blank(&c.in.key) || !blank(&c.out.key) {
				t.Errorf("%s: %d buffers are lent; keys are left: %v, %v", name, n, !blank(&c.in.key), !blank(&c.out.key))
			}
			c.Close()
		}
	}
}

// TestBreachWhileWriting: who breaks the protocol and takes nothing does not keep the connection: a write that waits is given a bound.
func TestBreachWhileWriting(t *testing.T) {
	below := &stuck{writing: make(chan struct{}), bounded: make(chan struct{})}
	c := &Conn{Conn: below}
	set(t, 0x1301, &c.in.key, &c.out.key)
	wrote := make(chan error)
	go func() {
		_, err := c.Write([]byte("x"))
		wrote <- err
	}()
	if _, err := c.Read(make([]byte, 100)); !errors.As(err, new(*record.Error)) {
		t.Error(err)
	}
	if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// stuck is a connection to a peer that takes nothing, and sends what is no record once it is written to.
type stuck struct {
	net.Conn
	writing, bounded chan struct{}
}

func (s *stuck) Read(b []byte) (int, error) {
	<-s.writing
	return copy(b, "GET / HTTP/1.1\r\n\r\n"), nil
}

func (s *stuck) Write([]byte) (int, error) {
	close(s.writing)
	select {
	case <-s.bounded:
		return 0, os.ErrDeadlineExceeded
	case <-time.After(10 * time.Second):
		return 0, errors.New("nobody has bounded it")
	}
}

func (s *stuck) SetWriteDeadline(time.Time) error {
	close(s.bounded)
	return nil
}

// readAll reads with buffers of a size to the end, which is an error.
func readAll(r io.Reader, size int) (got []byte, err error) {
	for p := make([]byte, size); err == nil; {
		var n int
		n, err = r.Read(p)
		got = append(got, p[:n]...)
	}
	return got, err
}

// blank says that nothing is left of a key but a number.
func blank(k *record.Key) bool {
	b := unsafe.Slice((*byte)(unsafe.Pointer(k)), unsafe.Sizeof(*k))
	n := 0
	for _, v := range b {
		if v != 0 {
			n++
		}
	}
	return n <= 8 // of the record's number
}

// TestEnds: how a connection may end, and what whoever reads is told.
func TestEnds(t *testing.T) {
	for name, x := range map[string]struct {
		sends func(e *end) []byte
		err   error
	}{
		"close_notify": {func(e *end) []byte {
			return append(e.seal(record.AlertType, []byte("\x01\x00")), "whatever follows"...)
		}, io.EOF},
		"user_canceled before": {func(e *end) []byte {
			return append(e.seal(record.AlertType, []byte("\x01\x5a")), e.seal(record.AlertType, []byte("\x01\x00"))...)
		}, io.EOF},
		"the socket's end":         {func(*end) []byte { return nil }, io.EOF},
		"the end inside a header":  {func(e *end) []byte { return e.seal(record.Application, []byte("x"))[:3] }, io.ErrUnexpectedEOF},
		"the end inside a record":  {func(e *end) []byte { b := e.seal(record.Application, []byte("x")); return b[:len(b)-1] }, io.ErrUnexpectedEOF},
		"an alert":                 {func(e *end) []byte { return e.seal(record.AlertType, []byte("\x02\x14")) }, record.BadRecordMAC},
		"an alert that is unknown": {func(e *end) []byte { return e.seal(record.AlertType, []byte("\x01\xc8")) }, record.Alert(200)},
	} {
		for _, size := range []int{10, 64 << 10} {
			borrowed := lent()
			c, far := against(t, 0x1303, false)
			far.send(far.seal(record.Application, []byte("data")), x.sends(far))
			must(t, far.raw.(*net.TCPConn).CloseWrite())
			got, err := readAll(c, size)
			if string(got) != "data" || !errors.Is(err, x.err) {
				t.Errorf("%s: %q, %v, want data, %v", name, got, err, x.err)
			}
			_, werr := c.Write([]byte("x"))
			if _, remote := x.err.(record.Alert); remote != (werr != nil) {
				t.Errorf("%s: written after it: %v", name, werr)
			}
			c.Close()
			if n := borrowed(); n != 0 || !blank(&c.in.key) || !blank(&c.out.key) {
				t.Errorf("%s: %d buffers are lent, or keys are left", name, n)
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: read after Close", name)
			}
			if werr != nil { // an alert is not answered
				if n, err := far.raw.Read(make([]byte, 1)); n > 0 || err == nil {
					t.Errorf("%s: the peer got something for it", name)
				}
			}
		}
	}
}

// TestCloseWhileBusy: Close ends a Read, and a Write that the peer does not take, and everything is given back.
func TestCloseWhileBusy(t *testing.T) {
	borrowed := lent()
	c, far := against(t, 0x1301, true)
	far.send(far.seal(record.Application, []byte("a part of it"))[:9])
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.Read(make([]byte, 100)) })
	wrote := make(chan struct{})
	wg.Go(func() {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				close(wrote)
				return
			}
		}
	})
	time.Sleep(10 * time.Millisecond) // either order is right
	c.Close()
	<-wrote
	wg.Wait()
	if n := borrowed(); n != 0 || !blank(&c.in.key) || !blank(&c.out.key) {
		t.Errorf("%d buffers are lent, or keys are left", n)
	}
}

// TestCloseFull: close_notify does not wait for long for a peer that reads nothing.
func TestCloseFull(t *testing.T) {
	c, _ := against(t, 0x1301, true)
	for n := 1; n > 0; { // until not even a byte goes out
		must(t, c.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		n, _ = c.Conn.Write(make([]byte, 1<<20))
	}
	must(t, c.SetWriteDeadline(time.Time{}))
	c.Close()
}

// TestLateWrite: a write that fails by its deadline is the last, and a read's deadline changes nothing.
func TestLateWrite(t *testing.T) {
	c, _ := against(t, 0x1301, true)
	must(t, c.SetDeadline(time.Unix(1, 0)))
	for range 2 {
		if _, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	must(t, c.SetDeadline(time.Time{}))
	if _, err := c.Write([]byte("x")); err != errLate {
		t.Error(err)
	}
}

// TestWorn: a key that has sealed as many records as it may is followed by the next one, and the peer is told.
func TestWorn(t *testing.T) {
	c, far := against(t, 0x1301, true)
	for _, k := range []*record.Key{&c.out.key, &far.in} {
		number := reflect.ValueOf(k).Elem().FieldByName("seq")
		*(*uint64)(number.Addr().UnsafePointer()) = 1 << 24
	}
	_, err := c.Write([]byte("x"))
	must(t, err)
	if typ, content := far.receive(); typ != record.Handshake || !bytes.Equal(content, record.AppendKeyUpdate(nil)) {
		t.Fatalf("type %d, %x, want a KeyUpdate", typ, content)
	}
	must(t, far.in.Update())
	if typ, content := far.receive(); typ != record.Application || string(content) != "x" {
		t.Errorf("type %d, %q", typ, content)
	}
}

// TestAllocates: neither a write nor a read allocates.
func TestAllocates(t *testing.T) {
	c, far := against(t, 0x1301, true)
	d := far.conn(0x1301, false)
	p, q := pattern(3000), make([]byte, 64<<10)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(p); {
			n, err := d.Read(q)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for a write and a read", n)
	}
}

// TestMemory: what a connection holds.
func TestMemory(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 512 {
		t.Errorf("a Conn has %d bytes", n)
	}
}

func TestNoSecretIsShown(t *testing.T) {
	c, _ := against(t, 0x1301, true)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, c); !strings.HasPrefix(got, "TLS with 127.0.0.1:") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// FuzzRead: whatever comes, in whatever pieces, is read to an end, and only what was sealed comes out.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0, 5, 1, 2, 3, 4, 5}, int64(1), uint16(100), false)
	f.Add([]byte{1, 5, 24, 0, 0, 1, 1, 0, 1, 9}, int64(2), uint16(10), true)
	f.Add([]byte{2, 2, 1, 0}, int64(3), uint16(1), true)
	f.Add([]byte{3, 8, 23, 3, 3, 0, 20, 1, 2, 3}, int64(3), uint16(30000), true)
	f.Fuzz(func(t *testing.T, script []byte, seed int64, size uint16, client bool) {
		var r, w record.Key
		set(t, 0x1301, &r, &w)
		var wire, want []byte
		sound := true
		for len(script) > 1 { // what is sent: a kind, a length, bytes
			kind, n := script[0]%4, min(int(script[1]), len(script)-2)
			content := script[2 : 2+n]
			script = script[2+n:]
			switch kind {
			case 0, 1, 2:
				b, err := r.Seal(nil, record.Application-kind, content)
				must(t, err)
				if kind == 1 && len(content) >= 5 && content[0] == 24 {
					must(t, r.Update())
				}
				wire = append(wire, b...)
				if sound = sound && kind == 0; sound {
					want = append(want, content...)
				}
			case 3: // anything
				wire, sound = append(wire, content...), false
			}
		}
		c := &Conn{Conn: &pieces{b: wire, rand: rand.New(rand.NewSource(seed))}}
		c.in.client = client
		set(t, 0x1301, &c.in.key, &c.out.key)
		got, err := readAll(c, int(size)+1)
		if !bytes.HasPrefix(got, want) && !bytes.HasPrefix(want, got) || err == nil {
			t.Fatalf("%x came of %x, %v", got, want, err)
		}
		if c.Close(); c.in.raw != nil || !blank(&c.in.key) {
			t.Fatal("something is left")
		}
	})
}

// pieces is a connection whose bytes come in pieces.
type pieces struct {
	net.Conn
	b    []byte
	rand *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:1+p.rand.Intn(len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error)      { return len(b), nil }
func (p *pieces) Close() error                     { return nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }
func (p *pieces) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

func BenchmarkConn(b *testing.B) {
	for _, ours := range []bool{true, false} {
		b.Run(fmt.Sprintf("ours=%v", ours), func(b *testing.B) {
			for _, n := range []int{300, 3000, 64 << 10} {
				b.Run(fmt.Sprint(n), func(b *testing.B) {
					w := newWorld(b)
					x, y := sockets(b)
					theirs := w.goTLS(y, false)
					var from, to net.Conn
					if ours {
						done := make(chan net.Conn)
						go func() { done <- w.take(b, y, false) }()
						from = w.take(b, x, true)
						to = <-done
					} else {
						go theirs.Handshake()
						c := tls.Client(x, &tls.Config{Certificates: []tls.Certificate{w.pair}, InsecureSkipVerify: true, NextProtos: []string{alpn}, DynamicRecordSizingDisabled: true})
						must(b, c.Handshake())
						from, to = c, theirs
					}
					p, q := pattern(n), make([]byte, 64<<10)
					b.SetBytes(int64(n))
					b.ReportAllocs()
					for b.Loop() {
						_, err := from.Write(p)
						must(b, err)
						for got := 0; got < n; {
							m, err := to.Read(q)
							must(b, err)
							got += m
						}
					}
				})
			}
		})
	}
}

// TestTakeFails: a connection that cannot be carried on is closed, since nobody has it any more.
func TestTakeFails(t *testing.T) {
	w := newWorld(t)
	a, b := sockets(t)
	theirs := w.goTLS(b, false)
	go func() { _, _ = theirs.Write([]byte("x")) }()
	c, _, err := w.store.Client(t.Context(), a, peerID, alpn)
	must(t, err)
	_, err = c.NetConn().Read(make([]byte, 1)) // a part of a record, as crypto/tls never leaves one
	must(t, err)
	if nc, err := Take(c); nc != nil || err == nil || errors.Is(err, record.ErrUnsupported) {
		t.Fatalf("%v, %v", nc, err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it is open still: %v", err)
	}
}

// TestFIPS: in FIPS 140-3 mode, where package record makes no keys, a connection stays with crypto/tls and works.
func TestFIPS(t *testing.T) {
	if os.Getenv("GODEBUG") != "fips140=on" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("stays with crypto/tls")) {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	w := newWorld(t)
	a, b := sockets(t)
	theirs := w.goTLS(b, false)
	go func() { _, _ = io.Copy(theirs, theirs) }()
	c, _, err := w.store.Client(t.Context(), a, peerID, alpn)
	must(t, err)
	nc, err := Take(c)
	must(t, err)
	if nc != net.Conn(c) {
		t.Fatalf("%T", nc)
	}
	pass(t, nc, nc, pattern(10_000), 1000)
	t.Log("stays with crypto/tls")
	must(t, nc.Close())
}
