package echo

import (
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestUnary(t *testing.T) {
	conn := grpcClient(t, start(t, Options{}).GRPC.Addr())
	ctx := metadata.AppendToOutgoingContext(t.Context(), AskTrailer, "a", AskTrailer, "b")
	var header, trailer metadata.MD
	got, err := Unary(ctx, conn, "hello", grpc.Header(&header), grpc.Trailer(&trailer), grpc.CallAuthority("backend:7070"))
	if err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	wantMD(t, header, "x-bookinfo-instance", "backend-1")
	wantMD(t, header, "x-bookinfo-version", "v2")
	wantMD(t, header, AuthorityHeader, "backend:7070")
	wantMD(t, trailer, MessagesTrailer, "1")
	wantMD(t, trailer, AskTrailer, "a", "b")
}

func wantMD(t *testing.T, md metadata.MD, key string, want ...string) {
	t.Helper()
	got := md.Get(key)
	if len(got) != len(want) {
		t.Errorf("%s is %q, want %q", key, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestClientStream(t *testing.T) {
	s, err := ClientStream(t.Context(), grpcClient(t, start(t, Options{}).GRPC.Addr()))
	must(t, err)
	for _, text := range []string{"one", "two", "three"} {
		must(t, s.Send(wrapperspb.String(text)))
	}
	got, err := s.CloseAndRecv()
	if err != nil || got.Value != "one two three" {
		t.Errorf("got %v, %v", got, err)
	}
	wantMD(t, s.Trailer(), MessagesTrailer, "1")
}

func TestServerStream(t *testing.T) {
	conn := grpcClient(t, start(t, Options{}).GRPC.Addr())
	for count, want := range map[string]int{"": 3, "0": 0, "1000": 1000} {
		ctx := t.Context()
		if count != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, AskCount, count)
		}
		s, err := ServerStream(ctx, conn, "hello")
		must(t, err)
		n := 0
		for {
			m, err := s.Recv()
			if err == io.EOF {
				break
			}
			must(t, err)
			if m.Value != "hello" {
				t.Fatalf("got %q", m.Value)
			}
			n++
		}
		if n != want {
			t.Errorf("count %q: %d messages, want %d", count, n, want)
		}
	}
}

func TestBidiStream(t *testing.T) {
	s, err := BidiStream(t.Context(), grpcClient(t, start(t, Options{}).GRPC.Addr()))
	must(t, err)
	for _, text := range []string{"one", "two"} { // each answer before the next question
		must(t, s.Send(wrapperspb.String(text)))
		if got, err := s.Recv(); err != nil || got.Value != text {
			t.Errorf("got %v, %v", got, err)
		}
	}
	must(t, s.CloseSend())
	if _, err := s.Recv(); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	wantMD(t, s.Trailer(), MessagesTrailer, "2")
}

func TestStatusOnRequest(t *testing.T) {
	conn := grpcClient(t, start(t, Options{}).GRPC.Addr())
	ctx := metadata.AppendToOutgoingContext(t.Context(), AskStatus, "5", AskMessage, "no such echo", AskTrailer, "kept", AskCount, "2", AskDelay, "1")
	want := func(err error, trailer metadata.MD) {
		t.Helper()
		if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "no such echo" {
			t.Errorf("status %v", s)
		}
		wantMD(t, trailer, AskTrailer, "kept")
	}
	var trailer metadata.MD
	_, err := Unary(ctx, conn, "hello", grpc.Trailer(&trailer))
	want(err, trailer)

	many, err := ServerStream(ctx, conn, "hello")
	must(t, err)
	for range 2 { // the status comes after the messages
		_, err := many.Recv()
		must(t, err)
	}
	_, err = many.Recv()
	want(err, many.Trailer())

	join, err := ClientStream(ctx, conn)
	must(t, err)
	_, err = join.CloseAndRecv()
	want(err, join.Trailer())

	both, err := BidiStream(ctx, conn)
	must(t, err)
	must(t, both.CloseSend())
	_, err = both.Recv()
	want(err, both.Trailer())
}

func TestOrdersThatMakeNoSense(t *testing.T) {
	conn := grpcClient(t, start(t, Options{}).GRPC.Addr())
	for _, c := range [][2]string{{AskStatus, "17"}, {AskStatus, "NOT_FOUND"}, {AskDelay, "-1"}, {AskDelay, "60001"}, {AskCount, "x"}} {
		_, err := Unary(metadata.AppendToOutgoingContext(t.Context(), c[0], c[1]), conn, "hello")
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s=%s: %v", c[0], c[1], err)
		}
	}
}

func TestStandardHealthService(t *testing.T) {
	conn := grpcClient(t, start(t, Options{}).GRPC.Addr())
	got, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || got.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", got, err)
	}
}
