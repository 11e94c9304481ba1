package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// HTTP is a server for one plaintext port.
type HTTP struct {
	Handler  http.Handler
	H2C      bool          // also HTTP/2 with prior knowledge (RFC 9113 section 3.3)
	Grace    time.Duration // how long calls may take to finish after the end was asked for
	Upgraded *Conns        // connections that handlers took over; nil: none do
}

// Serve serves ln until ctx ends, then accepts no more, finishes what it has, and returns nil. Calls still open after
// the grace period are cut, and that is an error.
func (h HTTP) Serve(ctx context.Context, ln net.Listener) error {
	srv := h.server()
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.Grace)
	defer cancel()
	err := srv.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("drain %s: calls still open after %s were cut: %w", ln.Addr(), h.Grace, errors.Join(err, srv.Close()))
	}
	if h.Upgraded != nil {
		err = errors.Join(err, h.Upgraded.Drain(drain))
	}
	return err
}

func (h HTTP) server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(h.H2C)
	srv := &http.Server{
		Handler:           h.Handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute, // longer than proxies' pools keep a connection: the proxy closes first
	}
	if h.Upgraded != nil {
		srv.RegisterOnShutdown(h.Upgraded.Quiesce)
	}
	return srv
}
