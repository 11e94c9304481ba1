// Weft-control is the control plane on Kubernetes: it reads the cluster's objects, issues identities to pods and tells their proxies
// what they need. Each replica serves; one of them, which holds a Lease, writes.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup" // the parts of a program that end together

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/kube"
	"github.com/weft-mesh/weft/stream/server"
)

// version is set by the linker (-X main.version=...).
var version = "dev"

// Times of a replica's end. Kubernetes takes a pod that ends out of its Services at once, and gives it 30 s.
const (
	leaveAfter = 3 * time.Second  // in which nodes hear that there is one endpoint less
	leave      = 10 * time.Second // in which proxies move to other replicas
	pause      = time.Second      // before a proxy hears that it is refused
	stay       = time.Hour        // of a proxy with one replica: after a rollout they are all with the first
)

type flags struct {
	kubeconfig, context              string
	namespace, pod, account, service string
	trustDomain, token, authority    string
	gatewayService, gatewayClass     string
	gatewayReplicas, gatewayCPU      string
	replicas                         mesh.Replicas // as those two say
	inject                           string
	streams, health, webhook         string
	lifetime, reach                  time.Duration
	unguarded, verbose               bool
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "weft-control:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*flags, error) {
	f := new(flags)
	host, _ := os.Hostname()
	s := flag.NewFlagSet("weft-control", flag.ContinueOnError)
	s.StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the cluster [its own pod's, else KUBECONFIG and ~/.kube/config]")
	s.StringVar(&f.context, "context", "", "of the kubeconfig")
	s.StringVar(&f.namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), "weft-system"), "that it runs in [$POD_NAMESPACE]")
	s.StringVar(&f.pod, "pod", cmp.Or(os.Getenv("POD_NAME"), host), "name of this replica's pod [$POD_NAME, the host's name]")
	s.StringVar(&f.account, "account", "weft-control", "service account that replicas run as")
	s.StringVar(&f.service, "service", "weft-control", "Service by which proxies and the API server find it")
	s.StringVar(&f.trustDomain, "trust-domain", "", "trust domain of the identities [what the authority's Secret says, else cluster.local]")
	s.DurationVar(&f.lifetime, "cert-lifetime", 24*time.Hour, "lifetime of certificates; they are renewed at half of it")
	s.StringVar(&f.token, "token", "/var/run/secrets/weft/token", "file with the token, of audience weft, by which replicas know each other")
	s.StringVar(&f.authority, "authority", "weft-ca", "Secret of the authority: made if there is none, or brought as cert-manager lays it out, with tls.crt, tls.key and ca.crt")
	s.StringVar(&f.inject, "inject", "", "file with the options of injection; without it there is no webhook")
	s.StringVar(&f.gatewayService, "gateway-service", "LoadBalancer", "type of the Services of Gateways whose infrastructure has no annotation weft.dev/service-type: LoadBalancer, NodePort or ClusterIP")
	s.StringVar(&f.gatewayReplicas, "gateway-replicas", "", "proxies of a Gateway without the annotation weft.dev/replicas: 3, or 2-10 for as many as their load asks for; empty: as many as somebody else sets")
	s.StringVar(&f.gatewayCPU, "gateway-cpu", "", "how much of a processor each of a Gateway's proxies uses on average before there are more, as 800m")
	s.StringVar(&f.streams, "streams", ":15012", "address for proxies, TLS")
	s.StringVar(&f.health, "health", ":15014", "address for /healthz, /readyz and /metrics")
	s.StringVar(&f.webhook, "webhook", ":15017", "address for the API server's questions, HTTPS")
	s.StringVar(&f.gatewayClass, "gateway-class", "", "GatewayClass to make, where its kind is there; empty: none")
	s.DurationVar(&f.reach, "roots-reach", 2*time.Minute, "how long a new root has, at least, to reach the files of all pods before an old one is retired")
	s.BoolVar(&f.unguarded, "start-unguarded", false, "start although a policy is refused that no earlier version stands for: calls pass that it forbids")
	s.BoolVar(&f.verbose, "verbose", false, "log every certificate")
	if err := s.Parse(args); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"LoadBalancer", "NodePort", "ClusterIP"}, f.gatewayService) {
		return nil, fmt.Errorf("-gateway-service %s: want LoadBalancer, NodePort or ClusterIP", f.gatewayService)
	}
	if f.gatewayReplicas != "" {
		var err error
		if f.replicas, err = mesh.ParseReplicas(f.gatewayReplicas); err != nil {
			return nil, fmt.Errorf("-gateway-replicas: %w", err)
		}
	}
	f.replicas.CPU = f.gatewayCPU
	if s.NArg() > 0 {
		return nil, fmt.Errorf("%q: there are flags only", s.Arg(0))
	}
	return f, nil
}

