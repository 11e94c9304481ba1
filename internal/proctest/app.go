package proctest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Serve is an application of HTTP/1.1 and HTTP/2 in the clear.
func Serve(at string, h http.Handler) error {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Addr: at, Protocols: p, ReadHeaderTimeout: time.Minute, Handler: h}
	return s.ListenAndServe()
}

// Relay passes on what comes to host's ports to the same ports of another, until ctx ends: then it returns nil.
func Relay(ctx context.Context, host, to string, ports ...string) error {
	failed := make(chan error, len(ports))
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		defer l.Close()
		go func() { failed <- relay(l, net.JoinHostPort(to, port)) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func relay(l net.Listener, to string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go pass(c.(*net.TCPConn), to)
	}
}

func pass(c *net.TCPConn, to string) {
	defer c.Close()
	nc, err := net.Dial("tcp", to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		return
	}
	defer nc.Close()
	out := nc.(*net.TCPConn)
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, c); _ = out.CloseWrite() })
	both.Go(func() { _, _ = io.Copy(c, out); _ = c.CloseWrite() })
	both.Wait()
}
