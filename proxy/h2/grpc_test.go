package h2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weft-mesh/weft/traffic"
)

// words is a gRPC service of all four kinds whose messages are strings.
var words = grpc.ServiceDesc{ServiceName: "test.Words", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.StringValue{}
		if err := dec(in); err != nil {
			return nil, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		grpc.SetHeader(ctx, metadata.Pairs("saw", strings.Join(md["x-call"], ","), "bytes-bin", string([]byte{0, 1, 255})))
		grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t"))
		switch in.Value {
		case "fail":
			st, _ := status.New(codes.FailedPrecondition, "not now: 100% ä").WithDetails(durationpb.New(time.Second))
			return nil, st.Err()
		case "wait":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return in, nil
	}}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Up", ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			n := 0
			for {
				in := &wrapperspb.StringValue{}
				if err := s.RecvMsg(in); err == io.EOF {
					return s.SendMsg(wrapperspb.String(fmt.Sprint(n)))
				} else if err != nil {
					return err
				}
				n += len(in.Value)
			}
		}},
		{StreamName: "Down", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			in := &wrapperspb.StringValue{}
			if err := s.RecvMsg(in); err != nil {
				return err
			}
			for i := range 100 {
				if err := s.SendMsg(wrapperspb.String(fmt.Sprint(in.Value, i))); err != nil {
					return err
				}
			}
			return nil
		}},
		{StreamName: "Both", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			for {
				in := &wrapperspb.StringValue{}
				if err := s.RecvMsg(in); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(in); err != nil {
					return err
				}
			}
		}},
	}}

// grpcThrough is a gRPC-Go client, two hops of ours, and a gRPC-Go server.
func grpcThrough(t *testing.T) *grpc.ClientConn {
	noLeaks(t)
	back := &listener{conns: make(chan net.Conn), done: make(chan struct{})}
	gs := grpc.NewServer()
	gs.RegisterService(&words, nil)
	var wg sync.WaitGroup
	wg.Go(func() { gs.Serve(back) })
	up, far := tcpPair(t)
	back.conns <- far
	second := NewClient(up, ClientOptions{})

	var blamed reasons // gRPC's pings for each round trip of data, say, are no abuse
	o := ServerOptions{Options: Options{Report: blamed.add}}
	middleC, middleS := tcpPair(t)
	hop2 := NewServer(middleS, o, forward(func() *Client { return second }))
	wg.Go(func() { hop2.Serve() })
	first := NewClient(middleC, ClientOptions{})

	frontC, frontS := tcpPair(t)
	hop1 := NewServer(frontS, o, forward(func() *Client { return first }))
	wg.Go(func() { hop1.Serve() })
	cc, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return frontC, nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cc.Close()
		hop1.Close()
		first.Close()
		hop2.Close()
		second.Close()
		<-first.Done()
		<-second.Done()
		gs.Stop()
		wg.Wait()
		if len(blamed.list) > 0 {
			t.Errorf("reported %v", blamed.list)
		}
	})
	return cc
}

// listener hands out connections that are there already.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

