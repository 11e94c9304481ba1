package echo

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

var testInstance = serve.Instance{Service: "backend", Version: "v2", Name: "backend-1"}

// running is a server under test; end asks it to end and returns what Serve returned.
type running struct {
	*Server
	end func() error
}

// start listens on free loopback ports and serves until the test ends.
func start(t *testing.T, o Options) running {
	t.Helper()
	o.Instance, o.Host, o.HTTPPort, o.TCPPort, o.GRPCPort = testInstance, "127.0.0.1", "0", "0", "0"
	if o.Grace == 0 {
		o.Grace = time.Minute
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(cancel)
	return running{s, func() error { cancel(); return <-ended }}
}

// httpClient speaks HTTP/1.1 or HTTP/2 with prior knowledge.
func httpClient(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	transport := &http.Transport{Protocols: p}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func grpcClient(t *testing.T, addr net.Addr) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func dial(t *testing.T, addr net.Addr) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

// exchange sends text and reads as much back.
func exchange(t *testing.T, w io.Writer, r io.Reader, text string) string {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatalf("read back %q: %v", text, err)
	}
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
