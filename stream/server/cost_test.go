package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"

	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// overheard keeps what is read of a connection.
type overheard struct {
	net.Conn
	heard *bytes.Buffer
}

func (o overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.heard.Write(b[:n])
	return n, err
}

// What a proxy says is not answered with a ping, by which gRPC would measure the connection: that doubles what a change costs.
func TestNoPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		l, stop := bubble(t, p, server.Options{})
		var heard bytes.Buffer
		c, conn := connect(t, l, grpc.WithStaticStreamWindowSize(1<<16), grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			nc, err := l.dial(ctx, to)
			return overheard{nc, &heard}, err
		}))
		c.say(stream.Up{Hello: hello})
		for i := range uint64(8) {
			c.say(stream.Up{Ack: i + 1})
			synctest.Wait()
		}
		conn.Close()
		stop()
		synctest.Wait()
		ping := []byte{0, 0, 8, 6, 0, 0, 0, 0, 0} // RFC 9113 section 6.7, without ACK
		if heard.Len() == 0 || bytes.Contains(heard.Bytes(), ping) {
			t.Errorf("of %d bytes that were sent some are a ping", heard.Len())
		}
	})
}

// Messages come as they were sent, small ones whose buffers are used again and large ones that have their own.
func TestMessagesKeepTheirBytes(t *testing.T) {
	p := &plane{}
	synctest.Test(t, func(t *testing.T) {
		l, stop := bubble(t, p, server.Options{})
		c, cc := connect(t, l)
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil { // the greeting
			t.Fatal(err)
		}
		synctest.Wait()
		to := p.last().downs
		for i, size := range []int{10, 3000, 20, 31 << 10, 33 << 10, 200 << 10, 3000, 10} {
			want := bytes.Repeat([]byte{byte('a' + i)}, size)
			go func() {
				to <- &stream.Down{Nonce: uint64(i + 1), Resources: []stream.Resource{{Name: fmt.Sprint(i), Version: 1, Body: want}}}
			}()
			d, err := c.receive()
			if err != nil || d.Nonce != uint64(i+1) || len(d.Resources) != 1 || !bytes.Equal(d.Resources[0].Body, want) {
				t.Fatalf("message %d of %d bytes came as %v, %v", i, size, d, err)
			}
		}
		cc.Close()
		stop()
	})
}

// gated reads while nobody holds its gate.
type gated struct {
	net.Conn
	gate chan struct{}
}

func (g gated) Read(b []byte) (int, error) {
	g.gate <- struct{}{}
	<-g.gate
	return g.Conn.Read(b)
}

// What waits for a proxy that does not read keeps its bytes: no buffer is used again before it is written.
func TestWaitingMessagesKeepTheirBytes(t *testing.T) {
	p := &plane{}
	synctest.Test(t, func(t *testing.T) {
		l, stop := bubble(t, p, server.Options{})
		gate := make(chan struct{}, 1)
		c, cc := connect(t, l, grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			nc, err := l.dial(ctx, to)
			return gated{nc, gate}, err
		}))
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil { // the greeting
			t.Fatal(err)
		}
		synctest.Wait()
		gate <- struct{}{}
		body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 3000) }
		for i := range 8 {
			p.last().downs <- &stream.Down{Nonce: uint64(i + 1), Resources: []stream.Resource{{Version: 1, Body: body(i)}}}
			synctest.Wait()
		}
		<-gate
		for i := range 8 {
			d, err := c.receive()
			if err != nil {
				t.Fatal(err)
			}
			if d.Nonce != uint64(i+1) || len(d.Resources) != 1 || !bytes.Equal(d.Resources[0].Body, body(i)) {
				t.Errorf("message %d came with the bytes of another, as %d", i+1, d.Nonce)
			}
		}
		cc.Close()
		stop()
	})
}
