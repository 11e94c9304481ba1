package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

var errUsage = errors.New("not understood")

// setup is what a service is built from. Services read env while they are built and not later.
type setup struct {
	serve.Instance
	env func(string) string
	log *slog.Logger
}

// common are the flags that every role has.
type common struct {
	host, port, version, instance, faultFile string
	grace                                    time.Duration
}

func newFlags(service string, env func(string) string) (*flag.FlagSet, *common) {
	c := new(common)
	f := flag.NewFlagSet("bookinfo "+service, flag.ContinueOnError)
	f.StringVar(&c.host, "host", env("HOST"), "`address` to listen on, env HOST; empty: every address")
	f.StringVar(&c.port, "port", or(env("PORT"), defaultPort), "`port` to listen on, env PORT; 0: any free port")
	f.StringVar(&c.version, "version", "", "`version` to be, env SERVICE_VERSION; v1 without both")
	f.StringVar(&c.instance, "instance", "", "`name` of this instance, env POD_NAME, else HOSTNAME")
	f.StringVar(&c.faultFile, "fault-file", env("FAULT_FILE"), "while this `file` exists, answer with the status in it (503 if empty), env FAULT_FILE")
	f.DurationVar(&c.grace, "grace", 20*time.Second, "how long open calls may take to finish after SIGTERM")
	return f, c
}

// parse reads the flags. It returns flag.ErrHelp when they were asked for, after they are printed to help.
func parse(f *flag.FlagSet, args []string, help io.Writer) error {
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(help, "usage: %s [flags]\n\n", f.Name())
		f.SetOutput(help)
		f.PrintDefaults()
		return err
	}
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("%q is no flag", f.Arg(0))
	}
	if err != nil {
		return fmt.Errorf("%w: %w; see %s -h", errUsage, err, f.Name())
	}
	return nil
}

// start runs one of the shop's services until ctx ends.
func start(ctx context.Context, service string, args []string, env func(string) string, help io.Writer, log *slog.Logger) error {
	build := builder(service)
	if build == nil {
		return fmt.Errorf("%w: no service is named %q, see bookinfo help", errUsage, service)
	}
	f, c := newFlags(service, env)
	if err := parse(f, args, help); err != nil {
		return err
	}
	s := setup{serve.NewInstance(service, c.version, c.instance, env), env, log}
	h, err := build(s)
	if err != nil {
		return fmt.Errorf("start %s: %w", service, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(c.host, c.port))
	if err != nil {
		return fmt.Errorf("start %s: %w; set -port and -host, or PORT and HOST, to a free address", service, err)
	}
	log.Info("listening", "service", s.Service, "version", s.Version, "instance", s.Name, "address", ln.Addr().String())
	return serve.HTTP{Handler: s.Mark(serve.FaultFile(c.faultFile, h)), Grace: c.grace}.Serve(ctx, ln)
}

func builder(service string) func(setup) (http.Handler, error) {
	for _, r := range roles {
		if r.name == service {
			return r.build
		}
	}
	return nil
}

// startEcho runs the test application until ctx ends.
func startEcho(ctx context.Context, role string, args []string, env func(string) string, help io.Writer, log *slog.Logger) error {
	f, c := newFlags(role, env)
	name := f.String("name", or(env("SERVICE_NAME"), role), "`name` of the service, env SERVICE_NAME")
	tcp := f.String("tcp-port", or(env("TCP_PORT"), "9000"), "TCP `port`, env TCP_PORT; off: none")
	grpc := f.String("grpc-port", or(env("GRPC_PORT"), "7070"), "gRPC `port`, env GRPC_PORT; off: none")
	banner := f.String("tcp-banner", env("TCP_BANNER"), "`line` to send when a TCP connection opens, env TCP_BANNER; empty: the client speaks first")
	if err := parse(f, args, help); err != nil {
		return err
	}
	instance := serve.NewInstance(*name, c.version, c.instance, env)
	server, err := echo.Listen(echo.Options{
		Instance: instance, Host: c.host, HTTPPort: onPort(c.port), TCPPort: onPort(*tcp), GRPCPort: onPort(*grpc),
		TCPBanner: *banner, FaultFile: c.faultFile, Grace: c.grace,
	})
	if err != nil {
		return fmt.Errorf("start %s: %w; see -port, -tcp-port and -grpc-port", role, err)
	}
	log.Info("listening", "service", instance.Service, "version", instance.Version, "instance", instance.Name,
		"http", address(server.HTTP), "tcp", address(server.TCP), "grpc", address(server.GRPC))
	return server.Serve(ctx)
}

func onPort(flag string) string {
	if flag == "off" {
		return ""
	}
	return flag
}

func address(ln net.Listener) string {
	if ln == nil {
		return "off"
	}
	return ln.Addr().String()
}

func or(value, without string) string {
	if value != "" {
		return value
	}
	return without
}
