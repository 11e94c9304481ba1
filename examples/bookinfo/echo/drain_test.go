package echo

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// ending asks a server to end while a call is open, and waits until it takes no new ones.
func ending(t *testing.T, s running, addr net.Addr) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.end() }()
	for {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			return ended
		}
		conn.Close()
	}
}

func wantEnd(t *testing.T, ended <-chan error) {
	t.Helper()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestEndFinishesOpenHTTPCalls(t *testing.T) {
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{})
			body, writer := io.Pipe()
			go io.WriteString(writer, "one")
			resp, err := httpClient(t, h2).Post("http://"+s.HTTP.Addr().String()+"/echo", "text/plain", body)
			must(t, err)
			defer resp.Body.Close()
			ended := ending(t, s, s.HTTP.Addr())
			go func() { io.WriteString(writer, " two"); writer.Close() }()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "one two" {
				t.Errorf("got %q, %v", got, err)
			}
			wantEnd(t, ended)
		})
	}
}

func TestEndFinishesOpenStreams(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	stream, err := BidiStream(t.Context(), grpcClient(t, s.GRPC.Addr()))
	must(t, err)
	must(t, stream.Send(wrapperspb.String("one")))
	_, err = stream.Recv()
	must(t, err)
	ended := ending(t, s, s.GRPC.Addr())
	must(t, stream.Send(wrapperspb.String("two")))
	if got, err := stream.Recv(); err != nil || got.Value != "two" {
		t.Errorf("got %v, %v", got, err)
	}
	must(t, stream.CloseSend())
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	wantEnd(t, ended)
}

func TestEndFinishesOpenTCP(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := dial(t, s.TCP.Addr())
	exchange(t, conn, conn, "one")
	ended := ending(t, s, s.TCP.Addr())
	if got := exchange(t, conn, conn, "two"); got != "two" {
		t.Errorf("got %q", got)
	}
	// The connection stays silent; the server closes its half after a moment.
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
	wantEnd(t, ended)
}

// RFC 6455 section 7.4.1: "1001 indicates that an endpoint is "going away", such as a server going down".
func TestEndClosesWebSockets(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn, r := upgrade(t, s.HTTP.Addr())
	ended := ending(t, s, s.HTTP.Addr())
	conn.Write(masked(0x81, "last words"))
	if op, payload := readServerFrame(t, r); op != opText || payload != "last words" {
		t.Errorf("got %d %q", op, payload)
	}
	op, payload := readServerFrame(t, r)
	if op != opClose || !strings.HasPrefix(payload, closePayload(1001)) {
		t.Errorf("got %d %q, want a close with 1001", op, payload)
	}
	conn.Write(masked(0x88, closePayload(1001)))
	wantEnd(t, ended)
}

func TestEndCutsWhatOutlastsTheGracePeriod(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, s running){
		"HTTP": func(t *testing.T, s running) {
			body, writer := io.Pipe()
			t.Cleanup(func() { writer.Close() })
			go io.WriteString(writer, "one")
			resp, err := http.Post("http://"+s.HTTP.Addr().String()+"/echo", "text/plain", body)
			must(t, err)
			t.Cleanup(func() { resp.Body.Close() })
		},
		"TCP": func(t *testing.T, s running) {
			conn := dial(t, s.TCP.Addr())
			exchange(t, conn, conn, "one")
		},
		"WebSocket": func(t *testing.T, s running) { upgrade(t, s.HTTP.Addr()) },
		"gRPC": func(t *testing.T, s running) {
			stream, err := BidiStream(t.Context(), grpcClient(t, s.GRPC.Addr()))
			must(t, err)
			must(t, stream.Send(wrapperspb.String("one")))
			_, err = stream.Recv()
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{Grace: time.Millisecond})
			open(t, s)
			if err := s.end(); err == nil || !strings.Contains(err.Error(), "cut") {
				t.Errorf("ended with %v, want to hear what was cut", err)
			}
		})
	}
}

func TestListenSaysWhatFailedAndKeepsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	if _, err := Listen(Options{Host: "127.0.0.1", HTTPPort: "0", GRPCPort: port}); err == nil || !strings.Contains(err.Error(), "gRPC") {
		t.Errorf("error %v", err)
	}
	s, err := Listen(Options{Host: "127.0.0.1", TCPPort: "0"})
	must(t, err)
	defer s.close()
	if s.HTTP != nil || s.GRPC != nil || s.TCP == nil {
		t.Errorf("open: %+v", s)
	}
}