func TestGRPC(t *testing.T) {
	cc := grpcThrough(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	t.Run("unary", func(t *testing.T) {
		for _, word := range []string{"hello", "", strings.Repeat("long ", 200_000)} {
			var head, trail metadata.MD
			out := &wrapperspb.StringValue{}
			err := cc.Invoke(metadata.AppendToOutgoingContext(ctx, "x-call", "1", "x-call", "2"), "/test.Words/Unary", wrapperspb.String(word), out, grpc.Header(&head), grpc.Trailer(&trail))
			if err != nil || out.Value != word {
				t.Errorf("%d bytes came back as %d, %v", len(word), len(out.Value), err)
			}
			if fmt.Sprint(head["saw"], head["bytes-bin"], trail["x-trailer"]) != fmt.Sprint([]string{"1,2"}, []string{"\x00\x01\xff"}, []string{"t"}) {
				t.Errorf("%q %q", head, trail)
			}
		}
	})
	t.Run("status", func(t *testing.T) {
		err := cc.Invoke(ctx, "/test.Words/Unary", wrapperspb.String("fail"), &wrapperspb.StringValue{})
		st := status.Convert(err)
		if st.Code() != codes.FailedPrecondition || st.Message() != "not now: 100% ä" || len(st.Details()) != 1 {
			t.Error(err)
		}
		if err := cc.Invoke(ctx, "/test.Words/None", wrapperspb.String(""), &wrapperspb.StringValue{}); status.Code(err) != codes.Unimplemented {
			t.Error(err)
		}
	})
	t.Run("deadline and cancel", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if err := cc.Invoke(short, "/test.Words/Unary", wrapperspb.String("wait"), &wrapperspb.StringValue{}); status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Unavailable {
			t.Error(err) // Unavailable: the server's own clock, which grpc-timeout set, was first, and it reset the stream
		}
		gone, cancel := context.WithCancel(ctx)
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := cc.Invoke(gone, "/test.Words/Unary", wrapperspb.String("wait"), &wrapperspb.StringValue{}); status.Code(err) != codes.Canceled {
			t.Error(err)
		}
	})
	t.Run("up", func(t *testing.T) {
		s, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/test.Words/Up")
		if err != nil {
			t.Fatal(err)
		}
		for range 5000 {
			if err := s.SendMsg(wrapperspb.String(strings.Repeat("x", 10_000))); err != nil {
				t.Fatal(err)
			}
		}
		s.CloseSend()
		out := &wrapperspb.StringValue{}
		if err := s.RecvMsg(out); err != nil || out.Value != "50000000" {
			t.Error(out, err)
		}
	})
	t.Run("down", func(t *testing.T) {
		s, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Words/Down")
		if err != nil {
			t.Fatal(err)
		}
		s.SendMsg(wrapperspb.String("n"))
		s.CloseSend()
		for i := 0; ; i++ {
			out := &wrapperspb.StringValue{}
			err := s.RecvMsg(out)
			if err == io.EOF && i == 100 {
				break
			}
			if err != nil || out.Value != fmt.Sprint("n", i) {
				t.Fatal(i, out, err)
			}
		}
	})
	t.Run("both", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				s, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Words/Both")
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 50 { // each answer is waited for: nothing may linger in a buffer
					s.SendMsg(wrapperspb.String(fmt.Sprint(i)))
					out := &wrapperspb.StringValue{}
					if err := s.RecvMsg(out); err != nil || out.Value != fmt.Sprint(i) {
						t.Error(i, out, err)
						return
					}
				}
				s.CloseSend()
				if err := s.RecvMsg(&wrapperspb.StringValue{}); err != io.EOF {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("stream is left", func(t *testing.T) {
		gone, cancel := context.WithCancel(ctx)
		s, err := cc.NewStream(gone, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Words/Both")
		if err != nil {
			t.Fatal(err)
		}
		s.SendMsg(wrapperspb.String("x"))
		s.RecvMsg(&wrapperspb.StringValue{})
		cancel()
		if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.Canceled {
			t.Error(err)
		}
	})
}

// TestGoAwayRaces: while calls are made, servers drain and are replaced; what is refused is sent again, and no call fails.
func TestGoAwayRaces(t *testing.T) {
	noLeaks(t)
	var mu sync.Mutex
	var current *Client
	var servers sync.WaitGroup
	var last *Server
	fresh := func() {
		c, s := tcpPair(t)
		srv := NewServer(s, ServerOptions{}, echo)
		servers.Go(func() {
			if err := srv.Serve(); err != nil {
				t.Error(err)
			}
		})
		cl := NewClient(c, ClientOptions{})
		mu.Lock()
		current, last = cl, srv
		mu.Unlock()
		servers.Go(func() { <-cl.Done() })
	}
	fresh()
	stop := make(chan struct{})
	var callers sync.WaitGroup
	calls, again := make([]int, 16), make([]int, 16)
	for i := range 16 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				body := strings.Repeat("x", i*5000)
				for {
					c := newCall("POST", "/", &traffic.Bytes{B: []byte(body)})
					mu.Lock()
					cl := current
					mu.Unlock()
					err := cl.RoundTrip(c)
					if err == nil {
						var got string
						got, err = readAll(c.Response.Body)
						if err == nil && got != body {
							t.Errorf("%d bytes, want %d", len(got), len(body))
						}
					}
					c.Finish(time.Time{})
					if errors.Is(err, traffic.ErrRefused) {
						again[i]++
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					break
				}
				calls[i]++
			}
		})
	}
	for range 40 {
		time.Sleep(5 * time.Millisecond)
		old := last
		fresh()
		old.Drain()
	}
	close(stop)
	callers.Wait()
	current.Drain()
	last.Drain()
	servers.Wait()
	t.Logf("%v calls, %v again", calls, again)
}