func run(args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if err := limitMemory("/sys/fs/cgroup"); err != nil {
		log.Warn("how much memory the pod may have is not known, and the collector does not mind it", "error", err)
	}
	cluster, err := kube.Open(kube.Options{Kubeconfig: f.kubeconfig, Context: f.context, UserAgent: "weft-control/" + version, Log: log})
	if err != nil {
		return err
	}
	r := &replica{flags: f, log: log, cluster: cluster, state: cluster.Secret(f.namespace, f.authority)}
	a, err := r.state.Authority()
	if err != nil {
		return err
	}
	if r.trustDomain, err = trustDomainOf(f.trustDomain, a); err != nil {
		return fmt.Errorf("%s: %w", r.state, err)
	}
	if r.inject != "" {
		if r.injection, err = r.readInjection(); err != nil {
			return err
		}
	}
	r.adoption = &adoption{options: r.injection, foreign: r.foreign, anew: func() error { return r.control.AdoptsAnew() }}
	if r.control, err = control.New(r.options()); err != nil {
		return err
	}
	if r.certificate, err = r.control.CA().Serving(f.names(), time.Now); err != nil {
		return err
	}
	return r.run(ctx)
}

// replica is this one.
type replica struct {
	*flags
	log         *slog.Logger
	cluster     *kube.Cluster
	state       *kube.State // of the authority
	control     *control.Control
	certificate *ca.Server
	injection   func() inject.Options // nil: there is no webhook, and no proxy of a gateway
	adoption    *adoption
	turned      *metrics.Counts // connections that were not taken
}

// names are those that the Service is called by inside of the cluster, the one that proxies use first.
func (f *flags) names() []string {
	short := f.service + "." + f.namespace
	return []string{short + ".svc", short, short + ".svc.cluster.local", f.service}
}

func (r *replica) options() control.Options {
	cl := &control.Cluster{Attest: r.attest, CA: r.state, Brought: r.brought, Expired: r.expired, Ask: r.ask,
		Good: r.cluster.Pieces(r.namespace), Namespace: r.namespace, Account: r.account, Pod: r.pod, Reach: r.reach}
	objects := r.cluster.Source(all.Kinds(r.trustDomain))
	return control.Options{Sources: []source.Source{objects}, Seek: objects.Seek,
		TrustDomain: r.trustDomain, CertLifetime: r.lifetime, Log: r.log, Unguarded: r.unguarded, Adopts: r.adoption.adopts, Cluster: cl}
}

// run serves until ctx ends, and then until proxies have had time to move to other replicas.
func (r *replica) run(ctx context.Context) error {
	r.turned = r.control.Metrics().NewCounts("weft_control_turned_away_total", "Connections that were not taken.", "reason")
	health, err := listen(ctx, r.health)
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, running := errgroup.WithContext(running)
	serving, leaving := context.WithCancel(running)
	defer leaving()
	g.Go(func() error { return r.serveHealth(running, r.crowd(health), ctx) })
	g.Go(func() error { return r.control.Run(running) })
	select {
	case <-r.control.Synced():
		if now := r.control.Mesh(); now != nil {
			debug.FreeOSMemory() // to read it all took more than to know it
			r.log.Info("the cluster is read", "services", now.Services.Len(), "workloads", now.Workloads.Len(), "version", version)
		}
		g.Go(func() error {
			defer end()
			return r.serve(serving)
		})
	case <-ctx.Done():
		end()
	case <-running.Done():
	}
	select {
	case <-ctx.Done():
		select {
		case <-time.After(leaveAfter):
		case <-running.Done():
		}
	case <-running.Done():
	}
	leaving()
	return g.Wait()
}

// serve answers proxies and the API server, and leads if it is this one's turn.
func (r *replica) serve(ctx context.Context) error {
	streams, err := listen(ctx, r.streams)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if r.injection != nil {
		asked, err := listen(ctx, r.webhook)
		if err != nil {
			return errors.Join(err, streams.Close())
		}
		g.Go(func() error { return r.serveWebhook(ctx, r.crowd(asked)) })
	}
	g.Go(func() error {
		return server.Serve(ctx, streams, r.control, server.Options{Certificate: r.certificate.GetCertificate, Leave: leave, Stay: stay, Pause: pause,
			Turned: func() { r.turned.Add("too_many_strangers") }})
	})
	tasks := r.tasks()
	g.Go(func() error {
		return r.cluster.Lead(ctx, r.namespace, "weft-control", r.pod, func(ctx context.Context) { r.lead(ctx, tasks) })
	})
	return g.Wait()
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", address)
}
