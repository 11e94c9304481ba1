package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/internal/proctest"
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
	return proctest.Relay(ctx, os.Getenv("HOST"), args[1], ports...)
}
