package server_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// bubble serves over pipes in a synctest bubble.
func bubble(t *testing.T, p *plane, o server.Options) (l pipes, stop func()) {
	l = make(pipes)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, p, o) }()
	return l, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// connect returns a stream of a connection of its own.
func connect(t *testing.T, l pipes, more ...grpc.DialOption) (*client, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:pipe", append([]grpc.DialOption{grpc.WithContextDialer(l.dial), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}))}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stream.MethodStream)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, s}, conn
}

// Whoever says nothing is not waited for.
func TestStrangersAreNotWaitedFor(t *testing.T) {
	t.Run("nothing at all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, stop := bubble(t, &plane{}, server.Options{})
			nc, _ := l.dial(t.Context(), "")
			begun := time.Now()
			if _, err := io.Copy(io.Discard, nc); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			stop()
		})
	})
	t.Run("a stream without a message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, stop := bubble(t, &plane{}, server.Options{})
			c, conn := connect(t, l)
			begun := time.Now()
			c.fails(codes.DeadlineExceeded, "no message within 10s")
			if took := time.Since(begun); took != 10*time.Second {
				t.Errorf("it took %v", took)
			}
			conn.Close()
			stop()
		})
	})
}

// At its end a server hands its proxies over, and cuts nobody before they have had time.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		l, stop := bubble(t, p, server.Options{Leave: 10 * time.Second})
		c, conn := connect(t, l)
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		go stop()
		if _, err := c.receive(); err != io.EOF { // the status is OK
			t.Errorf("%v, want the end of the stream in good order", err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		<-p.last().closed
		stop()
		conn.Close()
	})
}

// A proxy does not stay with one replica for ever.
func TestStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := bubble(t, &plane{}, server.Options{Stay: time.Hour})
		c, conn := connect(t, l)
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := c.receive(); err != io.EOF {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took < 30*time.Minute || took > 90*time.Minute {
			t.Errorf("it stayed %v", took)
		}
		conn.Close()
		stop()
	})
}

// Strangers that are too many are turned away; who has proved whom he serves takes no place of theirs.
func TestStrangersAreBounded(t *testing.T) {
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for network, address := range map[string]string{"unix": filepath.Join(dir, "s"), "tcp": "127.0.0.1:0"} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			p := &plane{}
			var turned atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			var serving sync.WaitGroup
			serving.Go(func() { _ = server.Serve(ctx, l, p, server.Options{Turned: func() { turned.Add(1) }}) })
			defer serving.Wait()
			defer cancel()
			to := l.Addr().String()
			if network == "unix" {
				to = "unix:" + to
			}
			conn, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := open(t, conn)
			c.say(stream.Up{Hello: hello})
			if _, err := c.receive(); err != nil {
				t.Fatal(err)
			}
			most := map[string]int{"unix": server.MostStrangers, "tcp": server.MostFromOne}[network]
			var all []net.Conn
			for range most + 1 {
				nc, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				all = append(all, nc)
			}
			last := all[most]
			_ = last.SetReadDeadline(time.Now().Add(bound))
			if n, err := last.Read(make([]byte, 1)); n > 0 || err == nil || os.IsTimeout(err) {
				t.Errorf("stranger %d is let in: %v", most+1, err)
			}
			if turned.Load() == 0 {
				t.Error("nobody hears of it")
			}
			all[0].Close() // a place is free, once the server has heard of it
			for end := time.Now().Add(bound); ; {
				nc, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				_ = nc.SetReadDeadline(time.Now().Add(bound))
				_, err = nc.Read(make([]byte, 1)) // settings
				nc.Close()
				if err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatal("nobody is let in any more")
				}
			}
			go func() { p.last().downs <- &stream.Down{Nonce: 7} }()
			if d, err := c.receive(); err != nil || d.Nonce != 7 {
				t.Errorf("the proxy that was let in: %v, %v", d, err)
			}
		})
	}
}

// Who is refused hears of it after a while, in which he holds a stranger's place.
func TestRefusalsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := bubble(t, &plane{refuse: server.ErrRefused}, server.Options{Pause: time.Second})
		c, conn := connect(t, l)
		begun := time.Now()
		c.say(stream.Up{Hello: hello})
		c.fails(codes.PermissionDenied, "refused")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it took %v", took)
		}
		conn.Close()
		stop()
	})
}

// What strangers are refused takes their time, and nobody else's.
func TestRefusalsDelayNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := bubble(t, &plane{}, server.Options{Pause: time.Hour})
		var conns []*grpc.ClientConn
		for range 100 {
			c, conn := connect(t, l)
			conns = append(conns, conn)
			c.say(stream.Up{Hello: &stream.Hello{Workload: "default/stranger"}})
		}
		begun := time.Now()
		c, conn := connect(t, l)
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %v", took)
		}
		for _, conn := range append(conns, conn) {
			conn.Close()
		}
		stop()
	})
}

// Who hangs up before he hears that he is refused, or before that is known, asks no more often than who waits.
func TestHangingUpSavesNoTime(t *testing.T) {
	for _, workload := range []string{"default/stranger", "default/slow"} {
		synctest.Test(t, func(t *testing.T) {
			p := &plane{}
			l, stop := bubble(t, p, server.Options{Pause: time.Second})
			_, conn := connect(t, l)
			begun := time.Now()
			for time.Since(begun) < 10*time.Second {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				if s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stream.MethodStream); err == nil {
					(&client{t, s}).say(stream.Up{Hello: &stream.Hello{Workload: workload}})
				}
				<-ctx.Done()
				cancel()
			}
			if n := p.opens.Load(); n == 0 || n > 50 { // four at a time
				t.Errorf("%s: asked %d times in 10 s", workload, n)
			}
			conn.Close()
			stop()
		})
	}
}
