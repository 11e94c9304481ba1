// Package server is the control plane's side of the stream, over gRPC. It is the only importer of gRPC-Go: the proxy's side is
// weft's own codecs, since a gRPC-Go client alone takes a proxy at rest from 5 to 12 MB.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
)

// Session is one proxy's connection, as the control plane sees it. Take and Next are each called from one goroutine.
type Session interface {
	// Take handles a message of the proxy's.
	Take(*stream.Up) error
	// Next returns what to send, waiting until there is something or ctx ends.
	Next(ctx context.Context) (*stream.Down, error)
	// Close ends the session.
	Close()
}

// Plane is the control plane behind the server. Errors that wrap ErrRefused reach the proxy as "permission denied". Each may wait; ctx
// ends with the call.
type Plane interface {
	Open(ctx context.Context, hello *stream.Hello) (Session, error)
	Certify(context.Context, *stream.CertifyRequest) (*stream.CertifyResponse, error)
	Standing(context.Context, *stream.StandingRequest) (*stream.StandingResponse, error)
}

// Options says how proxies are served. The zero value is for a Unix socket, whose directory says who may connect.
type Options struct {
	// Certificate serves TLS with what it returns; nil: in the clear.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Leave is how long the end may take: streams are ended in good order, spread over half of it, and proxies connect to another
	// replica; calls under way end. Zero: all is cut.
	Leave time.Duration
	// Pause is after how long a proxy hears that it is refused. Until then it holds a stranger's place, of which there are few for one address:
	// so many guesses a second there are, and questions to whoever checks tokens. Zero: none.
	Pause time.Duration
	// Turned hears of each connection that is turned away because strangers are too many; it may be nil.
	Turned func()
	// Stay is after about how long a stream is ended in good order, so that proxies spread over replicas that have come since. Zero:
	// never.
	Stay time.Duration
}

// ErrRefused says that a proxy may not have what it asked for.
var ErrRefused = errors.New("refused")

// maxMessage bounds what a proxy may send: 10,000 subscriptions are 1 MB.
const maxMessage = 4 << 20

const (
	// often is the shortest interval at which a proxy may ask for a sign of life: half of what proxies wait (proxy/plane). gRPC's own is
	// 5 minutes; a proxy to which nothing was sent for 50 s was cut off by that.
	often = 5 * time.Second
	// silent is after how long without a byte a proxy is asked for a sign of life, and how long it has for it: one whose machine is gone
	// would be a session for hours.
	silent = 15 * time.Second

	// Strangers, who have not proved yet whom they serve, get this much time for their handshake, and again for their first message. A
	// connection that carries nothing for idle is closed.
	patience = 10 * time.Second
	idle     = 30 * time.Second

	mostStreams = 4        // of one connection; a proxy has one
	mostHeaders = 16 << 10 // bytes
	readBuffer  = 1 << 10  // of each connection; gRPC's own is 32 KiB, and what proxies say is short: an acknowledgement has some bytes
	// window is what a stream may send before it is read, which is gRPC's least. Where it is said, gRPC does not measure what the connection could
	// carry: for that it sent a ping after each acknowledgement, and read its answer.
	window = 1 << 16
)

// service is a plane as it is served.
type service struct {
	Plane
	Options
	leaving context.Context // it ends when the server does in good order
	leave   context.CancelFunc
	over    <-chan struct{} // closed when it ends
}

// Serve answers on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, p Plane, o Options) error {
	s := grpc.NewServer(grpc.Creds(credentialsOf(o.Certificate)), grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: often}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: silent, Timeout: silent, MaxConnectionIdle: idle}),
		grpc.ConnectionTimeout(patience), grpc.MaxConcurrentStreams(mostStreams), grpc.MaxHeaderListSize(mostHeaders),
		grpc.ReadBufferSize(readBuffer), grpc.StaticStreamWindowSize(window))
	sv := &service{Plane: p, Options: o, over: ctx.Done()}
	sv.leaving, sv.leave = context.WithCancel(context.Background())
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: stream.Service,
		HandlerType: (*Plane)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Stream", Handler: serveStream, ServerStreams: true, ClientStreams: true}},
		Methods: []grpc.MethodDesc{
			{MethodName: "Certify", Handler: unary((*service).certify)},
			{MethodName: "Standing", Handler: unary((*service).standing)},
		},
	}, sv)
	defer context.AfterFunc(ctx, func() { sv.end(s) })()
	if err := s.Serve(&door{Listener: l, turned: o.Turned, of: map[netip.Addr]*room{}}); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve proxies: %w", err)
	}
	return nil
}

func (sv *service) end(s *grpc.Server) {
	if sv.Leave > 0 {
		sv.leave()
		defer time.AfterFunc(sv.Leave, s.Stop).Stop()
		s.GracefulStop()
	}
	s.Stop()
}

func serveStream(srv any, g grpc.ServerStream) error {
	sv := srv.(*service)
	up, err := first(g)
	if err != nil {
		return err
	}
	if up.Hello == nil {
		return status.Error(codes.InvalidArgument, "the first message has no hello")
	}
	s, err := sv.Open(g.Context(), up.Hello)
	if err != nil {
		return sv.refuse(g.Context(), err)
	}
	defer admit(g.Context())()
	defer s.Close()
	if err := s.Take(up); err != nil {
		return answer(err)
	}
	ctx, end := context.WithCancelCause(g.Context())
	defer end(nil)
	defer sv.bound(ctx, end)()
	go func() { end(listen(g, s)) }()
	err = pump(ctx, g, s)
	if why := context.Cause(ctx); why != nil { // by which the pump has stopped
		err = why
	}
	if errors.Is(err, errMoves) {
		return nil
	}
	return answer(err)
}

