package echo

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Message is what the gRPC service takes and gives.
type Message = wrapperspb.StringValue

// Unary calls the unary method.
func Unary(ctx context.Context, conn grpc.ClientConnInterface, text string, options ...grpc.CallOption) (string, error) {
	answer := new(Message)
	err := conn.Invoke(ctx, UnaryMethod, wrapperspb.String(text), answer, options...)
	return answer.Value, err
}

// ClientStream opens the client-streaming method: Send as often as wanted, then CloseAndRecv.
func ClientStream(ctx context.Context, conn grpc.ClientConnInterface, options ...grpc.CallOption) (grpc.ClientStreamingClient[Message, Message], error) {
	return open(ctx, conn, 0, ClientStreamMethod, options)
}

// ServerStream calls the server-streaming method: Recv until io.EOF.
func ServerStream(ctx context.Context, conn grpc.ClientConnInterface, text string, options ...grpc.CallOption) (grpc.ServerStreamingClient[Message], error) {
	s, err := open(ctx, conn, 1, ServerStreamMethod, options)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(wrapperspb.String(text)); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}

// BidiStream opens the method that streams both ways.
func BidiStream(ctx context.Context, conn grpc.ClientConnInterface, options ...grpc.CallOption) (grpc.BidiStreamingClient[Message, Message], error) {
	return open(ctx, conn, 2, BidiStreamMethod, options)
}

func open(ctx context.Context, conn grpc.ClientConnInterface, stream int, method string, options []grpc.CallOption) (*grpc.GenericClientStream[Message, Message], error) {
	s, err := conn.NewStream(ctx, &description.Streams[stream], method, options...)
	if err != nil {
		return nil, err
	}
	return &grpc.GenericClientStream[Message, Message]{ClientStream: s}, nil
}
