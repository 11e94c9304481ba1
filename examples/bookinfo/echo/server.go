package echo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

// Options configures a [Server].
type Options struct {
	Instance  serve.Instance
	Host      string        // address to listen on; empty: every address
	HTTPPort  string        // empty: no HTTP; 0: any free port
	TCPPort   string        // empty: no TCP; 0: any free port
	GRPCPort  string        // empty: no gRPC; 0: any free port
	TCPBanner string        // a line sent as soon as a TCP connection opens; empty: the client speaks first
	FaultFile string        // see serve.FaultFile; breaks HTTP only
	Grace     time.Duration // how long open calls may take to finish after the end was asked for; 0 cuts them at once
}

// Server holds the open listeners; those of protocols that are off are nil.
type Server struct {
	HTTP, TCP, GRPC net.Listener
	options         Options
}

// Listen opens the listeners. An error says which protocol's address could not be had; nothing is left open then.
func Listen(o Options) (*Server, error) {
	s := &Server{options: o}
	for _, p := range []struct {
		name, port string
		ln         *net.Listener
	}{{"HTTP", o.HTTPPort, &s.HTTP}, {"TCP", o.TCPPort, &s.TCP}, {"gRPC", o.GRPCPort, &s.GRPC}} {
		if p.port == "" {
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(o.Host, p.port))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen for %s: %w", p.name, err), s.close())
		}
		*p.ln = ln
	}
	return s, nil
}

func (s *Server) close() (err error) {
	for _, ln := range []net.Listener{s.HTTP, s.TCP, s.GRPC} {
		if ln != nil {
			err = errors.Join(err, ln.Close())
		}
	}
	return err
}

// Serve answers until ctx ends, then finishes what was accepted. An error means that a listener failed, or that calls
// were cut after the grace period; a failure of one protocol ends the others.
func (s *Server) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.HTTP != nil {
		group.Go(func() error { return s.serveHTTP(ctx) })
	}
	if s.TCP != nil {
		group.Go(func() error { return serveTCP(ctx, s.TCP, s.options.TCPBanner, s.options.Grace) })
	}
	if s.GRPC != nil {
		group.Go(func() error { return serveGRPC(ctx, s.GRPC, s.options.Instance, s.options.Grace) })
	}
	return group.Wait()
}

func (s *Server) serveHTTP(ctx context.Context) error {
	upgraded := new(serve.Conns)
	return serve.HTTP{
		Handler:  s.options.Instance.Mark(serve.FaultFile(s.options.FaultFile, Handler(s.options.Instance, upgraded))),
		H2C:      true,
		Grace:    s.options.Grace,
		Upgraded: upgraded,
	}.Serve(ctx, s.HTTP)
}