// errMoves says that a stream ends in good order, for the proxy to connect to another replica.
var errMoves = errors.New("the proxy is to move")

// bound has a stream end when its stay is over, or the server leaves, until done is called. Where a proxy reads nothing any more, what is sent to
// it keeps the stream from its end: its connection is cut then. Nobody waits for any of it: a goroutine of each proxy takes 4 KB.
func (sv *service) bound(ctx context.Context, end context.CancelCauseFunc) (done func()) {
	move, over := func() { end(errMoves) }, make(chan struct{})
	undo := []func() bool{
		context.AfterFunc(sv.leaving, func() { time.AfterFunc(rand.N(sv.Leave/2+1), move) }),
		context.AfterFunc(ctx, func() {
			select {
			case <-over:
			case <-time.After(patience):
				cut(ctx)
			}
		}),
	}
	if sv.Stay > 0 {
		undo = append(undo, time.AfterFunc(sv.Stay/2+rand.N(sv.Stay), move).Stop)
	}
	return func() {
		close(over)
		for _, f := range undo {
			f()
		}
	}
}

// first waits for a stream's first message, and not for longer than a stranger may take.
func first(g grpc.ServerStream) (*stream.Up, error) {
	type received struct {
		up  *stream.Up
		err error
	}
	came := make(chan received, 1)
	go func() {
		up, err := receive(g)
		came <- received{up, err}
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r := <-came:
		return r.up, r.err
	case <-late.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "no message within %v", patience)
	}
}

func listen(g grpc.ServerStream, s Session) error {
	for {
		up, err := receive(g)
		if err != nil {
			return err
		}
		if err := s.Take(up); err != nil {
			return err
		}
	}
}

func pump(ctx context.Context, g grpc.ServerStream, s Session) error {
	if err := g.SendMsg(&stream.Down{}); err != nil { // a greeting
		return err
	}
	for {
		down, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if err := g.SendMsg(down); err != nil {
			return err
		}
	}
}

// sizeOf is about what a message takes, and seldom less: to grow a buffer step by step was a tenth of all that a change allocates.
func sizeOf(down *stream.Down) int {
	const each = 32 // tags, lengths, version
	size := each
	for _, r := range down.Resources {
		size += each + len(r.Name) + len(r.Body)
	}
	return size
}

func receive(g grpc.ServerStream) (*stream.Up, error) {
	var b []byte
	if err := g.RecvMsg(&b); err != nil {
		return nil, err
	}
	up := new(stream.Up)
	if err := stream.Unmarshal(b, up); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return up, nil
}

func (sv *service) certify(ctx context.Context, req *stream.CertifyRequest) (any, error) {
	return sv.Plane.Certify(ctx, req)
}

func (sv *service) standing(ctx context.Context, req *stream.StandingRequest) (any, error) {
	return sv.Plane.Standing(ctx, req)
}

// unary serves a method that answers one message with another.
func unary[In any](of func(*service, context.Context, *In) (any, error)) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var b []byte
		if err := decode(&b); err != nil {
			return nil, err
		}
		req := new(In)
		if err := stream.Unmarshal(b, req); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		resp, err := of(srv.(*service), ctx, req)
		if err != nil {
			return nil, srv.(*service).refuse(ctx, err)
		}
		out := stream.Marshal(resp)
		return &out, nil
	}
}

func answer(err error) error {
	if errors.Is(err, ErrRefused) {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}

// refuse answers an error, and who may not have what he asked for later. Who does not wait for the answer holds his place all the same, and
// who had gone before there was one, whatever it would have been: else whoever hangs up each time asks as much as he likes.
func (sv *service) refuse(ctx context.Context, err error) error {
	if errors.Is(err, ErrRefused) || ctx.Err() != nil {
		late := time.NewTimer(sv.Pause)
		defer late.Stop()
		select {
		case <-late.C:
		case <-sv.over:
		}
	}
	return answer(err)
}

// raw hands message bytes through: messages are encoded by config's codec.
type raw struct{}

func (raw) Name() string { return "proto" }

// mostPooled bounds what a message may need for its buffer to be one of the pool's, whose next size is 1 MB: 1,000 proxies that come back want
// 40 KB each.
const mostPooled = 32 << 10

// Marshal encodes what is sent to a proxy into a buffer that is used again once it is written: the same 1,500 bytes for 1,000 proxies were half
// of what a change allocates.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	down, ok := v.(*stream.Down)
	if !ok {
		return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
	}
	size := sizeOf(down)
	if size > mostPooled {
		return mem.BufferSlice{mem.SliceBuffer(config.Append(make([]byte, 0, size), down))}, nil
	}
	pool := mem.DefaultBufferPool()
	b := pool.Get(size)
	*b = config.Append((*b)[:0], down)
	return mem.BufferSlice{mem.NewBuffer(b, pool)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
