package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// flood is a stranger that begins messages and never ends one: as many streams, each with a message as large as the server takes, as fast
// as flow control lets it.
type flood struct {
	nc      net.Conn
	fr      *http2.Framer
	mu      sync.Mutex
	changed sync.Cond
	windows map[uint32]int64 // by stream; 0: the connection's
	over    bool
}

func (f *flood) listen() {
	for {
		x, err := f.fr.ReadFrame()
		f.mu.Lock()
		switch x := x.(type) {
		case *http2.WindowUpdateFrame:
			f.windows[x.StreamID] += int64(x.Increment)
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			err = net.ErrClosed
		}
		f.over = err != nil
		f.changed.Broadcast()
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// pour sends until the server has taken so much of each stream, or ends the connection.
func (f *flood) pour(t *testing.T, streams int, most int64) {
	f.changed.L, f.windows = &f.mu, map[uint32]int64{0: 65535}
	_, _ = f.nc.Write([]byte(http2.ClientPreface))
	f.fr = http2.NewFramer(f.nc, f.nc)
	if err := f.fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	of := map[uint32]int64{}
	for n := range streams {
		id := uint32(2*n + 1)
		f.windows[id] = 65535
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "weft"}, {":path", stream.MethodCertify},
			{"content-type", "application/grpc"}, {"te", "trailers"}} {
			_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		if err := f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true}); err != nil {
			return
		}
	}
	go f.listen()
	late := time.AfterFunc(bound, func() { f.nc.Close() })
	defer late.Stop()
	for {
		f.mu.Lock()
		id, n := f.next(streams, of, most)
		for ; id == 0 && !f.over; id, n = f.next(streams, of, most) {
			if n < 0 {
				f.mu.Unlock()
				return
			}
			f.changed.Wait()
		}
		over := f.over
		f.windows[0] -= n
		f.windows[id] -= n
		f.mu.Unlock()
		if over {
			return
		}
		b := make([]byte, n)
		if of[id] == 0 {
			binary.BigEndian.PutUint32(b[1:], 4<<20) // the message's length
		}
		if err := f.fr.WriteData(id, false, b); err != nil {
			return
		}
		of[id] += n
	}
}

// next is a stream that has room, and how much; -1: none is to have more.
func (f *flood) next(streams int, of map[uint32]int64, most int64) (uint32, int64) {
	full := 0
	for k := range streams {
		id := uint32(2*k + 1)
		if of[id] >= most {
			full++
		} else if n := min(f.windows[0], f.windows[id], 16384, most-of[id]); n > 5 || n > 0 && of[id] > 0 {
			return id, n
		}
	}
	if full == streams {
		return 0, -1
	}
	return 0, 0
}

// Who has not proved whom he serves makes nobody keep megabytes for him, by however many connections.
func TestStrangersCostLittle(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	const all, stay = 6, 2 // 4 MB each
	cut := make(chan struct{}, all)
	serving.Go(func() { _ = server.Serve(ctx, l, &plane{}, server.Options{Turned: func() { cut <- struct{}{} }}) })
	defer serving.Wait()
	defer cancel()
	for range all {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		(&flood{nc: nc}).pour(t, 4, 1<<20)
	}
	late := time.After(bound)
	for n := range all - stay {
		select {
		case <-cut:
		case <-late:
			t.Fatalf("all but %d of %d connections are kept, each with 4 MB of one stranger", n, all)
		}
	}
}
