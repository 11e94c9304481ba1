package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/proxy/held"
)

// gatewayFlags are those of a gateway's proxy; of a workload's it has state, access log, metrics and trusted proxies.
type gatewayFlags struct {
	runFlags
	address string
	gateway string // its name
}

func gatewayCommand() *cobra.Command {
	var f gatewayFlags
	c := &cobra.Command{
		Use:   "gateway [NAMESPACE/]NAME",
		Short: "Open the listeners of a Gateway on this machine",
		Long: `Gateway starts a proxy that opens the ports of a Gateway of the control plane's objects, and brings calls that come there to where the
routes say that name it: NAME of gateway.networking.k8s.io, istio:NAME of Istio's, by its selector, or ingress:CLASS of Ingresses. Ports
open and close as the object changes. It is a caller of the mesh, with the account that such proxies have in a cluster.
SIGTERM and SIGINT let calls under way end, for 5 s.

Ports below 1024 that this user may not open are at PORT+10000.`,
		Example: `  weft gateway edge
  weft gateway shop/edge --address 0.0.0.0 --access-log text`,
		Args: atLeast("a Gateway"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("name one Gateway, as: %s", firstExample(c))
			}
			return f.run(c.Context(), args[0], c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.address, "address", "127.0.0.1", "address of this machine to open the ports at; 0.0.0.0 or :: for all")
	c.Flags().StringVar(&f.metrics, "metrics", "", "ADDRESS:PORT on this machine where the proxy answers GET /metrics, in the form that Prometheus reads, and GET /ready [its Unix socket alone]")
	c.Flags().StringArrayVar(&f.trusted, "trusted-proxy", nil, "ADDRESS or ADDRESS/BITS of proxies in front of it whose x-forwarded-* counts; may be given again")
	c.Flags().StringVar(&f.accessLog, "access-log", "off", "one line per call on standard error: off, text or json")
	stateFlag(c, &f.state)
	return c
}

// run serves the gateway until a signal.
func (f *gatewayFlags) run(ctx context.Context, gateway string, errs io.Writer) (err error) {
	reg, err := f.registration(gateway)
	if err != nil {
		return err
	}
	w := &workload{flags: &f.runFlags, errs: errs, gateway: reg.Namespace + "/" + f.gateway}
	if w.opens, err = netip.ParseAddr(f.address); err != nil {
		return fmt.Errorf("--address %q: want an address of this machine, as 127.0.0.1: %w", f.address, err)
	}
	if w.metricsAt, err = parseMetrics(f.metrics); err != nil {
		return err
	}
	if f.state, err = filepath.Abs(f.state); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	defer w.exit()
	if err := w.enter(ctx, reg); err != nil {
		return &failure{exitSelf, err}
	}
	w.tellOpen(ctx)
	if err := w.serve(signals); err != nil {
		return &failure{exitSelf, err}
	}
	return nil
}

func (f *gatewayFlags) registration(gateway string) (r control.Registration, err error) {
	namespace, name, ok := cutKey(gateway)
	if !ok {
		namespace, name = "default", gateway
	}
	if namespace == "" || name == "" || strings.Contains(name, "/") {
		return r, fmt.Errorf("gateway %q: want NAME or NAMESPACE/NAME", gateway)
	}
	account, labels := all.Proxy(name)
	f.namespace, f.account, f.gateway = namespace, account, name
	if r, err = f.runFlags.registration(); err == nil {
		maps.Copy(r.Labels, labels)
	}
	return r, err
}

// serve returns when a signal ends a proxy without an application, and its calls have ended.
func (w *workload) serve(signals <-chan os.Signal) error {
	for {
		select {
		case <-signals:
			w.proxies.stop(proxyWait)
			return nil
		case e := <-w.proxies.events:
			if died, err := w.proxies.take(e); died {
				if err := w.proxyDied(e, err); err != nil {
					return err
				}
			}
		}
	}
}

// tellOpen says that ports are open, or why none are.
func (w *workload) tellOpen(ctx context.Context) {
	var list []held.Resource
	b, err := w.ask(ctx, "/config")
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	known := slices.ContainsFunc(list, func(r held.Resource) bool {
		return r.Name == config.Name(config.KindGateway, w.gateway) && r.Version > 0
	})
	switch {
	case err != nil:
		fmt.Fprintln(w.errs, "weft gateway: the proxy runs, and does not tell what it has:", err)
	case !known:
		fmt.Fprintf(w.errs, "weft gateway: no Gateway %s of weft's is in force; its ports will open when there is (weft status shows findings)\n", w.gateway)
	default:
		fmt.Fprintf(w.errs, "weft gateway: %s is open at %v\n", w.gateway, w.opens)
	}
}

func (w *workload) ask(ctx context.Context, path string) ([]byte, error) {
	return localProxy{w.member.given.Workload, w.member.reg.Admin}.ask(ctx, http.MethodGet, path, 16<<20)
}

// unready is what a proxy says that is not ready.
func (w *workload) unready(ctx context.Context) error {
	_, err := w.ask(ctx, "/ready")
	if err == nil {
		return errors.New("it has just become ready")
	}
	return err
}
