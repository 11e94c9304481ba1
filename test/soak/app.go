package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
)

// The ports of back, which speaks every protocol, and of front, which passes on to back what comes to the same port.
const (
	httpPort = "9080"
	tcpPort  = "9090"
	grpcPort = "9091"
)

var ports = []string{httpPort, tcpPort, grpcPort}

// app is a workload of the mesh: echo, or relay and a service's name.
func app(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if args[0] == "echo" {
		s, err := echo.Listen(echo.Options{Host: os.Getenv("HOST"), HTTPPort: httpPort, TCPPort: tcpPort, GRPCPort: grpcPort, Grace: 10 * time.Second})
		if err != nil {
			return err
		}
		return s.Serve(ctx)
	}
	for _, p := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), p))
		if err != nil {
			return err
		}
		go relay(l, net.JoinHostPort(args[1], p))
	}
	<-ctx.Done()
	return nil
}

// relay passes on what l accepts.
func relay(l net.Listener, to string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go pass(c.(*net.TCPConn), to)
	}
}

func pass(c *net.TCPConn, to string) {
	defer c.Close()
	nc, err := net.Dial("tcp", to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return
	}
	defer nc.Close()
	out := nc.(*net.TCPConn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, c)
		_ = out.CloseWrite()
	}()
	_, _ = io.Copy(c, out)
	_ = c.CloseWrite()
	<-done
}
