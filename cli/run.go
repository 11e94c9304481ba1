package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/control"
)

type runFlags struct {
	state, namespace, service, version, account, name string
	ports, labels, publish, trusted                   []string
	noNamespace                                       bool
	accessLog, metrics                                string
}

func runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run --service NAME [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a process as a workload of the mesh",
		Long: `Run starts a process with its proxy: the process gets an address and an identity, its calls to services are encrypted,
routed and judged, and only the mesh reaches it. It runs in user, network and mount namespaces of its own, without root; names of
services resolve as in a pod (reviews, reviews.shop, ...), and NAME_SERVICE_HOST and NAME_SERVICE_PORT are set. Signals are passed
on; before the process ends it is taken out of the mesh, so that no call is lost.

Where the kernel does not allow namespaces, run uses loopback addresses and says what that cannot promise.

Exit code: the process' own, or 128 and the number of the signal that killed it; 125 run itself failed, 126 the command cannot
be executed, 127 it is not there, 2 the flags are wrong.`,
		Example: `  weft run --service reviews --version v1 --port 9080 -- ./reviews
  weft run --service web --port 8080 --publish 127.0.0.1:8000:8080 -- ./web
  weft run --service batch --namespace shop --service-account batch -- ./job --once`,
		DisableFlagsInUseLine: true,
		Args:                  atLeast("a command behind --"),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), args, c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.service, "service", "", "service that the process is of; its label app (required)")
	c.Flags().StringVar(&f.version, "version", "", "its label version")
	c.Flags().StringVar(&f.namespace, "namespace", "default", "namespace")
	c.Flags().StringVar(&f.account, "service-account", "", "service account, which its identity names [default]")
	c.Flags().StringVar(&f.name, "name", "", "name of the instance [SERVICE-VERSION-NUMBER]")
	c.Flags().StringArrayVar(&f.ports, "port", nil, "port that the process listens on: PORT, PORT/PROTOCOL (http, http2, grpc, tcp) or NAME=PORT/PROTOCOL; may be given again")
	c.Flags().StringArrayVar(&f.labels, "label", nil, "KEY=VALUE; may be given again")
	c.Flags().StringArrayVar(&f.publish, "publish", nil, "ADDRESS:PORT:PORT on this machine that leads, through its proxy, to a port of the process; may be given again")
	c.Flags().StringVar(&f.metrics, "metrics", "", "ADDRESS:PORT on this machine where its proxy answers GET /metrics, in the form that Prometheus reads, and GET /ready [its Unix socket alone]")
	c.Flags().StringArrayVar(&f.trusted, "trusted-proxy", nil, "ADDRESS or ADDRESS/BITS of proxies in front of --publish whose x-forwarded-* counts; may be given again")
	c.Flags().BoolVar(&f.noNamespace, "no-namespace", false, "use loopback addresses even where namespaces are allowed")
	c.Flags().StringVar(&f.accessLog, "access-log", "off", "one line per call on standard error: off, text or json")
	required(c, "service")
	stateFlag(c, &f.state)
	return c
}

func (f *runFlags) registration() (r control.Registration, err error) {
	r = control.Registration{Name: f.name, Namespace: f.namespace, Service: f.service, Version: f.version,
		Account: cmp.Or(f.account, "default"), Labels: map[string]string{}, PID: os.Getpid()}
	for _, l := range f.labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return r, fmt.Errorf("--label %q: want KEY=VALUE", l)
		}
		r.Labels[k] = v
	}
	for _, s := range f.ports {
		p, err := parsePort(s)
		if err != nil {
			return r, err
		}
		r.Ports = append(r.Ports, p)
	}
	r.Trusted, err = parseTrusted(f.trusted)
	return r, err
}

var protocols = map[string]string{"": "", "http": "http", "http2": "kubernetes.io/h2c", "grpc": "grpc", "tcp": "tcp"}

func parsePort(s string) (p control.Port, err error) {
	rest := s
	if name, after, ok := strings.Cut(s, "="); ok {
		p.Name, rest = name, after
	}
	number, protocol, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	app, known := protocols[protocol]
	if err != nil || n == 0 || !known {
		return p, fmt.Errorf("--port %q: want PORT, PORT/PROTOCOL or NAME=PORT/PROTOCOL, with a port of 1 to 65535 and a protocol of %s", s,
			strings.Join(slices.Sorted(maps.Keys(protocols))[1:], ", "))
	}
	p.Number, p.Protocol = uint16(n), app
	return p, nil
}

// way is one in from outside.
type way struct {
	at   netip.AddrPort
	port uint16
}

func parseWays(list []string) (out []way, err error) {
	for _, s := range list {
		i := strings.LastIndexByte(s, ':')
		if i < 0 {
			return nil, fmt.Errorf("--publish %q: want ADDRESS:PORT:PORT, as 127.0.0.1:8080:9080", s)
		}
		at, err := netip.ParseAddrPort(s[:i])
		n, err2 := strconv.ParseUint(s[i+1:], 10, 16)
		if err = errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("--publish %q: want ADDRESS:PORT:PORT, as 127.0.0.1:8080:9080: %w", s, err)
		}
		out = append(out, way{at, uint16(n)})
	}
	return out, nil
}

// parseMetrics reads --metrics; the zero address: it was not given.
func parseMetrics(s string) (at netip.AddrPort, err error) {
	if s == "" {
		return at, nil
	}
	if at, err = netip.ParseAddrPort(s); err != nil {
		return at, fmt.Errorf("--metrics %q: want ADDRESS:PORT, as 127.0.0.1:15020: %w", s, err)
	}
	return at, nil
}

// parseTrusted reads --trusted-proxy: addresses and ranges of them.
func parseTrusted(list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if a, isAddr := netip.ParseAddr(s); isAddr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxy %q: want ADDRESS or ADDRESS/BITS, as 10.0.0.0/8", s)
		}
		out = append(out, p)
	}
	return out, nil
}

func (f *runFlags) run(ctx context.Context, args []string, errs io.Writer) error {
	reg, err := f.registration()
	if err != nil {
		return err
	}
	ways, err := parseWays(f.publish)
	if err != nil {
		return err
	}
	metrics, err := parseMetrics(f.metrics)
	if err != nil {
		return err
	}
	if err := executableFor(args[0]); err != nil {
		return err
	}
	if f.state, err = filepath.Abs(f.state); err != nil { // the sandbox knows no other
		return err
	}
	status, err := f.live(ctx, reg, &workload{flags: f, errs: errs, ways: ways, metricsAt: metrics, args: args})
	if err != nil {
		return &failure{exitSelf, err}
	}
	if status != 0 {
		return Exit(status)
	}
	return nil
}

// Exit codes that are not the process' own, as those of env(1) and its kind.
const (
	exitSelf     = 125 // weft run failed
	exitNoExec   = 126 // the command can't be executed
	exitNotFound = 127 // the command is not there
	exitBySignal = 128 // and the signal's number
)

// executableFor looks for the command before anything is made for it.
func executableFor(name string) error {
	_, err := exec.LookPath(name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return &failure{exitNoExec, err}
	}
	return &failure{exitNotFound, err}
}

// live is the workload's life, from its registration to the end of its process.
func (f *runFlags) live(ctx context.Context, reg control.Registration, w *workload) (status int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer w.exit()
	if err := w.enter(ctx, reg); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := w.startApp(); err != nil {
		return 0, err
	}
	return w.wait(ctx, signals)
}
