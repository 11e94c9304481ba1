package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

const bound = 10 * time.Second

// plane is a control plane that does as it is told.
type plane struct {
	refuse, failCertify error
	opens               atomic.Int64

	mu       sync.Mutex
	sessions []*session
}

type session struct {
	ups    chan *stream.Up
	downs  chan *stream.Down
	take   error
	end    chan error
	closed chan struct{}
}

func (p *plane) Open(ctx context.Context, h *stream.Hello) (server.Session, error) {
	p.opens.Add(1)
	switch h.Workload {
	case "default/stranger":
		return nil, server.ErrRefused
	case "default/slow": // to check
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if p.refuse != nil {
		return nil, p.refuse
	}
	s := &session{ups: make(chan *stream.Up, 10), downs: make(chan *stream.Down), end: make(chan error, 1), closed: make(chan struct{})}
	if h.Workload == "default/bad" {
		s.take = fmt.Errorf("%w: too much", server.ErrRefused)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions = append(p.sessions, s)
	return s, nil
}

func (p *plane) last() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[len(p.sessions)-1]
}

func (p *plane) Standing(_ context.Context, r *stream.StandingRequest) (*stream.StandingResponse, error) {
	return &stream.StandingResponse{Workloads: []string{r.Token, string(r.Root)}}, p.failCertify
}

func (p *plane) Certify(_ context.Context, r *stream.CertifyRequest) (*stream.CertifyResponse, error) {
	if p.failCertify != nil {
		return nil, p.failCertify
	}
	return &stream.CertifyResponse{Chain: [][]byte{r.CSR, []byte(r.Workload + " " + r.Token)}}, nil
}

func (s *session) Take(up *stream.Up) error {
	s.ups <- up
	return s.take
}

func (s *session) Next(ctx context.Context) (*stream.Down, error) {
	select {
	case d := <-s.downs:
		return d, nil
	case err := <-s.end:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *session) Close() { close(s.closed) }

// raw hands bytes through, as the proxies' own codec does.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// pipes is a listener whose connections are made by dial, within the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p pipes) dial(context.Context, string) (net.Conn, error) {
	near, far := net.Pipe()
	p <- far
	return near, nil
}

// A proxy asks for a sign of life every 10 s (proxy/plane), and nothing is sent in a mesh where nothing changes.
func TestSilentStreamLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		l, stop := bubble(t, p, server.Options{})
		c, conn := connect(t, l, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second}))
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil { // the greeting
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // of the bubble's time
		go func() { p.last().downs <- &stream.Down{Nonce: 7} }()
		if d, err := c.receive(); err != nil || d.Nonce != 7 {
			t.Errorf("%+v, %v", d, err)
		}
		stop()
		conn.Close()
	})
}

// A stream that is to end does so, in the end, though its proxy reads nothing, and what is sent to it can't be.
func TestWhoReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		l, stop := bubble(t, p, server.Options{})
		c, conn := connect(t, l)
		c.say(stream.Up{Hello: hello})
		if _, err := c.receive(); err != nil { // the greeting
			t.Fatal(err)
		}
		of := p.last()
		for range 2 { // the second finds no room
			of.downs <- &stream.Down{Nonce: 7, Resources: []stream.Resource{{Body: make([]byte, 1<<20)}}}
		}
		c.send([]byte{0x0a, 0xff}) // no message, after which the stream is to end
		select {
		case <-of.closed:
		case <-time.After(time.Minute): // of the bubble's time
			t.Error("the stream does not end")
		}
		stop()
		conn.Close()
	})
}

// serve answers on a Unix socket until the test ends, and returns a client.
func serve(t *testing.T, p *plane) (conn *grpc.ClientConn, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "mesh.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, p, server.Options{}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn, err = grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}), grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); stop(); os.RemoveAll(dir) })
	return conn, stop
}

type client struct {
	t *testing.T
	grpc.ClientStream
}

func open(t *testing.T, conn *grpc.ClientConn) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stream.MethodStream)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, s}
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if err := c.SendMsg(&b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) say(up stream.Up) { c.t.Helper(); c.send(stream.Marshal(&up)) }

func (c *client) receive() (*stream.Down, error) {
	var b []byte
	if err := c.RecvMsg(&b); err != nil {
		return nil, err
	}
	d := new(stream.Down)
	return d, stream.Unmarshal(b, d)
}

func (c *client) fails(code codes.Code, says string) {
	c.t.Helper()
	for {
		d, err := c.receive()
		if err == nil && d.Nonce == 0 { // the greeting
			continue
		}
		if status.Code(err) != code || !strings.Contains(fmt.Sprint(err), says) {
			c.t.Errorf("%v, %v, want %v that says %q", d, err, code, says)
		}
		return
	}
}

var hello = &stream.Hello{Workload: "default/a-1", Token: "t"}

