package echo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

// The service's methods; all take and give google.protobuf.StringValue.
const (
	ServiceName        = "weft.echo.Echo"
	UnaryMethod        = "/" + ServiceName + "/Unary"        // one message, the same back
	ClientStreamMethod = "/" + ServiceName + "/ClientStream" // many messages, back as one with spaces between
	ServerStreamMethod = "/" + ServiceName + "/ServerStream" // one message, back echo-count times
	BidiStreamMethod   = "/" + ServiceName + "/BidiStream"   // each message back at once
)

// Metadata with which a caller asks for more than an echo.
const (
	AskStatus  = "echo-status"   // end with this status code (a number) after the messages; a unary call gets no message
	AskMessage = "echo-message"  // the text of that status
	AskDelay   = "echo-delay-ms" // wait before anything is answered
	AskCount   = "echo-count"    // messages of a server stream; 3 without it
	AskTrailer = "echo-trailer"  // come back as trailers of the same name
)

// Metadata that answers carry; serve.ServiceHeader and its like come in the headers too.
const (
	AuthorityHeader = "echo-authority" // header: the call's :authority
	MessagesTrailer = "echo-messages"  // trailer: how many messages the server sent
)

// description is what protoc would have generated from a service of four methods.
var description = grpc.ServiceDesc{
	ServiceName: ServiceName,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
	Streams: []grpc.StreamDesc{
		{StreamName: "ClientStream", Handler: stream(joinAll), ClientStreams: true},
		{StreamName: "ServerStream", Handler: stream(repeat), ServerStreams: true},
		{StreamName: "BidiStream", Handler: stream(eachBack), ServerStreams: true, ClientStreams: true},
	},
}

// NewGRPCServer has the echo service and the standard health service registered.
func NewGRPCServer(instance serve.Instance) *grpc.Server {
	s := grpc.NewServer()
	s.RegisterService(&description, instance)
	healthpb.RegisterHealthServer(s, health.NewServer())
	return s
}

func serveGRPC(ctx context.Context, ln net.Listener, instance serve.Instance, grace time.Duration) error {
	s := NewGRPCServer(instance)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve gRPC on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	drained := make(chan struct{})
	go func() { s.GracefulStop(); close(drained) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-drained:
		return nil
	case <-timer.C:
		s.Stop()
		return fmt.Errorf("drain gRPC on %s: calls still open after %s were cut", ln.Addr(), grace)
	}
}

// order is what a call's metadata asks for.
type order struct {
	code    codes.Code
	message string
	delay   time.Duration
	count   int
	trailer []string
}

// parseOrder fails with InvalidArgument, naming the key.
func parseOrder(md metadata.MD) (order, error) {
	o := order{trailer: md.Get(AskTrailer), message: strings.Join(md.Get(AskMessage), " ")}
	var err error
	number := func(key string, without, most int) int {
		values := md.Get(key)
		if len(values) == 0 {
			return without
		}
		n, bad := strconv.Atoi(values[0])
		if bad != nil || n < 0 || n > most {
			err = errors.Join(err, fmt.Errorf("metadata %s: want a number from 0 to %d, got %q", key, most, values[0]))
		}
		return n
	}
	o.code = codes.Code(number(AskStatus, 0, int(codes.Unauthenticated)))
	o.delay = time.Duration(number(AskDelay, 0, int(maxDelay.Milliseconds()))) * time.Millisecond
	o.count = number(AskCount, 3, 1_000_000)
	if err != nil {
		return order{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return o, nil
}

func (o order) err() error {
	if o.code == codes.OK {
		return nil
	}
	return status.Error(o.code, o.message)
}

// begin reads the order, waits as it asks, and returns the headers of the answer.
func begin(ctx context.Context, instance serve.Instance) (order, metadata.MD, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	o, err := parseOrder(md)
	if err != nil {
		return o, nil, err
	}
	timer := time.NewTimer(o.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return o, nil, status.FromContextError(ctx.Err()).Err()
	}
	header := metadata.Pairs(serve.ServiceHeader, instance.Service, serve.VersionHeader, instance.Version,
		serve.InstanceHeader, instance.Name)
	header.Set(AuthorityHeader, md.Get(":authority")...)
	return o, header, nil
}

func (o order) trailers(sent int) metadata.MD {
	md := metadata.Pairs(MessagesTrailer, strconv.Itoa(sent))
	md.Set(AskTrailer, o.trailer...)
	return md
}

func unary(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	message := new(wrapperspb.StringValue)
	if err := decode(message); err != nil {
		return nil, err
	}
	o, header, err := begin(ctx, srv.(serve.Instance))
	if err != nil {
		return nil, err
	}
	if err := grpc.SetHeader(ctx, header); err != nil {
		return nil, err
	}
	if o.code != codes.OK {
		grpc.SetTrailer(ctx, o.trailers(0)) // fails only outside of a call
		return nil, o.err()
	}
	return message, grpc.SetTrailer(ctx, o.trailers(1))
}

// stream makes a handler of a function that answers the messages and says how many it sent.
func stream(answer func(grpc.ServerStream, order) (int, error)) grpc.StreamHandler {
	return func(srv any, s grpc.ServerStream) error {
		o, header, err := begin(s.Context(), srv.(serve.Instance))
		if err != nil {
			return err
		}
		if err := s.SendHeader(header); err != nil {
			return err
		}
		sent, err := answer(s, o)
		s.SetTrailer(o.trailers(sent))
		if err != nil {
			return err
		}
		return o.err()
	}
}

func joinAll(s grpc.ServerStream, o order) (int, error) {
	var all []string
	for {
		message := new(wrapperspb.StringValue)
		err := s.RecvMsg(message)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		all = append(all, message.Value)
	}
	if o.code != codes.OK {
		return 0, nil
	}
	return 1, s.SendMsg(wrapperspb.String(strings.Join(all, " ")))
}

func repeat(s grpc.ServerStream, o order) (int, error) {
	message := new(wrapperspb.StringValue)
	if err := s.RecvMsg(message); err != nil {
		return 0, err
	}
	for sent := range o.count {
		if err := s.SendMsg(message); err != nil {
			return sent, err
		}
	}
	return o.count, nil
}

func eachBack(s grpc.ServerStream, _ order) (int, error) {
	for sent := 0; ; sent++ {
		message := new(wrapperspb.StringValue)
		err := s.RecvMsg(message)
		if err == io.EOF {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		if err := s.SendMsg(message); err != nil {
			return sent, err
		}
	}
}
