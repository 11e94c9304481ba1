package plane_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// control is a control plane that sends each resource that is wanted, with its name as body.
type control struct{}

func (control) Open(_ context.Context, h *stream.Hello) (server.Session, error) {
	if h.Token != "good" {
		return nil, errors.Join(server.ErrRefused, errors.New("wrong token: 100%"))
	}
	return &session{up: make(chan *stream.Up, 10), done: make(chan struct{})}, nil
}

func (control) Standing(_ context.Context, r *stream.StandingRequest) (*stream.StandingResponse, error) {
	if r.Token != "good" {
		return nil, server.ErrRefused
	}
	return &stream.StandingResponse{Workloads: []string{string(r.Root)}}, nil
}

func (control) Certify(_ context.Context, r *stream.CertifyRequest) (*stream.CertifyResponse, error) {
	if r.Token != "good" {
		return nil, server.ErrRefused
	}
	return &stream.CertifyResponse{Chain: [][]byte{r.CSR, []byte(r.Workload)}}, nil
}

type session struct {
	up   chan *stream.Up
	done chan struct{}
}

func (s *session) Take(u *stream.Up) error { s.up <- u; return nil }

func (s *session) Next(ctx context.Context) (*stream.Down, error) {
	for {
		select {
		case u := <-s.up:
			down := &stream.Down{Nonce: 1}
			for _, w := range u.Subscribe {
				down.Resources = append(down.Resources, stream.Resource{Name: w.Name, Version: 1, Body: make([]byte, 200_000)})
			}
			if len(down.Resources) > 0 {
				return down, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *session) Close() { close(s.done) }

func start(t *testing.T) plane.Plane {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(ctx, l, control{}, server.Options{}) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return plane.Plane{Socket: path}
}

func TestStream(t *testing.T) {
	p := start(t)
	got, status := make(chan stream.Update, 10), make(chan error, 10)
	c := &stream.Client{Hello: func() (stream.Hello, error) { return stream.Hello{Workload: "a/b", Token: "good"}, nil }, Dial: p.Dial,
		Apply: func(u []stream.Update) map[string]error {
			for _, x := range u {
				got <- x
			}
			return nil
		}, Status: func(err error) { status <- err }}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	if err := <-status; err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"service/one", "service/two"} {
		c.Want(name)
		if u := <-got; u.Name != name || len(u.Body) != 200_000 {
			t.Errorf("got %s, %d bytes", u.Name, len(u.Body))
		}
	}
	cancel()
	wg.Wait()
}

// TestClosedInBetween: a stream that is closed while a message is being handled gives back the buffer that it came in, which the package's
// test of leaks looks at, though nobody asks for another message.
func TestClosedInBetween(t *testing.T) {
	tr, err := start(t).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	up := stream.Up{Hello: &stream.Hello{Workload: "a/b", Token: "good"}, Subscribe: []stream.Want{{Name: "service/one"}}}
	if err := tr.Send(stream.Marshal(&up)); err != nil {
		t.Fatal(err)
	}
	var down stream.Down
	for len(down.Resources) == 0 { // a greeting comes first
		b, err := tr.Recv()
		if err != nil {
			t.Fatal(err)
		}
		down = stream.Down{}
		if err := stream.Unmarshal(b, &down); err != nil {
			t.Fatal(err)
		}
	}
	tr.Close()
	if err := tr.Send(nil); err == nil {
		t.Error("what is closed takes a message")
	}
}

func TestRefusal(t *testing.T) {
	p := start(t)
	tr, err := p.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Send(stream.Marshal(&stream.Up{Hello: &stream.Hello{Workload: "a/b"}})); err != nil {
		t.Fatal(err)
	}
	var refused *plane.StatusError
	if _, err := tr.Recv(); !errors.As(err, &refused) || refused.Code != "7" || refused.Message == "" {
		t.Errorf("%v", err)
	}
	tr.Close()
	if b, err := tr.Recv(); err == nil {
		t.Errorf("what is closed has a message: %q", b)
	}
}

func TestCertify(t *testing.T) {
	p := start(t)
	p.Token = "good"
	chain, err := p.Certify(t.Context(), "a/b", []byte("csr"))
	if err != nil || len(chain) != 2 || string(chain[0]) != "csr" || string(chain[1]) != "a/b" {
		t.Errorf("%q %v", chain, err)
	}
	p.Token = "bad"
	if _, err := p.Certify(t.Context(), "a/b", []byte("csr")); err == nil {
		t.Error("a wrong token was taken")
	}
}

func TestNobodyThere(t *testing.T) {
	p := plane.Plane{Socket: filepath.Join(t.TempDir(), "none")}
	if _, err := p.Dial(t.Context()); err == nil {
		t.Error("connected to nothing")
	}
	// One that says nothing does not hold up the proxy for ever.
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := (plane.Plane{Socket: path}).Certify(ctx, "a/b", nil); err == nil {
		t.Error("a certificate from nobody")
	}
}