func TestStream(t *testing.T) {
	p := &plane{}
	conn, _ := serve(t, p)
	c := open(t, conn)
	c.say(stream.Up{Hello: hello, Subscribe: []stream.Want{{Name: "service/a", Version: 5}}})
	if d, err := c.receive(); err != nil || d.Nonce != 0 || len(d.Resources) > 0 {
		t.Errorf("%+v, %v, want a greeting", d, err)
	}
	s := p.last()
	if up := <-s.ups; up.Hello.Token != "t" || !slices.Equal(up.Subscribe, []stream.Want{{Name: "service/a", Version: 5}}) {
		t.Errorf("%+v", up)
	}
	s.downs <- &stream.Down{Nonce: 1, Resources: []stream.Resource{{Name: "service/a", Version: 9, Body: []byte(strings.Repeat("x", 1<<20))}}}
	if d, err := c.receive(); err != nil || d.Nonce != 1 || len(d.Resources[0].Body) != 1<<20 {
		t.Errorf("%v", err)
	}
	c.say(stream.Up{Ack: 1})
	if up := <-s.ups; up.Ack != 1 {
		t.Errorf("%+v", up)
	}
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.closed:
	case <-time.After(bound):
		t.Error("the session of a proxy that has gone is not closed")
	}
}

func TestWhatEndsAStream(t *testing.T) {
	p := &plane{}
	conn, stop := serve(t, p)
	t.Run("no hello", func(t *testing.T) {
		c := open(t, conn)
		c.say(stream.Up{Ack: 1})
		c.fails(codes.InvalidArgument, "hello")
	})
	t.Run("no message at all", func(t *testing.T) {
		c := open(t, conn)
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if d, err := c.receive(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%v, %v", d, err)
		}
	})
	t.Run("bytes that are no message", func(t *testing.T) {
		c := open(t, conn)
		c.say(stream.Up{Hello: hello})
		c.send([]byte{0x0a, 0xff})
		c.fails(codes.InvalidArgument, "cut short")
		<-p.last().closed
	})
	t.Run("a first message that is none", func(t *testing.T) {
		c := open(t, conn)
		c.send([]byte("garbage"))
		c.fails(codes.InvalidArgument, "config")
	})
	t.Run("too large a message", func(t *testing.T) {
		c := open(t, conn)
		c.say(stream.Up{Hello: hello})
		c.send(make([]byte, 5<<20))
		c.fails(codes.ResourceExhausted, "larger than max")
		<-p.last().closed
	})
	t.Run("what the session refuses", func(t *testing.T) {
		c := open(t, conn)
		c.say(stream.Up{Hello: &stream.Hello{Workload: "default/bad"}})
		c.fails(codes.PermissionDenied, "too much")
		<-p.last().closed
	})
	t.Run("the session's own end", func(t *testing.T) {
		c := open(t, conn)
		c.say(stream.Up{Hello: hello})
		_, _ = c.receive()
		p.last().end <- errors.New("the workload is not registered any more")
		c.fails(codes.Unavailable, "not registered any more")
		<-p.last().closed
	})
	t.Run("another method", func(t *testing.T) {
		in, out := []byte{}, []byte{}
		if err := conn.Invoke(t.Context(), "/"+stream.Service+"/Nothing", &in, &out); status.Code(err) != codes.Unimplemented {
			t.Errorf("%v", err)
		}
	})
	t.Run("the end of the server", func(t *testing.T) {
		c := open(t, conn)
		c.say(stream.Up{Hello: hello})
		_, _ = c.receive()
		stop()
		c.fails(codes.Unavailable, "")
		<-p.last().closed
	})
}

func TestRefused(t *testing.T) {
	p := &plane{refuse: fmt.Errorf("%w: workload default/a-1 is not registered here", server.ErrRefused)}
	conn, _ := serve(t, p)
	c := open(t, conn)
	c.say(stream.Up{Hello: hello})
	c.fails(codes.PermissionDenied, "not registered here")
}

func TestCertify(t *testing.T) {
	p := &plane{}
	conn, _ := serve(t, p)
	ask := func(in []byte) (*stream.CertifyResponse, error) {
		var out []byte
		if err := conn.Invoke(t.Context(), stream.MethodCertify, &in, &out); err != nil {
			return nil, err
		}
		r := new(stream.CertifyResponse)
		return r, stream.Unmarshal(out, r)
	}
	req := stream.Marshal(&stream.CertifyRequest{Workload: "default/a-1", Token: "t", CSR: []byte("csr")})
	got, err := ask(req)
	if err != nil || len(got.Chain) != 2 || string(got.Chain[0]) != "csr" || string(got.Chain[1]) != "default/a-1 t" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ask([]byte{0xff}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no message: %v", err)
	}
	for err, code := range map[error]codes.Code{
		fmt.Errorf("%w: wrong token", server.ErrRefused): codes.PermissionDenied,
		errors.New("disk full"):                          codes.Unavailable,
	} {
		p.failCertify = err
		if _, got := ask(req); status.Code(got) != code || !strings.Contains(got.Error(), err.Error()) {
			t.Errorf("%v, want %v that says %q", got, code, err)
		}
	}
}
