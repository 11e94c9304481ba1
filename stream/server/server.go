// Package server is the control plane's side of the stream, over gRPC. It is the only importer of gRPC-Go: the proxy's side is
// weft's own codecs, since a gRPC-Go client alone takes a proxy at rest from 5 to 12 MB.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

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

// Plane is the control plane behind the server. Errors that wrap ErrRefused reach the proxy as "permission denied".
type Plane interface {
	Open(hello *stream.Hello) (Session, error)
	Certify(*stream.CertifyRequest) (*stream.CertifyResponse, error)
}

// ErrRefused says that a proxy may not have what it asked for.
var ErrRefused = errors.New("refused")

// maxMessage bounds what a proxy may send: 10,000 subscriptions are 1 MB.
const maxMessage = 4 << 20

// often is the shortest interval at which a proxy may ask for a sign of life: half of what proxies wait (proxy/plane). gRPC's own is 5
// minutes; a proxy to which nothing was sent for 50 s was cut off by that.
const often = 5 * time.Second

// Serve answers on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, p Plane) error {
	s := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: often}))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: stream.Service,
		HandlerType: (*Plane)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Stream", Handler: serveStream, ServerStreams: true, ClientStreams: true}},
		Methods:     []grpc.MethodDesc{{MethodName: "Certify", Handler: serveCertify}},
	}, p)
	defer context.AfterFunc(ctx, s.Stop)()
	if err := s.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve proxies: %w", err)
	}
	return nil
}

func serveStream(srv any, g grpc.ServerStream) error {
	up, err := receive(g)
	if err != nil {
		return err
	}
	if up.Hello == nil {
		return status.Error(codes.InvalidArgument, "the first message has no hello")
	}
	s, err := srv.(Plane).Open(up.Hello)
	if err != nil {
		return answer(err)
	}
	defer s.Close()
	if err := s.Take(up); err != nil {
		return answer(err)
	}
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- listen(g, s) }()
	go func() { ended <- pump(ctx, g, s) }()
	return answer(<-ended)
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
	greeting := stream.Marshal(&stream.Down{})
	if err := g.SendMsg(&greeting); err != nil {
		return err
	}
	for {
		down, err := s.Next(ctx)
		if err != nil {
			return err
		}
		b := stream.Marshal(down)
		if err := g.SendMsg(&b); err != nil {
			return err
		}
	}
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

func serveCertify(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var b []byte
	if err := decode(&b); err != nil {
		return nil, err
	}
	req := new(stream.CertifyRequest)
	if err := stream.Unmarshal(b, req); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	resp, err := srv.(Plane).Certify(req)
	if err != nil {
		return nil, answer(err)
	}
	out := stream.Marshal(resp)
	return &out, nil
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

// raw hands message bytes through: messages are encoded by config's codec.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
