package echo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

// serveTCP echoes bytes on every connection of ln, after the banner if there is one, until ctx ends; then it lets the
// open connections finish.
func serveTCP(ctx context.Context, ln net.Listener, banner string, grace time.Duration) error {
	conns := new(serve.Conns)
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if err == nil {
			go echoTCP(conns.Keep(conn), banner)
			continue
		}
		if ctx.Err() == nil {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		break
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return conns.Drain(drain)
}

// echoTCP ends its own half when the peer has ended the other.
func echoTCP(conn *serve.Conn, banner string) {
	defer conn.Close()
	if banner != "" {
		if _, err := io.WriteString(conn, banner+"\n"); err != nil {
			return
		}
	}
	_, err := io.Copy(conn.Conn, readOnly{conn})
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		conn.CloseWrite()
	}
}

// readOnly hides all but Read, so that io.Copy doesn't go past it to the socket beneath.
type readOnly struct{ io.Reader }
